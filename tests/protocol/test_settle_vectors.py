"""Vectors of settlement, for both implementations: what each cut leaves, curves, shares and netting."""

from collections.abc import Callable
from typing import Any

import pytest

from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.encoding.merkle import root
from p2pverify.core.plan import CheckPlan
from p2pverify.core.settle.split import apportion, curve_at, netting
from tests.core.settle import second, stories
from tests.protocol.test_vectors import _cases, _load
from tests.support.grammar import conforms

Play = Callable[[stories.Story], list[stories.Story]]


@pytest.mark.parametrize("play", [stories.play, second.play])
@pytest.mark.parametrize("case", [*_load("settle/valid.json"), *_load("settle/invalid.json")])
def test_stories(case: dict[str, Any], play: Play) -> None:
    """Each cut leaves the accounts of the vector, whose sum is 0, and refuses the records of the vector."""
    found = play(case["input"])
    assert found == case["expect"]
    assert all(sum(row[1] + row[2] + row[8] for row in cut["rows"]) == 0 for cut in found)
    refused = [why for cut in found for why in cut["refused"]]
    assert case["reason"] in refused if case["reason"] else not refused


def test_half_of_the_stories_have_a_record_that_does_not_count() -> None:
    """Each reason is in one of them."""
    reasons = {why for case in _cases("settle/invalid.json") for cut in case["expect"] for why in cut["refused"]}
    assert len(list(_cases("settle/invalid.json"))) >= len(list(_cases("settle/valid.json")))
    assert len(reasons) == 9


@pytest.mark.parametrize("case", _load("settle/arithmetic.json"))
def test_arithmetic(case: dict[str, Any]) -> None:
    given, expect = case["input"], case["expect"]
    if "points" in given:
        points = [(x, y) for x, y in given["points"]]
        assert curve_at(points, given["x"]) == second.curve(given["points"], given["x"]) == expect
    elif "weights" in given:
        parts = apportion(given["total"], {bytes.fromhex(key): weight for key, weight in given["weights"].items()})
        assert {key.hex(): part for key, part in parts.items()} == expect
        assert second.apportion(given["total"], given["weights"]) == expect
    else:
        balances = {bytes.fromhex(key): amount for key, amount in given["balances"].items()}
        if case["reason"]:
            with pytest.raises(ValueError, match=case["reason"]):
                netting(balances)
            return
        found = [[each.debtor.hex(), each.creditor.hex(), each.amount] for each in netting(balances)]
        assert found == second.netting(given["balances"]) == expect


@pytest.mark.parametrize(("named", "panel", "every"), [("1.00", 1, 10), ("5.00", 5, 1), ("1.40", 5, 10)])
def test_a_client_owes_what_its_plan_costs(named: str, panel: int, every: int) -> None:
    """The cheques that peers put on the ledger have the price of the plan."""
    (case,) = [each for each in _cases("settle/valid.json") if each["comment"].endswith(f": {named}")]
    (client,) = {debtor for _, debtor, *_ in case["input"]["cuts"][0]["cheques"]}
    owed = [row[8] for row in case["expect"][-1]["rows"] if row[0] == client]
    cost = CheckPlan(100, 10_000, panel, every).cost
    assert owed == [-cost]
    assert cost == round(float(named) * 1_000_000)


def test_the_accounts_of_a_view_are_under_its_root() -> None:
    """Rows conform to the grammar, have the sum 0, and the head of the view has their root."""
    for case in _cases("fold/money.json"):
        rows = [bytes.fromhex(row) for row in case["expect"]["accounts"]]
        head: Any = decode(bytes.fromhex(case["expect"]["view"]), size_max=65_536)
        assert head[11] == [len(rows), root(rows)]
        assert all(conforms("account-row", row) for row in rows)
        values: list[Any] = [decode(row, size_max=1_000) for row in rows]
        assert sum(row[1] + row[2] + row[8] for row in values) == 0
        assert [row[0] for row in values] == sorted(row[0] for row in values)
        assert [encode(row) for row in values] == rows
