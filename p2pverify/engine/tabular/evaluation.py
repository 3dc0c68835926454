"""The result of a round: new weights from all updates, and what each update was worth on the rows of others.

Contributors of one house count as one: their updates are averaged, their rows are one shard, and they share its credit.
So nobody gains weight or credit by further keys, as long as the houses of a rule are right.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from p2pverify.core.contract.history.training import REPORTED, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine.tabular.aggregate import aggregate, mean
from p2pverify.engine.tabular.credit import ReportedWorths, Worths, is_harmful, lower_median, shapley_values
from p2pverify.engine.tabular.manifest import round_manifest
from p2pverify.engine.tabular.model import Rows, TabularModel
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.training import check_fits, check_rows
from p2pverify.engine.tabular.update import is_within


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a round gives. Losses are in micronats.

    `gain` is by how much the new weights lower the loss: the lower median over the shards of all houses. `credits` and
    `marks` have all authors of updates: what an update was worth, and whether this is a mark against its author.
    """

    model: TabularModel
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
    base: TabularModel,
    parent: Manifest,
    updates: Mapping[bytes, Ints],
    shards: Mapping[bytes, Rows],
    rule: TrainingRule,
    seed: bytes,
    left_out: AbstractSet[bytes] = frozenset(),
    reported: ReportedRound | None = None,
) -> Evaluation:
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
    _check(base, updates, shards, rule)
    houses = rule.sorted_houses(updates)
    model = _moved(base, updates, rule, left_out)
    manifest = round_manifest(model, parent)
    if not shards and (reported is None or not reported.tables or not updates):
        return Evaluation(model, manifest, 0, dict.fromkeys(sorted(updates), 0), dict.fromkeys(sorted(updates), False))
    worths: Worths | ReportedWorths
    if reported is None:
        owners = rule.sorted_houses(shards)
        players = [mean(np.stack([updates[key] for key in keys])) for keys in houses.values()]
        worths = Worths(base, players, [_joined([shards[key] for key in keys]) for keys in owners.values()])
        gains = worths.of(0) - worths.losses(model)
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


def _check(base: TabularModel, updates: Mapping[bytes, Ints], shards: Mapping[bytes, Rows], rule: TrainingRule) -> None:
    """Raises ValueError if something does not fit the rule."""
    check_fits(base, rule)
    for shard in shards.values():
        check_rows(base, shard)
    if shards and rule.mode == REPORTED:
        raise ValueError("in mode 2 nobody opens rows")
    if any(len(each) != len(base.weights) or not is_within(each, rule.clip_q16) for each in updates.values()):
        raise ValueError("an update has another number of weights, or a norm above the clip of the rule")


def loss_table(
    base: TabularModel,
    updates: Mapping[bytes, Ints],
    authors: Iterable[bytes],
    rows: Rows,
    rule: TrainingRule,
    left_out: AbstractSet[bytes] = frozenset(),
) -> tuple[int, ...]:
    """What an owner reports in mode 2 of its rows: see `core.training.losses`.

    `authors` are those of all opened updates. One that is broken or unseen is none of `updates`: it moves nothing.
    """
    _check(base, updates, {}, rule)
    check_rows(base, rows)
    houses = rule.sorted_houses(authors)
    own = [[updates[key] for key in keys if key in updates] for keys in houses.values()]
    worths = Worths(base, [mean(np.stack(each)) for each in own if each], [rows])
    players: list[int] = [place for place, each in enumerate(own) if each]
    found = [
        int(worths.of(sum(1 << player for player, place in enumerate(players) if chosen >> place & 1))[0])
        for chosen in range(2 ** len(houses))
    ]
    return (*found, int(worths.losses(_moved(base, updates, rule, left_out))[0]))


def _moved(
    base: TabularModel, updates: Mapping[bytes, Ints], rule: TrainingRule, left_out: AbstractSet[bytes]
) -> TabularModel:
    """The new weights: the base with the aggregate of the houses that are not left out."""
    kept = [[updates[key] for key in keys if key not in left_out] for keys in rule.sorted_houses(updates).values()]
    heard = [mean(np.stack(each)) for each in kept if each]
    return base.moved(aggregate(np.stack(heard), rule.aggregate, rule.f)) if heard else base


def _mean_table(tables: Sequence[Sequence[int]]) -> list[int]:
    """The table of a house with several keys: the mean of theirs, rounded down."""
    return [sum(losses) // len(tables) for losses in zip(*tables, strict=True)]


def _joined(shards: list[Rows]) -> Rows:
    """The rows of several shards as one."""
    return Rows(
        np.concatenate([shard.features for shard in shards]), np.concatenate([shard.labels for shard in shards])
    )
