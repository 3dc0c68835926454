"""Every vector of training, run by the implementation and by a second one that has no numpy."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from p2pverify.core.contract.history.training import SGD, TrainingRule, read_training
from p2pverify.core.contract.manifest import decode_manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.tabular.aggregate import aggregate
from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.evaluation import evaluate
from p2pverify.engine.tabular.model import TabularModel, decode_model, decode_rows
from p2pverify.engine.tabular.noise import noise
from p2pverify.engine.tabular.numbers import EXP_TABLE, LOSS_TABLE
from p2pverify.engine.tabular.training import train
from p2pverify.engine.tabular.update import decode_update, encode_update
from tests.protocol.test_vectors import _bytes, _load
from tests.support import tabular
from tests.support.grammar import conforms

RULE_BYTES_MAX = 4096


def _rule(case: dict[str, Any]) -> TrainingRule:
    return read_training(decode(_bytes(case, "rule"), size_max=RULE_BYTES_MAX))


def _net(model: TabularModel) -> tabular.Net:
    schema = model.schema
    return tabular.Net(model.weights.tolist(), len(schema.features), model.hidden, len(schema.labels))


def _verdict(case: dict[str, Any], read: Any) -> tuple[str, str | None]:
    try:
        read()
    except DecodeError as error:
        return "reject", error.reason
    return "accept", None


@pytest.mark.parametrize("case", _load("training-rule/*.json"))
def test_rules(case: dict[str, Any]) -> None:
    """Each rule is read, or refused for the vector's reason. The grammar accepts all that is read."""
    found = _verdict(case, lambda: _rule(case))
    assert found == (case["expect"], case["reason"])
    if found[0] == "accept":
        assert encode(_rule(case).to_value()) == _bytes(case, "rule")
        assert conforms("training-rule", _bytes(case, "rule"))


@pytest.mark.parametrize("case", _load("training-model/*.json"))
def test_models(case: dict[str, Any]) -> None:
    """Each model is read, or refused for the vector's reason."""
    data = _bytes(case, "model")
    assert _verdict(case, lambda: decode_model(data)) == (case["expect"], case["reason"])
    assert case["reason"] or decode_model(data).encode() == data


@pytest.mark.parametrize("case", _load("training-update/*.json"))
def test_updates(case: dict[str, Any]) -> None:
    """Each update is read, or refused for the vector's reason."""
    data, count, clip = _bytes(case, "update"), case["input"]["count"], case["input"]["clip"]
    assert _verdict(case, lambda: decode_update(data, count, clip)) == (case["expect"], case["reason"])
    assert case["reason"] or encode_update(decode_update(data, count, clip)) == data


@pytest.mark.parametrize("case", _load("training/runs.json"))
def test_runs(case: dict[str, Any]) -> None:
    """Both implementations come to the vector's weights, update and steps."""
    rule, base, seed = _rule(case), decode_model(_bytes(case, "model")), _bytes(case, "seed")
    rows = [bytes.fromhex(row) for row in case["input"]["rows"]]
    run = train(base, decode_rows(base.schema, rows), rule, seed)
    found = (run.model.digest, run.update_digest, run.steps_root)
    assert [each.hex() for each in found] == [case["expect"][name] for name in ("model", "update", "steps_root")]
    assert len(run.leaves) == case["expect"]["steps"]
    by_hand = tabular.train if rule.trainer == SGD else tabular.private
    net, update, root = by_hand(_net(base), [base.schema.cells(row) for row in rows], rule, seed)
    assert (net.flat(), update, root) == (run.model.weights.tolist(), run.update.tolist(), run.steps_root)


@pytest.mark.parametrize("case", _load("training/noise.json"))
def test_noise(case: dict[str, Any]) -> None:
    """Both implementations draw the vector's noise."""
    seed, sigma = _bytes(case, "seed"), case["input"]["sigma"]
    bits = tabular.Bits(seed)
    assert noise(seed, sigma, 12).tolist() == case["expect"] == [bits.gaussian(sigma) for _ in range(12)]


