"""The result of a round: credit by effect on the rows of others, marks, houses, and the manifest."""

from dataclasses import replace

import numpy as np
import pytest

from p2pverify.core.contract.history.training import MEAN
from p2pverify.core.contract.manifest import decode_manifest
from p2pverify.engine.tabular.credit import ShardLosses, Worths, is_harmful, lower_median, shapley_values
from p2pverify.engine.tabular.evaluation import Evaluation, evaluate
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import Rows, TabularModel, initial
from p2pverify.engine.tabular.training import train
from tests.engine.tabular.examples import AUTHORS, SEED, listed, rows_of, ruled
from tests.support import tabular
from tests.support.datasets import SCHEMA

BASE = initial(SCHEMA)
PARENT = tabular_manifest(BASE, "rows", "CC-BY-4.0", "initial")
RULE = ruled(epochs=1, batch=8)
UPDATES = {key: train(BASE, rows_of(40, at), RULE, key).update for at, key in enumerate(AUTHORS)}
SHARDS = {key: rows_of(8, 100 + at) for at, key in enumerate(AUTHORS)}


def evaluated(updates=UPDATES, shards=SHARDS, rule=RULE, base=BASE, **more) -> Evaluation:
    return evaluate(base, PARENT, updates, shards, rule, SEED, **more)


def test_shapley_values_are_those_of_the_definition() -> None:
    """Four players on two shards: the mean over all 24 orders, computed with fractions."""
    updates, shards = list(UPDATES.values())[:4], list(SHARDS.values())[:2]
    found = shapley_values(Worths(BASE, updates, ShardLosses(shards)), 4, SEED)
    net = tabular.Net(BASE.weights.tolist(), 2, 0, 2)
    plain = [each.tolist() for each in updates]
    by_shard = [tabular.shapley(net, plain, listed(shard)) for shard in shards]
    assert found == [list(each) for each in zip(*by_shard, strict=True)]


def test_many_players_are_judged_by_drawn_orders() -> None:
    """From nine players on: near the exact values of eight and one that adds nothing, and fixed by the seed."""
    updates = [train(BASE, rows_of(30, at), RULE, bytes([at]) * 32).update for at in range(8)]
    shards = [rows_of(30, 50)]
    exact = shapley_values(Worths(BASE, updates, ShardLosses(shards)), 8, SEED)
    assert sum(each[0] for each in exact) == pytest.approx(
        int((Worths(BASE, updates, ShardLosses(shards)).of(0) - Worths(BASE, updates, ShardLosses(shards)).of(255))[0]),
        abs=8,
    )
    nine = Worths(BASE, [*updates, np.zeros_like(updates[0])], ShardLosses(shards))
    found = shapley_values(nine, 9, SEED)
    assert found == shapley_values(nine, 9, SEED) != shapley_values(nine, 9, bytes(32))
    whole = int((nine.of(0) - nine.of(511))[0])
    assert abs(sum(each[0] for each in found) - whole) <= 9
    assert found[8][0] < min(each[0] for each in found[:8])


def test_a_round() -> None:
    """Honest updates lower the loss, are worth something, and the new manifest follows from weights and parent."""
    found = evaluated()
    assert found.gain > 100_000
    assert min(found.credits.values()) > 0
    assert found.credits.keys() == found.marks.keys() == UPDATES.keys()
    assert not any(found.marks.values())
    trimmed = np.sort(np.stack(list(UPDATES.values())), axis=0)[1:4].sum(axis=0) // 3
    assert found.model.weights.tolist() == trimmed.tolist()
    manifest = decode_manifest(found.manifest.encode())
    assert (manifest.parent, manifest.weights, manifest.provenance) == (PARENT.digest, found.model.digest, "round")
    assert (manifest.model, manifest.licence, manifest.tokenizer) == ("rows", "CC-BY-4.0", SCHEMA.id)
    again = evaluated(dict(reversed(UPDATES.items())), dict(reversed(SHARDS.items())))
    assert (again.manifest_digest, again.credits) == (found.manifest_digest, found.credits)


