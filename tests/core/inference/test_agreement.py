"""Agreement: digests within a class, a referee across, and a majority of all that were asked."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.inference.agreement import ComparedAnswer, Relation, agree, early_majority, relation
from p2pverify.core.inference.compare import Verdict

A, D, N = Relation.AGREES, Relation.DIFFERS, Relation.NOT_COMPARED
GOOD, BAD, UNSURE = Verdict.MATCH, Verdict.MISMATCH, Verdict.INCONCLUSIVE


def answers(text: str, *verdicts: Verdict | None) -> list[ComparedAnswer]:
    """Answers like "1a 1b 2a": class 1 with the outputs a and b, class 2 with a."""
    words = text.split()
    told = verdicts or (None,) * len(words)
    return [ComparedAnswer(int(w[0]), w[1:].encode(), v) for w, v in zip(words, told, strict=True)]


@pytest.mark.parametrize(
    ("text", "verdicts", "panel", "chosen", "relations"),
    [
        ("1a 1a 1a", (), 3, 0, [A, A, A]),
        ("1b 1a 1a", (), 3, 1, [D, A, A]),
        ("1a 1b", (), 2, None, [D, D]),
        ("1a 1a", (), 2, 0, [A, A]),
        ("1a 1a", (), 3, 0, [A, A]),
        ("1a 1a", (), 5, None, [A, A]),  # two of five are no majority, though none of them differs
        ("1a", (), 3, None, [N]),
        ("", (), 3, None, []),
        ("1a 1b 1c", (), 3, None, [D, D, D]),
        ("1a 1a 1b 1c 1d", (), 5, None, [D, D, D, D, D]),
        ("1a 2a 2b", (), 3, None, [N, D, D]),  # equal outputs of two classes are not compared by digest
        ("1a 2a 3a", (GOOD, GOOD, GOOD), 3, 0, [A, A, A]),
        ("1a 2a 3a", (GOOD, BAD, GOOD), 3, 0, [A, D, A]),
        ("1a 2a 3a", (BAD, GOOD, BAD), 3, None, [D, D, D]),
        ("1a 2a 3a", (UNSURE, GOOD, GOOD), 3, 1, [N, A, A]),
        ("1a 1a 2a", (BAD, BAD, GOOD), 3, None, [D, D, D]),  # the majority is wrong, and the referee has shown it
        ("1a 1a 2b", (), 3, 0, [A, A, N]),
    ],
)
def test_majorities(text: str, verdicts: tuple[Verdict, ...], panel: int, chosen: int | None, relations: list) -> None:
    found = agree(answers(text, *verdicts), panel)
    assert (found.chosen, list(found.relations)) == (chosen, relations)


SOME = st.builds(
    ComparedAnswer, st.integers(0, 2), st.sampled_from([b"a", b"b"]), st.sampled_from([None, GOOD, BAD, UNSURE])
)


@given(st.lists(SOME, max_size=7), st.integers(1, 7))
def test_a_majority_is_more_than_half_of_the_panel(given_answers: list[ComparedAnswer], panel: int) -> None:
    """It agrees with the chosen answer; and what differs from the chosen one is never said to agree."""
    found = agree(given_answers, panel)
    assert len(found.relations) == len(given_answers)
    if found.chosen is None:
        return
    chosen = given_answers[found.chosen]
    assert chosen.verdict is not BAD
    assert 2 * found.relations.count(A) > panel
    for one, told in zip(given_answers, found.relations, strict=True):
        assert told is relation(chosen, one)
        assert told is not A or one.class_index != chosen.class_index or one.output == chosen.output


@pytest.mark.parametrize(("one", "other"), list(product(answers("1a 1b 2a", GOOD, BAD, None), repeat=2)))
def test_a_relation_has_no_direction(one: ComparedAnswer, other: ComparedAnswer) -> None:
    assert relation(one, other) is relation(other, one)


def test_a_majority_can_be_certain_before_all_have_answered() -> None:
    """Then the rest cannot change it."""
    assert early_majority(answers("1b 1a"), 3) is None
    assert early_majority(answers("1b 1a 1a"), 3) == 1
    assert early_majority(answers("1a 2a"), 3) is None
    assert early_majority(answers("1a 1a"), 4) is None
