"""Mode 2: credit by losses that owners report, which are those that voters would compute if they had the rows."""

from dataclasses import replace

import numpy as np
import pytest

from p2pverify.core.contract.history.training import MEAN, REPORTED
from p2pverify.core.training.losses import LOSS_MICRONATS_MAX, losses_count
from p2pverify.engine.tabular.evaluation import ReportedRound, evaluate, loss_table
from tests.engine.tabular.examples import AUTHORS, SEED, rows_of, ruled
from tests.engine.tabular.test_evaluation import BASE, PARENT, RULE, SHARDS, UPDATES, evaluated

REPORTING = replace(RULE, mode=REPORTED, held_rows=0)
TABLES = {key: loss_table(BASE, UPDATES, UPDATES, shard, REPORTING) for key, shard in SHARDS.items()}


def test_reported_losses_give_the_result_of_the_rows() -> None:
    """The same credits, marks, gain and weights as if the owners had opened the rows."""
    reported = ReportedRound(UPDATES.keys(), TABLES)
    found = evaluate(BASE, PARENT, UPDATES, {}, REPORTING, SEED, frozenset(), reported)
    shown = evaluated()
    assert (found.credits, found.marks, found.gain) == (shown.credits, shown.marks, shown.gain)
    assert found.model.digest == shown.model.digest
    assert {len(table) for table in TABLES.values()} == {losses_count(5)}
    assert max(max(table) for table in TABLES.values()) <= LOSS_MICRONATS_MAX


def test_houses_and_quarantines_are_as_with_rows() -> None:
    houses = tuple((key, at // 2) for at, key in enumerate(AUTHORS))
    rule = replace(REPORTING, aggregate=MEAN, f=0, contributors=houses)
    left_out = frozenset(AUTHORS[:1])
    tables = {key: loss_table(BASE, UPDATES, UPDATES, shard, rule, left_out) for key, shard in SHARDS.items()}
    found = evaluate(BASE, PARENT, UPDATES, {}, rule, SEED, left_out, ReportedRound(UPDATES.keys(), tables))
    shown = evaluated(rule=replace(rule, mode=1, held_rows=8), left_out=left_out)
    assert found.model.digest == shown.model.digest
    assert {len(table) for table in tables.values()} == {losses_count(3)}
    for key in AUTHORS:  # a house's shard is the mean of its keys' tables here, and all of its rows there
        assert found.credits[key] == pytest.approx(shown.credits[key], abs=5)


def test_an_update_that_nobody_has_moves_nothing() -> None:
    """Its house has no credit, and the others' credit is that of a round without it."""
    broken = AUTHORS[1]
    rest = {key: update for key, update in UPDATES.items() if key != broken}
    tables = {key: loss_table(BASE, rest, UPDATES, shard, REPORTING) for key, shard in SHARDS.items()}
    found = evaluate(BASE, PARENT, rest, {}, REPORTING, SEED, frozenset(), ReportedRound(UPDATES.keys(), tables))
    shown = evaluated(rest)
    assert (found.credits, found.gain) == (shown.credits, shown.gain)


def test_one_liar_moves_no_median_and_has_nothing_of_its_own_report() -> None:
    """An owner reports that only its own update lowers the loss. Its credit stays as it was."""
    liar = AUTHORS[0]
    bit = list(REPORTING.sorted_houses(UPDATES)).index((0, b""))
    false = tuple(100_000 if chosen >> bit & 1 else 900_000 for chosen in range(losses_count(5) - 1))
    reported = ReportedRound(UPDATES.keys(), {**TABLES, liar: (*false, 900_000)})
    found = evaluate(BASE, PARENT, UPDATES, {}, REPORTING, SEED, frozenset(), reported)
    honest = evaluated()
    assert found.credits[liar] == honest.credits[liar]
    assert not any(found.marks.values())
    assert min(found.credits.values()) > 0


def test_without_reports_there_is_no_credit() -> None:
    found = evaluate(BASE, PARENT, UPDATES, {}, REPORTING, SEED, frozenset(), ReportedRound(UPDATES.keys(), {}))
    assert (found.gain, set(found.credits.values())) == (0, {0})
    with pytest.raises(ValueError, match="nobody opens rows"):
        evaluate(BASE, PARENT, UPDATES, SHARDS, REPORTING, SEED)
    with pytest.raises(ValueError, match="no rows"):
        loss_table(BASE, UPDATES, UPDATES, rows_of(1, 1).taken(np.array([], np.intp)), ruled())
