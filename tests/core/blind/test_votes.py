"""A blind vote by itself, of a kind that knows nothing but a quorum."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.blind import rounds
from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.blind.refusals import refuse_opening, refuse_seal
from p2pverify.core.blind.values import BlindVote, OpenedAnswer, RoundPhase, Sealed
from p2pverify.core.encoding.canon import sha256

BEGAN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoThirds(BlindVote):
    """More than two thirds decide."""

    @property
    def quorum(self) -> int:
        return 2 * len(self.electorate) // 3 + 1


def key(number: int) -> bytes:
    return sha256(b"%d" % number)


def vote(voters: int) -> TwoThirds:
    electorate = frozenset(key(number) for number in range(voters))
    return TwoThirds(electorate=electorate, opened_index=BEGAN, round=rounds.begin(EVERYONE, BEGAN))


def seal(asked: TwoThirds, voters: int) -> TwoThirds:
    for number in range(voters):
        asked = rounds.count_seal(asked, key(number), Sealed(key(number), number, EVERYONE), None)
    return asked


def opened(asked: TwoThirds, *answers: int) -> TwoThirds:
    """The vote in which the first voters opened these answers."""
    votes = {key(number): OpenedAnswer(key(answer)) for number, answer in enumerate(answers)}
    return replace(asked, votes=votes)


def test_the_sealing_closes_with_as_many_seals_as_decide_or_after_its_cuts() -> None:
    """Never with the cut that began the round."""
    for sealed, cuts in ((9, 1), (7, 1), (6, rounds.SEAL_CUTS)):
        asked = seal(vote(9), sealed)
        phases = []
        for index in range(BEGAN, BEGAN + 5):
            asked = rounds.close_sealing(asked, index)
            phases.append(asked.round.phase is RoundPhase.OPENING)
        assert phases == [index >= cuts for index in range(5)]
        assert asked.closed_index == asked.round.sealed_index == BEGAN + cuts


def test_only_the_electorate_seals_and_only_before_the_sealing_is_closed() -> None:
    asked = seal(vote(4), 3)
    assert refuse_seal(asked, key(3)) is None
    assert refuse_seal(asked, key(4)) == "not of the electorate"
    assert refuse_seal(rounds.close_sealing(asked, BEGAN + 1), key(3)) == "after the sealing was closed"


def test_an_opening_cites_a_cut_that_closed_the_sealing_and_holds_the_seal() -> None:
    asked = seal(vote(4), 3)
    closed = rounds.close_sealing(asked, BEGAN + 1)
    turns = rounds.turns_of(closed)
    assert refuse_opening(closed, turns, key(1), 1, is_work_shown=False) is None
    assert refuse_opening(closed, turns, key(3), 9, is_work_shown=False) == "no commit was counted"
    assert refuse_opening(closed, turns, key(1), 0, is_work_shown=False) == "certificate does not hold the commit"
    early = rounds.turns_of(asked)
    assert refuse_opening(closed, early, key(1), 1, is_work_shown=False) == "certificate gives it no turn"
    assert refuse_opening(closed, turns, key(1), 1, is_work_shown=True) == "shows work without need"


@given(st.lists(st.integers(0, 2), max_size=12), st.integers(0, 3))
def test_the_quorum_decides_and_nothing_else(answers: list[int], silent: int) -> None:
    """A decision has the quorum of equal answers. Who answered otherwise has lost, and who opened nothing is named."""
    voters = len(answers) + silent
    asked = rounds.close_sealing(seal(vote(voters), voters), BEGAN + 1)
    decided = rounds.tally(opened(asked, *answers), BEGAN + 2)
    most = max((answers.count(answer) for answer in answers), default=0)
    assert (decided.decision is not None) == (most >= asked.quorum)
    if decided.decision is not None:
        winner = max(answers, key=answers.count)
        assert (decided.decision, decided.decided_index) == (key(winner), BEGAN + 2)
        assert rounds.winners(decided) == {key(n) for n, answer in enumerate(answers) if answer == winner}
        assert rounds.losers(decided) == {key(n) for n, answer in enumerate(answers) if answer != winner}
    assert rounds.unopened(decided, BEGAN + 2) == []
    assert rounds.unopened(decided, BEGAN + 3) == sorted(key(n) for n in range(len(answers), voters))