@pytest.mark.parametrize("cheat", ["flip", "sign", "zero", "own"])
def test_who_cheats_earns_nothing(cheat: str) -> None:
    """A harmful or empty update has a mark and less credit than all others, also if its author's own shard loves it."""
    cheater, updates, shards = AUTHORS[0], dict(UPDATES), dict(SHARDS)
    if cheat == "sign":
        updates[cheater] = -UPDATES[cheater]
    elif cheat == "zero":
        updates[cheater] = np.zeros_like(UPDATES[cheater])
    else:
        updates[cheater] = train(BASE, rows_of(40, 0, flip=True), RULE, SEED).update
        shards[cheater] = rows_of(200, 1, flip=True)
    found = evaluated(updates, shards)
    others = [found.credits[key] for key in AUTHORS[1:]]
    assert found.credits[cheater] < min(others) / 2
    assert found.marks == {key: key == cheater for key in AUTHORS}
    assert min(others) > 0
    assert found.gain > 0


def test_a_house_counts_once() -> None:
    """Two keys of one house share one credit, and move the mean as one."""
    rule = replace(RULE, aggregate=MEAN, f=0, contributors=tuple((key, at // 2) for at, key in enumerate(AUTHORS)))
    same = {**UPDATES, AUTHORS[1]: UPDATES[AUTHORS[0]]}
    found = evaluated(same, rule=rule)
    single = {key: update for key, update in same.items() if key != AUTHORS[1]}
    joined = Rows(
        *(np.concatenate([getattr(SHARDS[key], name) for key in AUTHORS[:2]]) for name in ("features", "labels"))
    )
    alone = evaluated(single, {**{key: SHARDS[key] for key in AUTHORS[2:]}, AUTHORS[0]: joined}, rule)
    assert found.model.weights.tolist() == alone.model.weights.tolist()
    assert found.credits[AUTHORS[0]] == found.credits[AUTHORS[1]] == alone.credits[AUTHORS[0]] // 2
    assert found.gain == alone.gain


def test_quarantine_leaves_out_of_the_aggregate_only() -> None:
    """The update of a quarantined author still gets credit, by which it can come back."""
    found = evaluated(left_out={AUTHORS[0]})
    assert found.credits == evaluated().credits
    rest = {key: update for key, update in UPDATES.items() if key != AUTHORS[0]}
    assert found.model.weights.tolist() == evaluated(rest).model.weights.tolist()
    assert evaluated(left_out=set(AUTHORS)).model.digest == BASE.digest


def test_nothing_to_judge_by() -> None:
    """Without shards or updates there is no credit. A shard alone judges nobody but others."""
    found = evaluated(shards={})
    assert (found.gain, set(found.credits.values()), any(found.marks.values())) == (0, {0}, False)
    assert found.model.digest == evaluated().model.digest
    none = evaluated(updates={})
    assert (none.gain, none.credits, none.model.digest) == (0, {}, BASE.digest)
    own = evaluated(shards={AUTHORS[0]: SHARDS[AUTHORS[0]]})
    assert own.credits[AUTHORS[0]] == 0 < own.credits[AUTHORS[1]]


def test_marks() -> None:
    """More than three quarters of the others' shards, and a median below the bound."""
    assert is_harmful([-3000] * 4, 2000)
    assert not is_harmful([-3000, -3000, -3000, 1], 2000)
    assert not is_harmful([-1999] * 4, 2000)
    assert not is_harmful([], 0)
    assert [lower_median(each) for each in ([], [5], [5, 1], [3, 1, 2])] == [0, 5, 1, 2]
    harm = {key: -update for key, update in UPDATES.items()}
    assert not any(evaluated(harm).marks.values())


def test_what_does_not_fit_is_refused() -> None:
    """An update of another size or above the clip, an empty shard, shards in mode 2, another schema."""
    key = AUTHORS[0]
    for change, reason in (
        ({"updates": {key: UPDATES[key][:-1]}}, "number of weights"),
        ({"updates": {key: UPDATES[key] + (1 << 18)}}, "above the clip"),
        ({"shards": {key: SHARDS[key].taken(slice(0))}}, "no rows"),
        ({"rule": replace(RULE, mode=2, held_rows=0)}, "mode 2"),
        ({"base": TabularModel(SCHEMA, 1, BASE.weights)}, "hidden units"),
    ):
        with pytest.raises(ValueError, match=reason):
            evaluated(**change)
