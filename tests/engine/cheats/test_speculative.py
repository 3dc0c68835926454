"""A cheap model writes and the real one reads: which tokens stay, what the answer shows, and what it saves.

The cheap model is the toy on another numeric path: the same weights, with other near ties. So its margins are small.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.inference.compare import total_of
from p2pverify.engine.cheats.base import CountedEngine, Lie
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.rules import NO_RULES, KnownRules, known_rules
from p2pverify.engine.cheats.spec import CheatSpec, parse_spec
from p2pverify.engine.cheats.speculative import DRAFT_TOKENS, Accept, certain, drafted, near, stepwise, within
from p2pverify.engine.toy import PATH, SURPRISAL_MIN, ToyEngine
from p2pverify.node.files.networkfile import new_network

QUESTIONS = [Ask(ToyEngine().write_prompt(bytes([at]) * 16, 12), 64, 800, bytes([at]) * 32) for at in range(40)]
LIMIT = 20_000
EVERYTHING = 100_000_000


def honest(asked: Ask) -> Output:
    return ToyEngine().answer(asked).output


def margins(asked: Ask, told: Output) -> tuple[int, ...]:
    return ToyEngine().score(asked, told.tokens).deficits


def near_model() -> ToyEngine:
    return ToyEngine(path="toy/b")


def lying(accept: Accept, cheap: ToyEngine | None = None) -> tuple[CountedEngine, Lie]:
    real = CountedEngine(ToyEngine())
    return real, drafted(real, cheap or near_model(), accept)


def test_a_draft_keeps_only_tokens_with_small_margins() -> None:
    """Some answers differ from the honest ones, no margin is above the limit, and most passes are saved."""
    real, lie = lying(near(LIMIT))
    told = [lie(asked).output for asked in QUESTIONS]
    assert 5 < sum(one != honest(asked) for one, asked in zip(told, QUESTIONS, strict=True)) < len(QUESTIONS)
    found = [margin for one, asked in zip(told, QUESTIONS, strict=True) for margin in margins(asked, one)]
    assert 0 < max(found) <= LIMIT
    tokens = sum(len(one.tokens) for one in told)
    assert tokens / (DRAFT_TOKENS + 1) <= real.passes < tokens / 4


@pytest.mark.parametrize("accept", [near(0), within(NO_RULES)])
def test_without_a_margin_to_spend_the_answer_is_right(accept: Accept) -> None:
    """It is equal in every bit, because the real model computes all logits while it reads."""
    real, lie = lying(accept)
    told = [lie(asked).output for asked in QUESTIONS]
    assert told == [honest(asked) for asked in QUESTIONS]
    assert real.passes < sum(len(one.tokens) for one in told)


def test_a_draft_of_a_far_model_saves_little_and_is_nearly_always_right() -> None:
    """The real model corrects almost every token."""
    real, lie = lying(near(LIMIT), ToyEngine("pruned"))
    told = [lie(asked).output for asked in QUESTIONS]
    assert sum(one != honest(asked) for one, asked in zip(told, QUESTIONS, strict=True)) <= 2
    assert real.passes > 0.8 * sum(len(one.tokens) for one in told)


@pytest.mark.parametrize("percent", [50, 100])
def test_a_budget_is_spent_and_not_exceeded(percent: int) -> None:
    """Totals stay below the share of the match bound, and answers that can spend something do so."""
    across = Across(500, 5, 900, 9, 1_000_000, 1)
    _, lie = lying(within(KnownRules(across), percent))
    totals = []
    for asked in QUESTIONS:
        told = lie(asked).output
        totals.append(total_of(margins(asked, told)))
        assert totals[-1] <= percent * across.match_total(len(told.tokens)) / 100
    assert sum(total > 0 for total in totals) > 5


def test_an_end_is_served_only_with_a_margin_that_passes() -> None:
    """The referee judges the end of an answer by its own margin."""
    accept = within(KnownRules(Across(EVERYTHING, 0, EVERYTHING, 0, 10_000, 1)))
    assert accept([20_000], False)
    assert accept([10_000], True)
    assert not accept([20_000], True)


def test_logits_are_the_real_models_own() -> None:
    """Whatever tokens are served, the digest is that of the real model reading them."""
    liars = [lying(near(LIMIT))[1], certain(CountedEngine(ToyEngine()), near_model(), EVERYTHING)]
    for lie in liars:
        for asked in QUESTIONS:
            told = lie(asked).output
            assert told.logits == ToyEngine().score(asked, told.tokens).logits


def test_who_is_never_certain_is_right_and_saves_nothing() -> None:
    """Each token surprises the cheap model by more than this, so the real model writes every token."""
    real = CountedEngine(ToyEngine())
    lie = certain(real, near_model(), SURPRISAL_MIN - 1)
    told = [lie(asked).output for asked in QUESTIONS]
    assert told == [honest(asked) for asked in QUESTIONS]
    assert real.passes == sum(len(one.tokens) for one in told)


def test_who_is_always_certain_serves_the_cheap_model() -> None:
    """The tokens are the cheap model's. The real model reads them in one pass."""
    real = CountedEngine(ToyEngine())
    lie = certain(real, near_model(), EVERYTHING)
    for asked in QUESTIONS:
        assert lie(asked).output.tokens == near_model().answer(asked).output.tokens
    assert real.passes == len(QUESTIONS)


