"""The case studies as data: rules that a network accepts, tables that give the rows again, and verdicts from facts."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from p2pverify.core.contract.history.training import KEEP, REPLAY, read_training
from p2pverify.core.data.budget import epsilon
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.node.data.table import load_rows, load_schema
from p2pverify.resources import resource
from p2pverify.testnet.cases.checks import checks_of, money_checks, note_of
from p2pverify.testnet.cases.datasets import table_of
from p2pverify.testnet.cases.facts import PeerFacts
from p2pverify.testnet.cases.registry import STUDIES
from p2pverify.testnet.cases.roles import CASE_PEERS, SPONSOR
from p2pverify.testnet.cases.study import DELTA_EXPONENT, CaseStudy, rho_of
from p2pverify.testnet.cheats import parse_cheat
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.scenario import load_scenario
from p2pverify.testnet.world.plan import plan_world
from tests.testnet.cases.examples import ACCOUNTS, FACTS, LIAR, PEER, POISONER, ROUNDS, VERSIONS, peer

KEYS = [bytes([number]) * 32 for number in range(6)]
ROUNDS_WANTED = 6


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_the_rule_of_each_study_is_valid(study: CaseStudy) -> None:
    """With all contributors but one, rounds go on; and the held-out rows last longer than the rounds."""
    rule = study.rule(bytes(32), KEYS, ROUNDS_WANTED)
    assert read_training(decode(encode(rule.to_value()), size_max=10_000)) == rule
    assert study.contributors - 1 >= 3 * rule.f + 2
    assert study.held(ROUNDS_WANTED) > rule.held_rows * ROUNDS_WANTED
    assert rule.erasure_policy == (REPLAY if study.repeats else KEEP)
    assert len(study.roles) == CASE_PEERS
    assert set(study.deceits) <= set(range(CASE_PEERS))
    spent = epsilon(rho_of(rule) * (ROUNDS_WANTED + study.repeats), DELTA_EXPONENT) if study.eps else 0
    assert study.eps * 0.99 <= spent <= study.eps


@pytest.mark.parametrize("name", STUDIES)
def test_who_cheats_in_training_trains(name: str) -> None:
    """Whatever the seed. Other cheats are with peers that only verify."""
    scenario = load_scenario(name)
    for seed in range(20):
        plan = make_plan(scenario, seed=seed)
        first = STUDIES[name].contributors
        kinds = {at: one.cheat.kind for at, one in enumerate(plan.peers) if one.cheat is not None}
        assert sorted(kinds.values()) == sorted(some.cheat.kind for some in scenario.cheats)
        assert all(STUDIES[name].roles[at] != SPONSOR for at in kinds)
        assert all((at < first) == (kind not in ("stale-version", "canned")) for at, kind in kinds.items())


def test_a_plan_of_a_case_has_its_peers() -> None:
    scenario = load_scenario("healthcare")
    with pytest.raises(PlanError, match="8 peers"):
        make_plan(scenario, peers=9)
    with pytest.raises(PlanError, match="no peer of this case study is left"):
        make_plan(scenario, cheats=[parse_cheat("canned*3")])
    with pytest.raises(PlanError, match="nobody trains"):
        make_plan(load_scenario("toy"), cheats=[parse_cheat("free-rider")])
    with pytest.raises(PlanError, match="real rows"):
        plan_world(scenario, "healthcare")


@pytest.mark.parametrize("name", ["wdbc", "german-credit", "flights"])
def test_a_table_gives_the_rows_again(name: str, tmp_path: Path) -> None:
    """Also the greatest and the least numbers, to the byte."""
    schema = load_schema(resource("testnet") / "schemas" / f"{name}.toml")
    cells = [-32767, -1, 0, 1, 4095, 32767, 12345]
    rows = [
        b"".join(
            (cells[(at + shift) % len(cells)]).to_bytes(2, "big", signed=True) for at in range(len(schema.features))
        )
        + bytes([shift % 2])
        for shift in range(len(cells))
    ]
    path = tmp_path / "rows.csv"
    path.write_text(table_of(schema, rows), encoding="utf-8")
    assert load_rows(path, schema) == rows
    assert schema.features[0].cell(Fraction(schema.features[0].offset, 1_000_000)) == 0


def held(**changes: object) -> dict[str, bool]:
    """Which conditions hold of the example with some changed facts."""
    said = {"peers": FACTS.peers, "rounds": ROUNDS, "versions": VERSIONS, "wanted": 2, "alone": 0.9, **changes}
    found = checks_of(*said.values())  # type: ignore[arg-type]
    return {check.what: check.holds for check in found}


def test_the_example_passes() -> None:
    assert all(held().values())
    assert len(held()) == 5


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"wanted": 3}, "rounds are decided"),
        ({"rounds": (*ROUNDS[:1], replace(ROUNDS[1], agreed=5))}, "rounds are decided"),
        ({"alone": 0.935}, "as good as the mean"),
        ({"peers": (replace(PEER, standing="convicted"), *FACTS.peers[1:])}, "no honest peer"),
        ({"peers": (PEER, replace(POISONER, share=0.2), LIAR)}, "earns at most"),
        ({"peers": (PEER, replace(POISONER, counted=0), LIAR)}, "earns at most"),
        ({"peers": (PEER, replace(POISONER, standing="convicted"), LIAR)}, "earns at most"),
        ({"peers": (PEER, POISONER, replace(LIAR, standing="suspect"))}, "(stale-version) is convicted"),
    ],
)
def test_what_does_not_hold_is_found(changes: dict[str, object], word: str) -> None:
    assert [what for what, holds in held(**changes).items() if not holds and word in what]


def test_cheats_around_the_training() -> None:
    """One that is late is later than all honest ones, and one whose seals break rules has more seals than updates."""
    late = peer(5, cheat="late", expected="late", late=1.0, on_time=0)
    over = peer(6, cheat="overspend", expected="uncounted", sealed=2, counted=1)
    swap = peer(7, cheat="swap-lot", expected="shown", rows=0)
    assert all(held(peers=(PEER, late, over, swap)).values())
    assert not all(held(peers=(replace(PEER, late=1.5), late)).values())
    assert not all(held(peers=(PEER, replace(over, counted=2))).values())
    assert not all(held(peers=(PEER, replace(swap, standing="convicted"))).values())


def test_accounts_of_a_case() -> None:
    """Their sum is 0, no more is paid than was pledged, and who contributes nothing is not paid."""
    peers = (replace(PEER, paid=500_000), replace(POISONER, paid=0), replace(LIAR, name="pool"))
    lost = (*ACCOUNTS[:2], replace(ACCOUNTS[2], forfeited=7))
    assert all(check.holds for check in money_checks(peers, lost, 500_000))

    def failing(*said: object) -> list[str]:
        return [check.what for check in money_checks(*said) if not check.holds]  # type: ignore[arg-type]

    assert failing(peers, (*lost, replace(ACCOUNTS[0], training=0)), 500_000) == ["the sum of all accounts is 0"]
    assert failing(peers, lost, 499_999) == ["rounds were paid, and no more than was pledged"]
    assert len(failing((PEER, replace(POISONER, paid=60_000)), lost, 500_000)) == 1
    assert failing(peers, ACCOUNTS, 500_000) == ["who is convicted has forfeited pay"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (PEER, ""),
        (replace(PEER, counted=1), "in 1 of 2 rounds"),
        (replace(PEER, on_time=1), "sealed later than the first cut once"),
        (POISONER, "its update was worth less than nothing on most of the others' rows 2 times"),
        (replace(POISONER, quarantined=True), "left out of the model since"),
        (LIAR, "its answers were wrong: 4 disputes lost"),
        (replace(PEER, cheat="x", found={"false": 1}, standing="convicted"), "once the others trained again"),
        (replace(PEER, cheat="overspend", sealed=5), "3 of 5 sealed updates broke a rule"),
    ],
)
def test_notes_say_what_came_of_a_peer(facts: PeerFacts, said: str) -> None:
    assert said in note_of(facts, 2)
    assert bool(note_of(facts, 2)) == bool(said)
