"""A world whose members train real rows, rows that are erased, and the run that never had the erased rows."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from p2pverify.core.contract.history.training import REPLAY, SGD
from p2pverify.core.data.commitments import ERASED_ROW, RowTable, commit_row, rows_root
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.data import Dataset, Erasure
from p2pverify.core.state.lines.versions import find_version, notes_of
from p2pverify.core.state.rounds.notes import NO_ROUNDS, LineRounds
from p2pverify.core.state.state import State
from p2pverify.core.training.orders import (
    ReportOrder,
    TrainedUpdate,
    TrainingFailed,
    TrainingOrder,
    TrainingOutcome,
    TrainOrder,
)
from p2pverify.engine.tabular import initial
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.trainer import TabularTrainer
from p2pverify.node.training.counterfactual import CounterfactualOwner, run_rounds
from p2pverify.node.training.ports import TrainedBytes
from p2pverify.node.training.versions import RoundBase
from p2pverify.testnet.world import World
from tests.engine.tabular.examples import rows_of
from tests.support.datasets import SCHEMA, dataset_of
from tests.support.networks import seeds
from tests.support.rounds import round_world
from tests.support.worlds import final, run_until

ROWS, HELD, SHOWN = 60, 24, 4
#: Erased rows, by the number of their owner.
Erased = Mapping[int, Sequence[int]]
FIRST = initial(SCHEMA)
PARENT = tabular_manifest(FIRST, "cells", "MIT", "made for a test")
TRAINER = TabularTrainer()


def table_of(number: int) -> list[tuple[bytes, bytes] | None]:
    """The salts and the bytes of an owner's rows."""
    made = rows_of(ROWS, number)
    pairs = zip(made.features.tolist(), made.labels.tolist(), strict=True)
    cells = [b"".join(each.to_bytes(2, "big", signed=True) for each in row) + bytes([label]) for row, label in pairs]
    return [(sha256(b"%d %d" % (number, at)), row) for at, row in enumerate(cells)]


def root_of(table: RowTable) -> bytes:
    return rows_root([ERASED_ROW if row is None else commit_row(*row) for row in table])


def chosen_rows(choice: int) -> dict[int, list[int]]:
    """Some rows of some owners, by the number of a choice."""
    dice = random.Random(choice)
    owners = dice.sample(range(5), dice.randint(1, 3))
    return {owner: sorted(dice.sample(range(ROWS), dice.randint(1, 20))) for owner in owners}


class RealRounds:
    """Five members that train rows of their own, and two that only vote. Blobs are the same for all."""

    def __init__(self, *, seed: int = 1, rounds: int = 3, **rule: Any) -> None:
        self.keys = sorted(sign.public_key(each) for each in seeds(7, f"world-{seed}"))
        self.tables: dict[bytes, list[tuple[bytes, bytes] | None]] = {
            key: table_of(number) for number, key in enumerate(self.keys[:5])
        }
        self.blobs: dict[bytes, bytes] = {}
        self.bases = {PARENT.digest: (FIRST.encode(), PARENT)}
        self.noise: dict[tuple[int, bytes], bytes] = {}  # the secret seeds of a round, by number and key
        self.words: dict[bytes, list[tuple[Kind, bytes]]] = {key: [] for key in self.keys}
        rule = {"erasure_policy": REPLAY, "rounds": rounds, "held_rows": SHOWN, "held": HELD, **rule}
        self.world: World = round_world(
            7, 5, seed=seed, outcome=self._carry_out, dataset=self._offer, words=self.words, **rule
        )
        line = self.world.network.lines[0]
        assert line.training is not None
        self.rule = line.training
        self.bases[line.genesis] = self.bases[PARENT.digest]

    def _offer(self, key: bytes) -> Dataset:
        return replace(dataset_of(rows=ROWS), root=root_of(self.tables[key]))

    def _carry_out(self, key: bytes, order: TrainingOrder) -> TrainingOutcome:
        weights, parent = self.bases[order.base]
        if isinstance(order, TrainOrder):
            table = self.tables[key]
            if root_of(table) != order.drawn.root:
                return TrainingFailed("the rows are not those that the ledger was told")
            self.noise[order.number, key] = order.seed
            made = TRAINER.train(order, weights, table)
            return self._kept(made)
        if isinstance(order, ReportOrder):
            return TRAINER.report(order, weights, self.tables[key], self.blobs)
        found = TRAINER.evaluate(order, weights, parent, self.blobs)
        if found.manifest is None or found.weights is None:
            return replace(found.result, manifest=order.base)
        self.bases[found.manifest.digest] = (found.weights, found.manifest)
        return found.result

    def _kept(self, made: TrainedBytes) -> TrainedUpdate:
        names = [sha256(data) for data in (made.update, made.shown)]
        self.blobs |= dict(zip(names, (made.update, made.shown), strict=True))
        return TrainedUpdate(names[0], made.steps, made.rows, names[1], len(made.shown))

    # ------------------------------------------------------------ what happens

    @property
    def state(self) -> State:
        return final(self.world)

    @property
    def known(self) -> LineRounds:
        return self.state.rounds.get(0, NO_ROUNDS)

    def run_until_decided(self, count: int) -> None:
        assert run_until(self.world, lambda: self.known.decided >= count, epochs_max=10 * count + 10)

    def erase(self, erased: Erased) -> None:
        """Owners erase rows, and say so."""
        for number, places in erased.items():
            key = self.keys[number]
            self.tables[key] = [None if at in places else row for at, row in enumerate(self.tables[key])]
            dataset = next(each for each, known in self.state.datasets.items() if known.author == key)
            left = sum(row is not None for row in self.tables[key])
            payload = Erasure(dataset, root_of(self.tables[key]), left, 2).encode()
            self.words[key].append((Kind.ERASURE, payload))

    def run_until_replayed(self, rounds: int) -> None:
        """Run until all rows are gone, and so many rounds stand."""

        def is_over() -> bool:
            counted = sum(known.erasures for known in self.state.datasets.values())
            return (
                counted > 0
                and not self.known.replay.todo
                and self.known.decided == rounds
                and not any(past.is_erased for past in self.known.past)
            )

        assert run_until(self.world, is_over, epochs_max=20 * rounds)

    def newest(self) -> bytes:
        """The weights of the version to which the last round led."""
        notes = notes_of(self.world.network, self.state, 0)
        version = find_version(notes, self.known.past[-1].outcome)
        return self.bases[PARENT.digest][0] if version is None else self.bases[version.manifest][0]

    # ------------------------------------------------------------ the run that never had the rows

    def without(self, erased: Erased) -> bytes:
        """The weights after all rounds that stand, of owners who never had some rows: by the trainer alone."""
        datasets = {known.author: known for known in self.state.datasets.values()}
        numbers = {over.repeats or over.number: over.number for over in self.known.closed}  # of the last run of each
        places = [numbers[past.number] for past in self.known.past]
        owners = {}
        for number, key in enumerate(self.keys[:5]):
            table = [None if at in erased.get(number, ()) else row for at, row in enumerate(table_of(number))]
            noise = None if self.rule.trainer == SGD else lambda at, key=key: self.noise[places[at], key]
            owners[key] = CounterfactualOwner(datasets[key], table, TRAINER, noise)
        first = RoundBase(FIRST.encode(), PARENT)
        return run_rounds(0, self.rule, self.known.past, first, owners, TRAINER)
