"""The result of a round: new weights from all updates, and what each update was worth on the rows of others.

Contributors of one house count as one: their updates are averaged, their rows are one shard, and they share its credit.
So nobody gains weight or credit by further keys, as long as the houses of a rule are right.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import REPORTED, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine.tabular.aggregate import aggregate, mean
from p2pverify.engine.tabular.credit import (
    ReportedWorths,
    ShardLosses,
    Worths,
    is_harmful,
    lower_median,
    shapley_values,
)
from p2pverify.engine.tabular.manifest import round_manifest
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_model, decode_rows
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.training import Run, check_fits, check_rows, train
from p2pverify.engine.tabular.update import is_within


class RoundModel(Protocol):
    """A model whose weights are integers that updates are added to."""

    @property
    def weights(self) -> Ints: ...

    @property
    def digest(self) -> bytes: ...

    def encode(self) -> bytes: ...

    def moved(self, update: Ints) -> Self: ...


Trained = TypeVar("Trained", bound=RoundModel)


class RoundRows(Protocol):
    """Rows that a model of a kind can read."""

    def __len__(self) -> int: ...

    def taken(self, index: NDArray[np.intp]) -> "RoundRows":
        """Some of the rows, by number."""
        ...


class RoundRun(Protocol):
    """A training: the update, and the root over its steps (32 B)."""

    @property
    def update(self) -> Ints: ...

    @property
    def steps_root(self) -> bytes: ...


class RoundTools(Protocol):
    """What rounds of a kind of models do differently. Its models and its rows go to its own methods alone."""

    def open(self, base: bytes) -> Any:
        """The model of the bytes from which a round starts. Raises DecodeError."""
        ...

    def clip(self, rule: TrainingRule) -> int:
        """The greatest norm of an update, in the unit of its numbers."""
        ...

    def read(self, base: Any, rows: Sequence[bytes], rule: TrainingRule) -> Any:
        """Rows of a data set. Raises DecodeError if one is no row of the schema."""
        ...

    def check(self, base: Any, rule: TrainingRule) -> None:
        """Raises ValueError if a base is not one of the rule's line, or the machine not one that may judge it."""
        ...

    def train(self, base: Any, rows: Any, rule: TrainingRule, seed: bytes, numbers: Sequence[int]) -> RoundRun:
        """One contributor's part. `numbers` are those of the rows in their data set, ascending: they decide the order.

        Raises ValueError if there are no rows, or rows or base do not fit the rule.
        """
        ...

    def losses(self, base: Any, shards: Sequence[Sequence[Any]], rule: TrainingRule) -> Callable[[Any], Ints]:
        """What gives the mean loss of a model on each shard; an item of `shards` has those of one house."""
        ...

    def manifest(self, model: Any, parent: Manifest) -> Manifest:
        """The manifest of a model that a round gave."""
        ...


class TabularTools(RoundTools):
    """The tools of tabular models."""

    def open(self, base: bytes) -> TabularModel:
        return decode_model(base)

    def clip(self, rule: TrainingRule) -> int:
        return rule.clip_q16

    def read(self, base: TabularModel, rows: Sequence[bytes], rule: TrainingRule) -> Rows:  # noqa: ARG002
        return decode_rows(base.schema, rows)

    def check(self, base: TabularModel, rule: TrainingRule) -> None:
        check_fits(base, rule)

    def train(self, base: TabularModel, rows: Rows, rule: TrainingRule, seed: bytes, numbers: Sequence[int]) -> Run:
        return train(base, rows, rule, seed, numbers)

    def losses(
        self,
        base: TabularModel,
        shards: Sequence[Sequence[Rows]],
        rule: TrainingRule,  # noqa: ARG002 - losses do not depend on it
    ) -> ShardLosses:
        for shard in (each for of_house in shards for each in of_house):
            check_rows(base, shard)
        return ShardLosses([_joined(each) for each in shards])

    def manifest(self, model: TabularModel, parent: Manifest) -> Manifest:
        return round_manifest(model, parent)


TABULAR = TabularTools()


@dataclass(frozen=True, eq=False)
class Evaluation(Generic[Trained]):
    """What a round gives. Losses are in micronats.

    `gain` is by how much the new weights lower the loss: the lower median over the shards of all houses. `credits` and
    `marks` have all authors of updates: what an update was worth, and whether this is a mark against its author.
    """

    model: Trained
    manifest: Manifest
    gain: int
    credits: dict[bytes, int]
    marks: dict[bytes, bool]

    @property
    def manifest_digest(self) -> bytes:
        """The name (32 B) of the new version."""
        return self.manifest.digest


@dataclass(frozen=True, slots=True)
class ReportedRound:
    """What owners report in mode 2. `authors` are those of all opened updates, and `tables` have losses by owner."""

    authors: AbstractSet[bytes]
    tables: Mapping[bytes, Sequence[int]]