@pytest.mark.parametrize("case", _load("training/aggregates.json"))
def test_aggregates(case: dict[str, Any]) -> None:
    """Each aggregate is the vector's."""
    given = case["input"]
    assert aggregate(np.array(given["updates"], np.int64), given["aggregate"], given["f"]).tolist() == case["expect"]


@pytest.mark.parametrize("case", _load("training/evaluations.json"))
def test_evaluations(case: dict[str, Any]) -> None:
    """Each round has the vector's weights, manifest, gain, credits and marks."""
    given, base, rule = case["input"], decode_model(_bytes(case, "model")), _rule(case)
    updates = {
        bytes.fromhex(key): decode_update(bytes.fromhex(data), len(base.weights), rule.clip_q16)
        for key, data in given["updates"]
    }
    rows = {bytes.fromhex(key): [bytes.fromhex(row) for row in rows] for key, rows in given["shards"]}
    shards = {key: decode_rows(base.schema, each) for key, each in rows.items()}
    left_out = set(map(bytes.fromhex, given["left_out"]))
    found = evaluate(
        base, decode_manifest(_bytes(case, "parent")), updates, shards, rule, _bytes(case, "seed"), left_out
    )
    shares = [[key.hex(), worth, found.marks[key]] for key, worth in found.credits.items()]
    shown = (found.model.digest.hex(), found.manifest_digest.hex(), found.gain, shares)
    assert shown == tuple(case["expect"][name] for name in ("model", "manifest", "gain", "credits"))
    if case["comment"] == "one has the sign of its update wrong":
        by_hand = _by_hand(
            base, list(updates.values()), [[base.schema.cells(row) for row in rows[key]] for key in updates]
        )
        assert [worth for _, worth, _ in shares] == by_hand


def _by_hand(base: TabularModel, updates: list[Any], shards: list[list[tabular.Row]]) -> list[int]:
    """The lower median of Shapley values over the shards of the others, by the definition."""
    plain = [update.tolist() for update in updates]
    values = [tabular.shapley(_net(base), plain, shard) for shard in shards]
    columns = [sorted(row[at] for owner, row in enumerate(values) if owner != at) for at in range(len(updates))]
    return [column[(len(column) - 1) // 2] for column in columns]


@pytest.mark.parametrize("case", _load("training/answers.json"))
def test_answers(case: dict[str, Any]) -> None:
    """Each prompt and answer is the vector's; at temperature 0 the second implementation gives the same tokens."""
    given = case["input"]
    model = decode_model(_bytes(case, "model"))
    engine = TabularEngine(model)
    prompt = engine.write_prompt(_bytes(case, "prompt_seed"), 2)
    ask = Ask(prompt, given["tokens_max"], given["temperature_milli"], _bytes(case, "sampler_key"))
    output = engine.answer(ask).output
    shown = {
        "prompt": list(prompt),
        "tokens": list(output.tokens),
        "finish": output.finish,
        "logits": output.logits.hex(),
    }
    assert shown == case["expect"]
    logits = _net(model).forward([token - 32768 for token in prompt])[-1]
    shares = tabular.softmax(logits)
    right = [logits.index(max(logits)), 65536 + int(Fraction(max(shares) * 1000, 65536) + Fraction(1, 2))]
    assert output.tokens[1:] == tuple(right[1 : len(output.tokens)])
    assert given["temperature_milli"] or output.tokens[0] == right[0]
    seen = [row for row, _ in zip((logits, shares), output.tokens, strict=False)]
    rows = b"".join(each.to_bytes(8, "little", signed=True) for row in seen for each in row)
    assert output.logits == sha256(rows)


@pytest.mark.parametrize("case", _load("training/tables.json"))
def test_tables(case: dict[str, Any]) -> None:
    """The tables have the vector's digest."""
    table = {len(each): each for each in (EXP_TABLE, LOSS_TABLE)}[case["input"]["entries"]]
    assert sha256(table.astype(">i4").tobytes()).hex() == case["expect"]["sha256"]
