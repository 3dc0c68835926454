"""What a case needs before its peers start, with invented rows of the real schema."""

import random
from pathlib import Path

import pytest

from p2pverify.core.contract.network import decode_network
from p2pverify.engine.tabular.model import decode_model
from p2pverify.node.data.table import load_rows, load_schema
from p2pverify.node.files.networkfile import new_network
from p2pverify.resources import resource
from p2pverify.testnet.cases.datasets import CaseData, CaseDataMissing
from p2pverify.testnet.cases.registry import STUDIES
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.cases import making
from p2pverify.testnet.processes.cases.making import make_case
from p2pverify.testnet.scenario import load_scenario

ROWS = 203


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random rows instead of the packages' files."""

    def load(name: str) -> CaseData:
        schema = load_schema(resource("testnet") / "schemas" / f"{name}.toml")
        dice = random.Random(name)
        rows = tuple(
            b"".join(dice.randint(-8000, 8000).to_bytes(2, "big", signed=True) for _ in schema.features)
            + bytes([dice.randint(0, 1)])
            for _ in range(ROWS)
        )
        return CaseData(schema, rows, ("",) * ROWS, "CC-BY-4.0")

    monkeypatch.setattr(making, "load_case", load)


@pytest.mark.usefixtures("invented")
@pytest.mark.parametrize("name", STUDIES)
def test_rows_are_dealt_and_the_line_makes_a_network(name: str, tmp_path: Path) -> None:
    """No row is dealt twice, a quarter is nobody's, and each contributor's table gives its rows again."""
    plan = make_plan(load_scenario(name))
    made = make_case(plan, tmp_path)
    dealt = [row for own in made.rows.values() for row in own]
    assert sorted([*dealt, *made.test]) == sorted(made.data.rows)
    assert len(made.test) == ROWS // 4
    assert list(made.rows) == [peer.name for peer in plan.peers[: made.study.contributors]]
    for peer in plan.peers[: made.study.contributors]:
        assert load_rows(made.table(peer), load_schema(made.schema_file)) == made.rows[peer.name]
        assert len(made.rows[peer.name]) > 0
    assert {peer.weights for peer in made.plan.peers} == {tmp_path / "model"}
    assert decode_model((tmp_path / "model").read_bytes()).digest == made.manifest.weights
    founders = [peer.key for peer in plan.founders]
    network, _ = new_network("case", founders, made.classes.info, known=made.manifest, epoch_ms=1500)
    lined = making.with_case(network, made)
    assert decode_network(lined.encode()) == lined
    assert lined.lines[0].training == made.rule
    assert {key for key, _ in made.rule.contributors} == {peer.key for peer in plan.peers[: made.study.contributors]}
    assert (lined.tariff is None) == (not made.study.bounty)


@pytest.mark.usefixtures("invented")
def test_another_seed_deals_other_rows(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (
        make_case(make_plan(load_scenario("healthcare"), seed=seed), folder)
        for seed, folder in zip((1, 2), folders, strict=True)
    )
    assert first.test != second.test


def test_without_the_rows_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(_name: str) -> CaseData:
        raise CaseDataMissing("run something")

    monkeypatch.setattr(making, "load_case", fail)
    with pytest.raises(PlanError, match="not installed") as caught:
        make_case(make_plan(load_scenario("healthcare")), tmp_path)
    assert caught.value.hint == "run something"
