"""Cases of training in rounds: rules, models and updates as bytes, runs, noise, aggregates, evaluations, answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from vectorgen.case import Case, changed

from p2pverify.core.contract.history.lora import LORA
from p2pverify.core.contract.history.training import (
    KRUM,
    MEAN,
    MEDIAN,
    RULE_BOUNDS,
    TRIMMED,
    TrainingRule,
    read_training,
)
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.tabular.aggregate import aggregate
from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.evaluation import evaluate
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_model, decode_rows, initial
from p2pverify.engine.tabular.noise import noise
from p2pverify.engine.tabular.numbers import EXP_TABLE, LOSS_TABLE
from p2pverify.engine.tabular.training import train
from p2pverify.engine.tabular.update import decode_update, encode_update
from tests.support.datasets import SCHEMA
from tests.support.training import ADAPTED, KEYS, NOISE, RULE

SGD_RULE = replace(RULE, schema=SCHEMA.id, epochs=2, batch=8)
SEED = bytes(range(32))
RULE_BYTES_MAX = 4096
CLIP = 1 << 16


def _rows(count: int, name: str) -> list[bytes]:
    """Rows whose label follows from both features, more or less."""
    found = []
    for number in range(count):
        drawn = sha256(f"{name} {number}".encode())
        one, two = (int.from_bytes(drawn[at : at + 2], "big", signed=True) // 4 for at in (0, 2))
        label = one - 2 * two + int.from_bytes(drawn[4:6], "big", signed=True) // 16 > 0
        found.append(one.to_bytes(2, "big", signed=True) + two.to_bytes(2, "big", signed=True) + bytes([label]))
    return found


def _read(rows: list[bytes]) -> Rows:
    return decode_rows(SCHEMA, rows)


def case(comment: str, inputs: object, expect: object, reason: str | None = None) -> Case:
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _decoded(comment: str, inputs: dict[str, Any], read: Callable[[], object], reason: str | None = None) -> Case:
    why = None
    try:
        read()
    except DecodeError as error:
        why = error.reason
    assert why == reason, f"{comment}: {why}"
    return case(comment, inputs, "accept" if reason is None else "reject", reason)


def _rules() -> list[Case]:
    good = SGD_RULE.to_value()
    private = replace(SGD_RULE, **NOISE)
    adapted: list[Any] = replace(SGD_RULE, **ADAPTED).to_value()
    anybody = replace(SGD_RULE, contributors=(), hidden=16, aggregate=MEDIAN, f=0)
    reported = replace(SGD_RULE, mode=2, held_rows=0)
    nine = [[bytes([number]) * 32, number] for number in range(9)]
    values: list[tuple[str, list[object], str | None]] = [
        ("five contributors, trimmed mean", good, None),
        ("with noise", private.to_value(), None),
        ("any member, a hidden layer", anybody.to_value(), None),
        ("reported losses", reported.to_value(), None),
        (
            "reported losses of any member",
            replace(reported, contributors=()).to_value(),
            "mode 2 has listed contributors of at most 8 houses",
        ),
        (
            "reported losses of nine houses",
            changed(reported.to_value(), 3, nine),
            "mode 2 has listed contributors of at most 8 houses",
        ),
        (
            "a replay of 33 rounds",
            replace(SGD_RULE, erasure_policy=1, rounds=33).to_value(),
            "a rule that replays has at most 32 rounds",
        ),
        ("all rows open, Krum", replace(SGD_RULE, mode=0, aggregate=KRUM).to_value(), None),
        ("a language model", adapted, None),
        (
            "a language model without its item",
            adapted[:-1],
            f"{LORA} has an item of its own, and no other trainer has it",
        ),
        (
            "its item with another trainer",
            [*good, adapted[-1]],
            f"{LORA} has an item of its own, and no other trainer has it",
        ),
        ("rank 65", [*adapted[:-1], changed(adapted[-1], 0, 65)], "rank: above 64"),
        ("one token of a text", [*adapted[:-1], changed(adapted[-1], 1, 1)], "tokens is below 2"),
        ("no steps", [*adapted[:-1], changed(adapted[-1], 2, 0)], "steps is below 1"),
        ("a class without a name", [*adapted[:-1], changed(adapted[-1], 3, "")], "path is not a printable name"),
        ("a class without a proof", [*adapted[:-1], changed(adapted[-1], 4, b"")], "golden: not 32 bytes"),
        ("a language model with noise", changed(adapted, 16, 5), f"{LORA} has a batch and epochs, and no noise"),
        (
            "a language model that is trained again",
            changed(adapted, 23, 1),
            f"{LORA} has no hidden units, no mode 2 and no replay",
        ),
        ("another trainer", changed(good, 0, "tabular-sgd/2"), "unknown trainer"),
        ("mode 3", changed(good, 1, 3), "training mode: above 2"),
        ("a schema of 31 bytes", changed(good, 2, bytes(31)), "training schema: not 32 bytes"),
        (
            "33 contributors",
            changed(good, 3, [[bytes([n]) * 32, 0] for n in range(33)]),
            "contributors: more than 32 items",
        ),
        (
            "contributors out of order",
            changed(good, 3, [[KEYS[1], 0], [KEYS[0], 1]]),
            "contributors are not sorted and distinct",
        ),
        ("house 65536", changed(good, 3, [[KEYS[0], 2**16]]), "house: above 65535"),
        (
            "one house for five keys",
            changed(good, 3, [[key, 7] for key in KEYS[:5]]),
            "too few houses of contributors for f",
        ),
        ("no batch", changed(good, 9, 0), "tabular-sgd/1 has a batch and epochs, and no noise"),
        (
            "noise without the trainer for it",
            changed(good, 16, 5),
            "tabular-sgd/1 has a batch and epochs, and no noise",
        ),
        (
            "the trainer with noise, and batches",
            changed(private.to_value(), 9, 8),
            "tabular-dp/1 has noise, a clip of rows and a delta, and no batch or epochs",
        ),
        ("noise over open rows", changed(private.to_value(), 1, 0), "tabular-dp/1 hides rows that mode 0 shows"),
        ("no held rows", changed(good, 7, 0), "held_rows is 0 in mode 2, and in no other"),
        ("f of a mean", changed(good, 14, MEAN), "f is 0 for median and mean, and for no other aggregate"),
        ("a full gain below the least", changed(good, 19, 20_001), "gain_full is below gain_min"),
        ("one item less", good[:-1], f"training: not {4 + len(RULE_BOUNDS)} items"),
        ("a rate of 0", changed(good, 11, 0), "lr_q16 is below 1"),
    ]
    return [
        _decoded(comment, {"rule": encode(value).hex()}, lambda value=value: read_training(value), why)  # type: ignore[misc]
        for comment, value, why in values
    ]


def _models() -> list[Case]:
    plain, deep = initial(SCHEMA).encode(), initial(SCHEMA, 2).encode()
    size = 24 + len(SCHEMA.encode())
    values: list[tuple[str, bytes, str | None]] = [
        ("all weights 0", plain, None),
        ("two hidden units", deep, None),
        ("the greatest weights", plain[: size + 2] + (2**21 - 1).to_bytes(4, "big") * 6, None),
        ("64 hidden units", initial(SCHEMA, 64).encode(), None),
        ("nothing", b"", "not a tabular model"),
        ("another domain", b"P" + plain[1:], "not a tabular model"),
        ("cut off in the schema", plain[:30], "a model: truncated"),
        ("one weight too few", plain[:-4], "a model: not as many weights as its shape has"),
        ("a byte too many", plain + b"\0", "a model: not as many weights as its shape has"),
        ("a weight of 2^21", plain[:-4] + (2**21).to_bytes(4, "big"), "a weight is beyond 2097151"),
        ("65 hidden units", plain[:size] + b"\0\x41" + plain[size + 2 :], "a model has at most 64 hidden units"),
        ("a byte of the schema is no CBOR", plain[:24] + b"\xff" + plain[25:], "indefinite length"),
    ]
    return [
        _decoded(comment, {"model": data.hex()}, lambda data=data: decode_model(data), why)  # type: ignore[misc]
        for comment, data, why in values
    ]


def _updates() -> list[Case]:
    def told(*numbers: int) -> bytes:
        return encode_update(np.array(numbers, np.int64))

    above = "an update: its norm is above the clip"
    values: list[tuple[str, bytes, str | None]] = [
        ("nothing learned", told(0, 0, 0, 0, 0, 0), None),
        ("exactly the clip", told(CLIP, 0, 0, 0, 0, 0), None),
        ("3, 4 and zeroes", told(-3, 4, 0, 0, 0, 0), None),
        ("four numbers of half the clip", told(*[CLIP // 2] * 4, 0, 0), None),
        ("a unit above the clip", told(CLIP, 1, 0, 0, 0, 0), above),
        ("the least number of 32 bits", told(-(2**31), 0, 0, 0, 0, 0), above),
        ("five numbers", told(1, 2, 3, 4, 5), "an update: not 6 numbers"),
        ("a byte too many", told(0, 0, 0, 0, 0, 0) + b"\0", "an update: not 6 numbers"),
        ("another domain", b"x" + told(0, 0, 0, 0, 0, 0), "not an update"),
    ]
    return [
        _decoded(
            comment,
            {"update": data.hex(), "count": 6, "clip": CLIP},
            lambda data=data: decode_update(data, 6, CLIP),  # type: ignore[misc]
            why,
        )
        for comment, data, why in values
    ]


def _run(comment: str, base: TabularModel, rows: list[bytes], rule: TrainingRule) -> Case:
    run = train(base, _read(rows), rule, SEED)
    inputs = {
        "model": base.encode().hex(),
        "rows": [row.hex() for row in rows],
        "rule": encode(rule.to_value()).hex(),
        "seed": SEED.hex(),
    }
    expect = {
        "model": run.model.digest.hex(),
        "update": run.update_digest.hex(),
        "steps": len(run.leaves),
        "steps_root": run.steps_root.hex(),
    }
    return case(comment, inputs, expect)


def _runs() -> list[Case]:
    base, rows = initial(SCHEMA), _rows(20, "run")
    trained = train(base, _read(_rows(30, "before")), replace(SGD_RULE, epochs=8), SEED).model
    return [
        _run("two epochs of two batches; four rows are left out in each", base, rows, SGD_RULE),
        _run("five rows are one batch", base, rows[:5], SGD_RULE),
        _run("a clip that shortens the update", trained, rows, replace(SGD_RULE, clip_q16=2000)),
        _run("three hidden units", initial(SCHEMA, 3), rows, replace(SGD_RULE, hidden=3)),
        _run("a high rate and much decay", trained, rows, replace(SGD_RULE, lr_q16=1 << 20, decay_q16=60_000)),
        _run("noise", trained, rows, replace(SGD_RULE, **NOISE)),
        _run("noise, and rows that are clipped", base, rows, replace(SGD_RULE, **NOISE, hidden=0)),
        _run(
            "noise with a hidden layer",
            initial(SCHEMA, 2),
            rows,
            replace(SGD_RULE, **{**NOISE, "row_clip_q16": 9000}, hidden=2),
        ),
    ]


def _noises() -> list[Case]:
    found = []
    for sigma in (1, 7, 1000, 65_536, 2**32):
        seed = sha256(b"noise %d" % sigma)
        found.append(case(f"sigma {sigma}", {"seed": seed.hex(), "sigma": sigma}, noise(seed, sigma, 12).tolist()))
    return found


def _aggregates() -> list[Case]:
    def drawn(count: int) -> list[list[int]]:
        data = sha256(b"updates %d" % count) * 4
        return [
            [int.from_bytes(data[at + 2 * n : at + 2 * n + 2], "big", signed=True) for n in range(3)]
            for at in range(count)
        ]

    names = {TRIMMED: "trimmed mean", KRUM: "multi-Krum", MEDIAN: "median", MEAN: "mean"}
    plans = [
        (5, TRIMMED, 1),
        (9, TRIMMED, 2),
        (4, TRIMMED, 2),
        (1, TRIMMED, 1),
        (5, KRUM, 1),
        (8, KRUM, 2),
        (3, KRUM, 1),
    ]
    plans += [(2, KRUM, 1), (5, MEDIAN, 0), (6, MEDIAN, 0), (5, MEAN, 0)]
    found = []
    for count, kind, f in plans:
        updates = drawn(count)
        made = aggregate(np.array(updates, np.int64), kind, f).tolist()
        found.append(case(f"{names[kind]} of {count}, f {f}", {"updates": updates, "aggregate": kind, "f": f}, made))
    same = [[5, -5, 0]] * 3 + [[100, 100, 100]]
    found.append(case("multi-Krum with equal scores", {"updates": same, "aggregate": KRUM, "f": 1},
                      aggregate(np.array(same, np.int64), KRUM, 1).tolist()))  # fmt: skip
    return found


def _evaluation(
    comment: str,
    base: TabularModel,
    rule: TrainingRule,
    authors: list[bytes],
    *,
    shards: int = 6,
    liar: str = "",
    left_out: tuple[bytes, ...] = (),
) -> Case:
    updates = {key: train(base, _read(_rows(24, f"own {n}")), rule, key).update for n, key in enumerate(authors)}
    if liar == "sign":
        updates[authors[0]] = -updates[authors[0]]
    held = {key: _rows(shards, f"held {n}") for n, key in enumerate(authors)} if shards else {}
    parent = tabular_manifest(base, "example", "CC-BY-4.0", "initial")
    read = {key: _read(rows) for key, rows in held.items()}
    found = evaluate(base, parent, updates, read, rule, SEED, set(left_out))
    inputs = {
        "model": base.encode().hex(),
        "parent": parent.encode().hex(),
        "updates": [[key.hex(), encode_update(update).hex()] for key, update in updates.items()],
        "shards": [[key.hex(), [row.hex() for row in rows]] for key, rows in held.items()],
        "rule": encode(rule.to_value()).hex(),
        "seed": SEED.hex(),
        "left_out": [key.hex() for key in left_out],
    }
    expect = {
        "model": found.model.digest.hex(),
        "manifest": found.manifest_digest.hex(),
        "gain": found.gain,
        "credits": [[key.hex(), worth, found.marks[key]] for key, worth in found.credits.items()],
    }
    return case(comment, inputs, expect)


def _evaluations() -> list[Case]:
    base, rule, five = initial(SCHEMA), replace(SGD_RULE, epochs=1), KEYS[:5]
    anybody = replace(rule, contributors=())
    pairs = replace(rule, contributors=tuple((key, n // 2) for n, key in enumerate(five)), aggregate=MEAN, f=0)
    return [
        _evaluation("five honest contributors", base, rule, five),
        _evaluation("one has the sign of its update wrong", base, rule, five, liar="sign"),
        _evaluation("the same by Krum", base, replace(rule, aggregate=KRUM), five, liar="sign"),
        _evaluation("two houses of two keys, and one alone", base, pairs, five),
        _evaluation("one in quarantine", base, rule, five, liar="sign", left_out=(five[0],)),
        _evaluation("three hidden units", initial(SCHEMA, 3), replace(rule, hidden=3), five),
        _evaluation("nobody opened rows", base, rule, five, shards=0),
        _evaluation("ten houses: drawn orders", base, anybody, KEYS[:10]),
        _evaluation("nobody trained", base, anybody, []),
    ]


def _answers() -> list[Case]:
    model = train(initial(SCHEMA), _read(_rows(40, "answers")), SGD_RULE, SEED).model
    engine, found = TabularEngine(model), []
    for number, (tokens_max, milli) in enumerate([(2, 0), (16, 0), (1, 0), (2, 800), (2, 800), (2, 2000)]):
        seed, key = sha256(b"seed %d" % number)[:16], sha256(b"key %d" % number)
        ask = Ask(engine.write_prompt(seed, 2), tokens_max, milli, key)
        output = engine.answer(ask).output
        inputs = {
            "model": model.encode().hex(),
            "prompt_seed": seed.hex(),
            "tokens_max": tokens_max,
            "temperature_milli": milli,
            "sampler_key": key.hex(),
        }
        expect = {
            "prompt": list(ask.prompt),
            "tokens": list(output.tokens),
            "finish": output.finish,
            "logits": output.logits.hex(),
        }
        found.append(case(f"question {number}: temperature {milli / 1000}, up to {tokens_max} tokens", inputs, expect))
    return found


def _tables() -> list[Case]:
    told = [("exp(-i / 256) in Q16", EXP_TABLE), ("-ln(p / 65536) in micronats", LOSS_TABLE)]
    return [
        case(comment, {"entries": len(table)}, {"sha256": sha256(table.astype(">i4").tobytes()).hex()})
        for comment, table in told
    ]


def cases() -> dict[Path, list[Case]]:
    assert decode(encode(SGD_RULE.to_value()), size_max=RULE_BYTES_MAX) == SGD_RULE.to_value()
    return {
        Path("training-rule"): _rules(),
        Path("training-model"): _models(),
        Path("training-update"): _updates(),
        Path("training/runs.json"): _runs(),
        Path("training/noise.json"): _noises(),
        Path("training/aggregates.json"): _aggregates(),
        Path("training/evaluations.json"): _evaluations(),
        Path("training/answers.json"): _answers(),
        Path("training/tables.json"): _tables(),
    }
