"""The node's port `Trainer`: rounds as functions of bytes, without any I/O. Here are those of tabular models."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from p2pverify.core.contract.history.training import OPEN, REPORTED, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import RowTable
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.state.rounds.phases import houses_of, least_houses
from p2pverify.core.training.orders import EvaluateOrder, ReportedLosses, ReportOrder, ShownUpdate, TrainOrder
from p2pverify.core.training.result import ResultRow, RoundResult, UpdateFinding
from p2pverify.core.training.shown import check_shown, show_rows, split_rows
from p2pverify.engine.tabular.evaluation import (
    TABULAR,
    ReportedRound,
    RoundRows,
    RoundTools,
    evaluate,
    loss_table,
)
from p2pverify.engine.tabular.model import MODEL_BYTES_MAX
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.update import MAGIC, decode_update, encode_update
from p2pverify.node.training.ports import EvaluatedRound, TrainedBytes, Trainer


@dataclass(frozen=True, eq=False)
class _Checked:
    """What a voter found about an update. Without shard nobody shows rows; without numbers it is not right."""

    finding: UpdateFinding
    numbers: Ints | None = None
    shard: RoundRows | None = None


class RoundTrainer(Trainer):
    """Rounds of the models of some tools. Any thread may call it."""

    def __init__(self, tools: RoundTools) -> None:
        self._tools = tools

    def first(self, weights: Path, expected: bytes) -> bytes | None:
        """See the port."""
        with weights.open("rb") as file:
            data = file.read(MODEL_BYTES_MAX + 1)
        return data if sha256(data) == expected else None

    def served(self, weights: bytes) -> bytes | None:  # noqa: ARG002 - engines load the weights themselves
        """See the port."""
        return None

    def prepare(self, base: bytes, rule: TrainingRule) -> None:
        """See the port."""
        self._tools.check(self._tools.open(base), rule)

    def update_bytes(self, base: bytes) -> int:
        """See the port."""
        return len(MAGIC) + 4 * len(self._tools.open(base).weights)

    def train(self, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        """See the port."""
        if len(rows) != order.drawn.rows:
            raise ValueError("the data set has another number of rows than the round counts")
        tools, rule = self._tools, order.rule
        model = tools.open(base)
        if rule.mode == OPEN:
            tools.check(model, rule)
        present = _present(rows)
        own = [at for at in split_rows(order.drawn)[0] if at in present]
        run = tools.train(model, tools.read(model, [present[at] for at in own], rule), rule, order.seed, own)
        steps = run.steps_root if rule.mode == OPEN else None
        return TrainedBytes(encode_update(run.update), steps, len(own), show_rows(rule.mode, order.drawn, rows))

    def report(self, order: ReportOrder, base: bytes, rows: RowTable, blobs: Mapping[bytes, bytes]) -> ReportedLosses:
        """See the port."""
        tools, rule = self._tools, order.rule
        model, updates = tools.open(base), {}
        for author, digest in order.updates:
            with suppress(DecodeError, KeyError):
                updates[author] = decode_update(blobs[digest], len(model.weights), tools.clip(rule))
        own = tools.read(model, list(_present(rows).values()), rule)
        authors = [author for author, _ in order.updates]
        return ReportedLosses(loss_table(model, updates, authors, own, rule, order.left_out, tools))

    def evaluate(
        self, order: EvaluateOrder, base: bytes, parent: Manifest, blobs: Mapping[bytes, bytes]
    ) -> EvaluatedRound:
        """See the port."""
        model, rule = self._tools.open(base), order.rule
        self._tools.check(model, rule)
        checked = {update.author: self._check(model, rule, update, blobs) for update in order.updates}
        updates = {author: found.numbers for author, found in checked.items() if found.numbers is not None}
        shards = {author: found.shard for author, found in checked.items() if found.shard is not None}
        reported = None
        if rule.mode == REPORTED:
            reported = ReportedRound(checked.keys(), dict(order.reports))
        found = evaluate(model, parent, updates, shards, rule, order.seed, order.left_out, reported, self._tools)
        rows = tuple(
            ResultRow(author, each.finding, found.credits.get(author, 0), found.marks.get(author, False))
            for author, each in sorted(checked.items())
        )
        is_kept = found.gain < rule.gain_min or houses_of(rule, updates) < least_houses(rule)
        if is_kept:
            return EvaluatedRound(RoundResult(order.closing, rows, found.gain, model.digest, parent.digest))
        result = RoundResult(order.closing, rows, found.gain, found.model.digest, found.manifest_digest)
        return EvaluatedRound(result, found.model.encode(), found.manifest)

    def manifest(self, weights: bytes, named: Manifest, parent: bytes) -> Manifest:
        """See the port."""
        return replace(self._tools.manifest(self._tools.open(weights), named), parent=parent)

    def _check(self, model: Any, rule: TrainingRule, said: ShownUpdate, blobs: Mapping[bytes, bytes]) -> _Checked:
        """What a voter finds about one update from the blobs that it could get."""
        update, shown, tools = blobs.get(said.update), blobs.get(said.shown), self._tools
        if update is None or shown is None:
            return _Checked(UpdateFinding.UNSEEN)
        try:
            if len(shown) != said.shown_bytes:
                raise DecodeError("shown rows: another number of bytes")
            numbers = decode_update(update, len(model.weights), tools.clip(rule))
            rows = check_shown(rule.mode, said.drawn, shown)
            if rule.mode == REPORTED:
                return _Checked(UpdateFinding.RIGHT, numbers)
            read = tools.read(model, list(rows.values()), rule)
        except DecodeError:
            return _Checked(UpdateFinding.BROKEN)
        own, drawn = ([number for number in each if number in rows] for each in split_rows(said.drawn))
        places = {number: at for at, number in enumerate(rows)}
        if rule.mode == OPEN and not self._is_right(model, rule, said, own, _of(read, places, own)):
            return _Checked(UpdateFinding.FALSE)
        return _Checked(UpdateFinding.RIGHT, numbers, _of(read, places, drawn) if drawn else None)

    def _is_right(
        self, model: Any, rule: TrainingRule, said: ShownUpdate, numbers: Sequence[int], rows: RoundRows
    ) -> bool:
        """Whether training over the shown rows, which have these numbers, gives this update by these steps."""
        if len(rows) != said.rows:
            return False
        try:
            run = self._tools.train(model, rows, rule, said.seed, numbers)
        except ValueError:
            return False  # nobody can train so many rows, or none
        return (sha256(encode_update(run.update)), run.steps_root) == (said.update, said.steps)


class TabularTrainer(RoundTrainer):
    """Rounds of tabular models."""

    def __init__(self) -> None:
        super().__init__(TABULAR)


def _present(rows: RowTable) -> dict[int, bytes]:
    """The rows that are not erased, by their numbers."""
    return {at: row[1] for at, row in enumerate(rows) if row is not None}


def _of(rows: RoundRows, places: Mapping[int, int], numbers: Sequence[int]) -> RoundRows:
    """Some of the shown rows, by their numbers in the data set."""
    return rows.taken(np.array([places[number] for number in numbers], np.intp))
