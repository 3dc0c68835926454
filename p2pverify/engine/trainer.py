"""The node's port `Trainer` for tabular models: rounds as functions of bytes, without any I/O."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

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
from p2pverify.engine.tabular.evaluation import ReportedRound, evaluate, loss_table
from p2pverify.engine.tabular.manifest import round_manifest
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_model, decode_rows
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.training import check_fits, train
from p2pverify.engine.tabular.update import MAGIC, decode_update, encode_update
from p2pverify.node.training.ports import EvaluatedRound, TrainedBytes


@dataclass(frozen=True, eq=False)
class _Checked:
    """What a voter found about an update. Without shard nobody shows rows; without numbers it is not right."""

    finding: UpdateFinding
    numbers: Ints | None = None
    shard: Rows | None = None


class TabularTrainer:
    """Any thread may call it."""

    def update_bytes(self, base: bytes) -> int:
        """See the port."""
        return len(MAGIC) + 4 * len(decode_model(base).weights)

    def train(self, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        """See the port."""
        if len(rows) != order.drawn.rows:
            raise ValueError("the data set has another number of rows than the round counts")
        model = decode_model(base)
        present = {at: row[1] for at, row in enumerate(rows) if row is not None}
        own = [at for at in split_rows(order.drawn)[0] if at in present]
        run = train(model, decode_rows(model.schema, [present[at] for at in own]), order.rule, order.seed, own)
        steps = run.steps_root if order.rule.mode == OPEN else None
        return TrainedBytes(encode_update(run.update), steps, len(own), show_rows(order.rule.mode, order.drawn, rows))

    def report(self, order: ReportOrder, base: bytes, rows: RowTable, blobs: Mapping[bytes, bytes]) -> ReportedLosses:
        """See the port."""
        model, updates = decode_model(base), {}
        for author, digest in order.updates:
            with suppress(DecodeError, KeyError):
                updates[author] = decode_update(blobs[digest], len(model.weights), order.rule.clip_q16)
        own = decode_rows(model.schema, [row[1] for row in rows if row is not None])
        authors = [author for author, _ in order.updates]
        return ReportedLosses(loss_table(model, updates, authors, own, order.rule, order.left_out))

    def evaluate(
        self, order: EvaluateOrder, base: bytes, parent: Manifest, blobs: Mapping[bytes, bytes]
    ) -> EvaluatedRound:
        """See the port."""
        model, rule = decode_model(base), order.rule
        check_fits(model, rule)
        checked = {update.author: _check(model, rule, update, blobs) for update in order.updates}
        updates = {author: found.numbers for author, found in checked.items() if found.numbers is not None}
        shards = {author: found.shard for author, found in checked.items() if found.shard is not None}
        reported = None
        if rule.mode == REPORTED:
            reported = ReportedRound(checked.keys(), dict(order.reports))
        found = evaluate(model, parent, updates, shards, rule, order.seed, order.left_out, reported)
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
        return replace(round_manifest(decode_model(weights), named), parent=parent)


def _check(model: TabularModel, rule: TrainingRule, said: ShownUpdate, blobs: Mapping[bytes, bytes]) -> _Checked:
    """What a voter finds about one update from the blobs that it could get."""
    update, shown = blobs.get(said.update), blobs.get(said.shown)
    if update is None or shown is None:
        return _Checked(UpdateFinding.UNSEEN)
    try:
        if len(shown) != said.shown_bytes:
            raise DecodeError("shown rows: another number of bytes")
        numbers = decode_update(update, len(model.weights), rule.clip_q16)
        rows = check_shown(rule.mode, said.drawn, shown)
        if rule.mode == REPORTED:
            return _Checked(UpdateFinding.RIGHT, numbers)
        read = decode_rows(model.schema, list(rows.values())) if rows else None
    except DecodeError:
        return _Checked(UpdateFinding.BROKEN)
    own, drawn = ([number for number in each if number in rows] for each in split_rows(said.drawn))
    places = {number: at for at, number in enumerate(rows)}
    if rule.mode == OPEN and not (read and own and _is_right(model, rule, said, own, _of(read, places, own))):
        return _Checked(UpdateFinding.FALSE)
    return _Checked(UpdateFinding.RIGHT, numbers, _of(read, places, drawn) if read and drawn else None)


def _of(rows: Rows, places: Mapping[int, int], numbers: Sequence[int]) -> Rows:
    """Some of the shown rows, by their numbers in the data set."""
    return rows.taken(np.array([places[number] for number in numbers], np.intp))


def _is_right(model: TabularModel, rule: TrainingRule, said: ShownUpdate, numbers: Sequence[int], rows: Rows) -> bool:
    """Whether training over the shown rows, which have these numbers, gives this update by these steps."""
    if len(rows) != said.rows:
        return False
    try:
        run = train(model, rows, rule, said.seed, numbers)
    except ValueError:
        return False  # nobody can train so many rows
    return (sha256(encode_update(run.update)), run.steps_root) == (said.update, said.steps)