def evaluate(
    base: Trained,
    parent: Manifest,
    updates: Mapping[bytes, Ints],
    shards: Mapping[bytes, Any],
    rule: TrainingRule,
    seed: bytes,
    left_out: AbstractSet[bytes] = frozenset(),
    reported: ReportedRound | None = None,
    tools: RoundTools = TABULAR,
) -> Evaluation[Trained]:
    """Aggregate updates, and give credit for them.

    `updates` and `shards` are by author (key, 32 B): the weights' changes, and the held-out rows that were opened.
    `parent` is the manifest of the base. `seed` (32 B) draws the orders of more than 8 houses. The updates of authors
    in `left_out` (those in quarantine) get credit, but are not in the aggregate.

    In mode 2 there are no shards, and `reported` has the losses that owners report.

    With no update in the aggregate the weights stay. Without shards, all credits and the gain are 0. Nobody is marked
    if the lower median of the credits is negative, because then the round itself is at fault.

    Raises ValueError if something does not fit the rule: base, number of weights, norm of an update, an empty shard, or
    shards in mode 2, where owners report losses instead.
    """
    _check(base, updates, shards, rule, tools)
    houses = rule.sorted_houses(updates)
    model = _moved(base, updates, rule, left_out)
    manifest = tools.manifest(model, parent)
    if not shards and (reported is None or not reported.tables or not updates):
        return Evaluation(model, manifest, 0, dict.fromkeys(sorted(updates), 0), dict.fromkeys(sorted(updates), False))
    worths: Worths | ReportedWorths
    if reported is None:
        owners = rule.sorted_houses(shards)
        players = [mean(np.stack([updates[key] for key in keys])) for keys in houses.values()]
        losses = tools.losses(base, [[shards[key] for key in keys] for keys in owners.values()], rule)
        worths = Worths(base, players, losses)
        gains = worths.of(0) - losses(model)
    else:
        owners = rule.sorted_houses(reported.tables)
        places = list(rule.sorted_houses(reported.authors))
        tables = [_mean_table([reported.tables[key] for key in keys]) for keys in owners.values()]
        worths = ReportedWorths(tables, [places.index(house) for house in houses])
        gains = worths.of(0) - worths.final()
    values = {
        house: [value for owner, value in zip(owners, row, strict=True) if owner != house]
        for house, row in zip(houses, shapley_values(worths, len(houses), seed), strict=True)
    }
    credit = {house: lower_median(row) for house, row in values.items()}
    is_sound = lower_median(list(credit.values())) >= 0
    return Evaluation(
        model,
        manifest,
        lower_median(gains.tolist()),
        {key: credit[house] // len(keys) for house, keys in houses.items() for key in keys},
        {
            key: is_sound and is_harmful(values[house], rule.mark_below)
            for house, keys in houses.items()
            for key in keys
        },
    )


def _check(
    base: Trained, updates: Mapping[bytes, Ints], shards: Mapping[bytes, Any], rule: TrainingRule, tools: RoundTools
) -> None:
    """Raises ValueError if something does not fit the rule."""
    tools.check(base, rule)
    if shards and rule.mode == REPORTED:
        raise ValueError("in mode 2 nobody opens rows")
    if any(len(each) != len(base.weights) or not is_within(each, tools.clip(rule)) for each in updates.values()):
        raise ValueError("an update has another number of weights, or a norm above the clip of the rule")


def loss_table(
    base: Trained,
    updates: Mapping[bytes, Ints],
    authors: Iterable[bytes],
    rows: Any,
    rule: TrainingRule,
    left_out: AbstractSet[bytes] = frozenset(),
    tools: RoundTools = TABULAR,
) -> tuple[int, ...]:
    """What an owner reports in mode 2 of its rows: see `core.training.losses`.

    `authors` are those of all opened updates. One that is broken or unseen is none of `updates`: it moves nothing.
    """
    _check(base, updates, {}, rule, tools)
    losses = tools.losses(base, [[rows]], rule)
    houses = rule.sorted_houses(authors)
    own = [[updates[key] for key in keys if key in updates] for keys in houses.values()]
    worths = Worths(base, [mean(np.stack(each)) for each in own if each], losses)
    players: list[int] = [place for place, each in enumerate(own) if each]
    found = [
        int(worths.of(sum(1 << player for player, place in enumerate(players) if chosen >> place & 1))[0])
        for chosen in range(2 ** len(houses))
    ]
    return (*found, int(losses(_moved(base, updates, rule, left_out))[0]))


def _moved(base: Trained, updates: Mapping[bytes, Ints], rule: TrainingRule, left_out: AbstractSet[bytes]) -> Trained:
    """The new weights: the base with the aggregate of the houses that are not left out."""
    kept = [[updates[key] for key in keys if key not in left_out] for keys in rule.sorted_houses(updates).values()]
    heard = [mean(np.stack(each)) for each in kept if each]
    return base.moved(aggregate(np.stack(heard), rule.aggregate, rule.f)) if heard else base


def _mean_table(tables: Sequence[Sequence[int]]) -> list[int]:
    """The table of a house with several keys: the mean of theirs, rounded down."""
    return [sum(losses) // len(tables) for losses in zip(*tables, strict=True)]


def _joined(shards: Sequence[Rows]) -> Rows:
    """The rows of several shards as one."""
    return Rows(
        np.concatenate([shard.features for shard in shards]), np.concatenate([shard.labels for shard in shards])
    )
