"""Rounds as functions of bytes: what contributors make, and what voters find about it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pverify.core.contract.history.training import MEAN, OPEN, REPORTED
from p2pverify.core.data.commitments import ERASED_ROW, RowTable, commit_row, rows_root
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.training.orders import DrawnRows, EvaluateOrder, ShownUpdate, TrainOrder
from p2pverify.core.training.result import UpdateFinding
from p2pverify.core.training.shown import decode_shown, encode_shown, split_rows
from p2pverify.engine.tabular import initial, train
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import decode_model
from p2pverify.engine.tabular.update import encode_update
from p2pverify.engine.trainer import TabularTrainer
from p2pverify.node.training.ports import TrainedBytes
from tests.engine.tabular.examples import AUTHORS, rows_of, ruled
from tests.support.datasets import SCHEMA

MODEL = initial(SCHEMA)
BASE = MODEL.encode()
PARENT = tabular_manifest(MODEL, "cells", "MIT", "made for a test")
TRAINER = TabularTrainer()
CLOSING, CREDIT = b"\x0c" * 32, b"\x0d" * 32
HELD = 12
FEW = ruled(aggregate=MEAN, f=0, contributors=(), held_rows=4)


class Owner:
    """A contributor with 60 rows. `bytes` is its training by a rule, which a test can falsify."""

    def __init__(self, rule: object, at: int, *, flip: bool = False, position: int = 4) -> None:
        self.key = AUTHORS[at]
        made = rows_of(60, at, flip=flip)
        pairs = zip(made.features.tolist(), made.labels.tolist(), strict=True)
        cells = [
            b"".join(each.to_bytes(2, "big", signed=True) for each in row) + bytes([label]) for row, label in pairs
        ]
        rows = [(sha256(b"%d %d" % (at, number)), row) for number, row in enumerate(cells)]
        self.committed = rows
        self.rows: RowTable = rows  # what is left of them
        root = rows_root([commit_row(*row) for row in rows])
        count = 0 if rule.mode == REPORTED else rule.held_rows  # type: ignore[attr-defined]
        held = 0 if rule.mode == REPORTED else HELD  # type: ignore[attr-defined]
        self.drawn = DrawnRows(root, 60, bytes([at]) * 32, held, position if held else 0, count)
        self.order = TrainOrder(0, 1, rule, PARENT.digest, b"\x01" * 32, self.drawn, bytes([at + 50]) * 32)  # type: ignore[arg-type]
        self.bytes = TRAINER.train(self.order, BASE, self.rows)

    @property
    def said(self) -> ShownUpdate:
        made = self.bytes
        names = (sha256(made.update), made.steps, made.rows, sha256(made.shown), len(made.shown))
        return ShownUpdate(self.key, *names, self.drawn, self.order.seed)


def judged(rule: object, owners: list[Owner], *, lost: bytes = b"", left_out: frozenset[bytes] = frozenset()):
    blobs = {sha256(data): data for owner in owners for data in (owner.bytes.update, owner.bytes.shown)}
    blobs.pop(lost, None)
    updates = tuple(owner.said for owner in owners)
    order = EvaluateOrder(0, 1, rule, PARENT.digest, CLOSING, updates, left_out, CREDIT)  # type: ignore[arg-type]
    return TRAINER.evaluate(order, BASE, PARENT, blobs)


def findings(rule: object, owners: list[Owner], **how: object) -> list[UpdateFinding]:
    return [row.finding for row in judged(rule, owners, **how).result.rows]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [OPEN, 1])
def test_a_round_of_four_gives_a_version_that_lowers_the_loss(mode: int) -> None:
    """Everybody computes the same bytes: the new weights, their manifest, and the credit of each."""
    rule = replace(FEW, mode=mode)
    owners = [Owner(rule, at, flip=at == 3) for at in range(4)]
    found = judged(rule, owners)
    assert found == judged(rule, owners)
    assert [row.finding for row in found.result.rows] == [UpdateFinding.RIGHT] * 4
    assert found.result.gain > 0
    *honest, flipped = (row.credit for row in found.result.rows)
    assert flipped < 0 < min(honest)
    assert sha256(found.weights) == found.result.weights == found.manifest.weights
    assert (found.result.manifest, found.manifest.parent) == (found.manifest.digest, PARENT.digest)
    assert TRAINER.manifest(found.weights, PARENT, PARENT.digest) == found.manifest
    assert decode_model(found.weights).schema == SCHEMA
    assert TRAINER.update_bytes(BASE) == len(owners[0].bytes.update)


def test_what_is_shown_is_what_was_drawn() -> None:
    """In mode 1 the drawn rows with their paths and nothing else; training rows and other held-out rows are hidden."""
    owner = Owner(FEW, 0)
    shown = decode_shown(owner.bytes.shown)
    own, drawn = split_rows(owner.drawn)
    assert [row.index for row in shown] == drawn
    assert not set(own) & set(drawn)
    assert owner.bytes.rows == len(own) == 48
    assert owner.bytes.steps is None
    later = Owner(FEW, 0, position=8)
    assert not {row.index for row in decode_shown(later.bytes.shown)} & set(drawn)
    opened = Owner(replace(FEW, mode=OPEN), 0)
    assert [(row.salt, row.row) for row in decode_shown(opened.bytes.shown)] == opened.rows
    assert opened.bytes.steps is not None


def _rows(change: Callable[[list], list]) -> Callable[[TrainedBytes], TrainedBytes]:
    return lambda made: replace(made, shown=encode_shown(change(list(decode_shown(made.shown)))))


@pytest.mark.parametrize(
    "change",
    [
        lambda made: replace(made, update=made.update[:-4]),
        lambda made: replace(made, update=made.update[:-4] + b"\x7f\xff\xff\xff"),
        lambda made: replace(made, shown=b"no rows"),
        _rows(lambda rows: rows[:-1]),
        _rows(lambda rows: [replace(rows[0], row=rows[1].row), *rows[1:]]),
        _rows(lambda rows: [replace(rows[0], path=rows[0].path[:-1]), *rows[1:]]),
        _rows(lambda rows: [replace(rows[0], row=rows[0].row[:-1] + b"\x02"), *rows[1:]]),
    ],
    ids=["weights", "norm", "bytes", "fewer rows", "another row", "path", "label"],
)
def test_bytes_that_break_the_rule(change: Callable[[TrainedBytes], TrainedBytes]) -> None:
    owners = [Owner(FEW, at) for at in range(3)]
    owners[1].bytes = change(owners[1].bytes)
    assert findings(FEW, owners) == [UpdateFinding.RIGHT, UpdateFinding.BROKEN, UpdateFinding.RIGHT]
    row = judged(FEW, owners).result.rows[1]
    assert (row.credit, row.is_marked) == (0, False)


def test_a_committed_row_whose_label_the_schema_lacks() -> None:
    """The commitment holds, and the row is no row of the schema."""
    rule = replace(FEW, mode=OPEN)
    owners = [Owner(rule, at) for at in range(3)]
    salt, row = owners[1].committed[0]
    owners[1].committed[0] = (salt, row[:-1] + b"\x02")
    rows = list(decode_shown(owners[1].bytes.shown))
    owners[1].bytes = replace(
        owners[1].bytes, shown=encode_shown([replace(rows[0], row=row[:-1] + b"\x02"), *rows[1:]])
    )
    owners[1].drawn = replace(owners[1].drawn, root=rows_root([commit_row(*each) for each in owners[1].committed]))
    assert findings(rule, owners)[1] is UpdateFinding.BROKEN


def test_an_update_that_the_open_rows_do_not_give() -> None:
    """In mode 0 a false update, a false root of the steps and a false count are found; in mode 1 nobody can tell."""
    rule = replace(FEW, mode=OPEN)
    owners = [Owner(rule, at) for at in range(3)]
    right = owners[1].bytes
    other = encode_update(train(MODEL, rows_of(48, 9), rule, b"\x07" * 32).update)
    for false in (replace(right, update=other), replace(right, steps=b"\x01" * 32), replace(right, rows=47)):
        owners[1].bytes = false
        assert findings(rule, owners)[1] is UpdateFinding.FALSE
    hidden = [Owner(FEW, at) for at in range(3)]
    hidden[1].bytes = replace(hidden[1].bytes, update=other)
    assert findings(FEW, hidden)[1] is UpdateFinding.RIGHT


def erased_owner(rule: object, at: int, places: list[int]) -> Owner:
    """A contributor that has erased rows, as the ledger was told."""
    owner = Owner(rule, at)
    table = [None if place in places else row for place, row in enumerate(owner.rows)]
    root = rows_root([ERASED_ROW if row is None else commit_row(*row) for row in table])
    owner.drawn = replace(owner.drawn, root=root, erased=len(places))
    owner.order = replace(owner.order, drawn=owner.drawn)
    owner.rows = table
    owner.bytes = TRAINER.train(owner.order, BASE, table)
    return owner


@pytest.mark.parametrize("mode", [OPEN, 1])
def test_erased_rows_are_shown_as_that(mode: int) -> None:
    """They are no rows of the shard. More of them than the ledger was told break the rule."""
    rule = replace(FEW, mode=mode)
    own, drawn = split_rows(Owner(rule, 1).drawn)
    owners = [Owner(rule, 0), erased_owner(rule, 1, [own[0], drawn[0]]), Owner(rule, 2)]
    assert owners[1].bytes.rows == len(own) - 1
    shown = {row.index: row.is_erased for row in decode_shown(owners[1].bytes.shown)}
    assert [index for index, is_erased in shown.items() if is_erased] == sorted({drawn[0], own[0]} & shown.keys())
    assert findings(rule, owners) == [UpdateFinding.RIGHT] * 3
    owners[1].drawn = replace(owners[1].drawn, erased=0)
    assert findings(rule, owners)[1] is UpdateFinding.BROKEN


def test_an_owner_whose_drawn_rows_are_all_erased_judges_nobody() -> None:
    """Its update is right, and the shards of the others say what it is worth."""
    drawn = split_rows(Owner(FEW, 1).drawn)[1]
    owners = [Owner(FEW, 0), erased_owner(FEW, 1, drawn), Owner(FEW, 2)]
    found = judged(FEW, owners).result
    assert [row.finding for row in found.rows] == [UpdateFinding.RIGHT] * 3
    assert found.rows[1].credit > 0


def test_blobs_that_could_not_be_had() -> None:
    owners = [Owner(FEW, at) for at in range(3)]
    for lost in (owners[0].said.update, owners[0].said.shown):
        assert findings(FEW, owners, lost=lost) == [UpdateFinding.UNSEEN, UpdateFinding.RIGHT, UpdateFinding.RIGHT]


def test_the_base_is_kept() -> None:
    """Without gain, and with too few houses: then credits are still those of the evaluation."""
    rule = replace(FEW, gain_min=10**6, gain_full=10**6)
    owners = [Owner(rule, at) for at in range(3)]
    found = judged(rule, owners)
    assert (found.weights, found.manifest) == (None, None)
    assert (found.result.weights, found.result.manifest) == (PARENT.weights, PARENT.digest)
    assert found.result.gain > 0
    assert any(row.credit for row in found.result.rows)
    lonely = judged(FEW, owners[:1])
    assert (lonely.weights, lonely.result.manifest) == (None, PARENT.digest)
    nobody = judged(FEW, [])
    assert (nobody.weights, nobody.result.gain, nobody.result.rows) == (None, 0, ())


def test_reported_losses_and_quarantine() -> None:
    """In mode 2 nobody shows rows, and credits are 0. Who is left out changes the weights and keeps its finding."""
    rule = replace(FEW, mode=REPORTED, held_rows=0)
    owners = [Owner(rule, at) for at in range(3)]
    found = judged(rule, owners)
    assert decode_shown(owners[0].bytes.shown) == ()
    assert [(row.finding, row.credit) for row in found.result.rows] == [(UpdateFinding.RIGHT, 0)] * 3
    without = judged(rule, owners, left_out=frozenset(AUTHORS[2:3]))
    assert without.result.weights != found.result.weights
    assert without.result.rows[2].finding is UpdateFinding.RIGHT


def test_own_rows_that_do_not_fit() -> None:
    owner = Owner(FEW, 0)
    with pytest.raises(ValueError, match="another number of rows"):
        TRAINER.train(owner.order, BASE, owner.rows[:-1])
    with pytest.raises(DecodeError):
        TRAINER.train(owner.order, BASE, [(salt, row[:-1]) for salt, row in owner.committed])
    with pytest.raises(DecodeError):
        TRAINER.train(owner.order, b"no model", owner.rows)