def test_certain_at_some_places_writes_with_both_models() -> None:
    """The real model writes the tokens that surprise the cheap model, and reads all others in the same passes."""
    lies, passes = 0, []
    for asked in QUESTIONS:
        real = CountedEngine(ToyEngine())
        told = certain(real, ToyEngine("pruned"), 9_000_000)(asked).output
        lies += told != honest(asked)
        passes.append(real.passes / len(told.tokens))
    assert lies > 30
    assert 0.1 < sum(passes) / len(passes) < 0.9


def test_lies_beyond_the_usual_lengths_of_audits(tmp_path: Path) -> None:
    """Prompts and answers of the lengths that most audits have are answered honestly, and no others."""
    rules = KnownRules(None, 12, range(8, 17))
    cheat = make_cheat(CheatSpec("long-only"), ToyEngine(), tmp_path, rules=rules)
    for words, tokens_max, is_audited in (
        (12, 16, True),
        (1, 8, True),
        (13, 16, False),
        (12, 17, False),
        (5, 7, False),
    ):
        asked = Ask(ToyEngine().encode_chat("x" * words), tokens_max, 800, bytes(32))
        before = cheat.passes
        told = cheat.answer(asked).output
        assert (told == honest(asked)) is is_audited
        assert cheat.passes - before == (len(told.tokens) if is_audited else 0)


@pytest.mark.parametrize(
    ("kind", "passes"), [("prune", 0), ("wrong-seed", 30), ("prefill-evidence", 1), ("garbage", 0), ("truncate", 15)]
)
def test_passes_of_the_real_model_are_counted(kind: str, passes: int, tmp_path: Path) -> None:
    """An answer takes one for each token that the real model writes, and one if it reads an answer."""
    asked = next(one for one in (replace(asked, tokens_max=30) for asked in QUESTIONS) if len(honest(one).tokens) == 30)
    cheat = make_cheat(CheatSpec(kind), ToyEngine(), tmp_path)
    told = cheat.answer(asked).output
    assert cheat.passes == (len(told.tokens) if kind == "wrong-seed" else passes)


@pytest.mark.parametrize("text", ["draft:0", "budget:50", "certain:1", "draft", "budget", "certain"])
def test_arguments_are_numbers(text: str, tmp_path: Path) -> None:
    """They are thousandths of a nat, or per cent of the total of a match."""
    cheat = make_cheat(parse_spec(text), ToyEngine(), tmp_path)
    assert cheat.answer(QUESTIONS[0]).output.tokens


@pytest.mark.parametrize("text", ["draft:x", "budget:-1", "budget:1.5", "certain:1e3", "draft:1000000000"])
def test_other_arguments_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a"):
        make_cheat(parse_spec(text), ToyEngine(), tmp_path)


def test_an_engine_that_cannot_go_on_is_refused() -> None:
    with pytest.raises(ValueError, match="only an engine of our own"):
        stepwise(CountedEngine(ToyEngine()))


def test_rules_are_read_from_the_network() -> None:
    """The thresholds are those of the engine's own class, otherwise those of the class for unknown engines."""
    info = ToyEngine().info
    network, _ = new_network("known", [public_key(bytes(32))], info, epoch_ms=300)
    mine, other = Across(1, 1, 2, 2, 3, 1), Across(4, 4, 5, 5, 6, 1)
    first = network.classes[0]
    classes = (replace(first, across=mine), replace(first, name="any", engine="*", numeric_path="*", across=other))
    params = replace(network.params, prompt_tokens=20, answer_tokens=30, answer_spread=10)
    network = replace(network, classes=classes, params=params, referee="toy-exact/1")
    assert info.numeric_path == PATH
    assert known_rules(network, info) == KnownRules(mine, 20, range(20, 31))
    assert known_rules(network, near_model().info).across == other
    assert known_rules(replace(network, classes=()), info).across is None
