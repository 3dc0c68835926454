"""The result of a round: new weights from all updates, and what each update was worth on the rows of others.

Contributors of one house count as one: their updates are averaged, their rows are one shard, and they share its credit.
So nobody gains weight or credit by further keys, as long as the houses of a rule are right.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import REPORTED, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine.tabular.aggregate import aggregate, mean
from p2pverify.engine.tabular.credit import ShardLosses, Worths, is_harmful, lower_median, shapley_values
from p2pverify.engine.tabular.manifest import round_manifest
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_model, decode_rows
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.training import Run, check_fits, check_rows, train
from p2pverify.engine.tabular.update import is_within

_House = tuple[int, bytes]


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

    def train(self, base: Any, rows: Any, rule: TrainingRule, seed: bytes) -> RoundRun:
        """One contributor's part. Raises ValueError if rows or base do not fit the rule."""
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

    def train(self, base: TabularModel, rows: Rows, rule: TrainingRule, seed: bytes) -> Run:
        return train(base, rows, rule, seed)

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


def evaluate(
    base: Trained,
    parent: Manifest,
    updates: Mapping[bytes, Ints],
    shards: Mapping[bytes, Any],
    rule: TrainingRule,
    seed: bytes,
    left_out: AbstractSet[bytes] = frozenset(),
    tools: RoundTools = TABULAR,
) -> Evaluation[Trained]:
    """Aggregate updates, and give credit for them.

    `updates` and `shards` are by author (key, 32 B): the weights' changes, and the held-out rows that were opened.
    `parent` is the manifest of the base. `seed` (32 B) draws the orders of more than 8 houses. The updates of authors
    in `left_out` (those in quarantine) get credit, but are not in the aggregate.

    With no update in the aggregate the weights stay. Without shards, all credits and the gain are 0. Nobody is marked
    if the lower median of the credits is negative, because then the round itself is at fault.

    Raises ValueError if something does not fit the rule: base, number of weights, norm of an update, an empty shard, or
    shards in mode 2, where owners report losses instead.
    """
    tools.check(base, rule)
    if shards and rule.mode == REPORTED:
        raise ValueError("in mode 2 nobody opens rows")
    if any(len(each) != len(base.weights) or not is_within(each, tools.clip(rule)) for each in updates.values()):
        raise ValueError("an update has another number of weights, or a norm above the clip of the rule")
    houses = _houses(rule, updates)
    kept = [[updates[key] for key in keys if key not in left_out] for keys in houses.values()]
    heard = [mean(np.stack(each)) for each in kept if each]
    model = base.moved(aggregate(np.stack(heard), rule.aggregate, rule.f)) if heard else base
    manifest = tools.manifest(model, parent)
    if not shards:
        return Evaluation(model, manifest, 0, dict.fromkeys(sorted(updates), 0), dict.fromkeys(sorted(updates), False))
    owners = _houses(rule, shards)
    players = [mean(np.stack([updates[key] for key in keys])) for keys in houses.values()]
    losses = tools.losses(base, [[shards[key] for key in keys] for keys in owners.values()], rule)
    worths = Worths(base, players, losses)
    values = {
        house: [value for owner, value in zip(owners, row, strict=True) if owner != house]
        for house, row in zip(houses, shapley_values(worths, len(houses), seed), strict=True)
    }
    credit = {house: lower_median(row) for house, row in values.items()}
    is_sound = lower_median(list(credit.values())) >= 0
    return Evaluation(
        model,
        manifest,
        lower_median((worths.of(0) - worths.losses(model)).tolist()),
        {key: credit[house] // len(keys) for house, keys in houses.items() for key in keys},
        {
            key: is_sound and is_harmful(values[house], rule.mark_below)
            for house, keys in houses.items()
            for key in keys
        },
    )


def _houses(rule: TrainingRule, keys: Mapping[bytes, object]) -> dict[_House, list[bytes]]:
    """The keys (32 B) of each house, in the order of the house's first key. An unlisted key is a house of its own."""
    found: dict[_House, list[bytes]] = {}
    for key in sorted(keys):
        number = rule.house_of(key)
        found.setdefault((-1, key) if number is None else (number, b""), []).append(key)
    return found


def _joined(shards: Sequence[Rows]) -> Rows:
    """The rows of several shards as one."""
    return Rows(
        np.concatenate([shard.features for shard in shards]), np.concatenate([shard.labels for shard in shards])
    )
