"""A program that prints digests of rounds of training under this process's settings: one line of JSON.

The models are large enough for the kernels of BLAS, and their rows reach the ends of the range.
"""

import hashlib
import json
from dataclasses import replace

import numpy as np

from p2pverify.core.contract.output import Ask
from p2pverify.core.data.schema import DataFeature, Schema
from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.evaluation import evaluate
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import Rows, initial
from p2pverify.engine.tabular.training import train
from tests.support.training import KEYS, NOISE, RULE

FEATURES, LABELS = 180, 5
GRID = tuple(range(-16_384, 16_385, 2048))
WIDE = Schema(
    tuple(DataFeature(f"feature {number}", "", 0, 1_000_000, GRID) for number in range(FEATURES)),
    "label",
    tuple(f"label {number}" for number in range(LABELS)),
)


def rows_of(count: int, seed: int) -> Rows:
    drawn = np.random.Generator(np.random.Philox(key=seed)).integers(-32_767, 32_768, (count, FEATURES))
    labels = (drawn[:, :LABELS] + drawn[:, LABELS : 2 * LABELS]).argmax(axis=1)
    return Rows(drawn.astype(np.int16), labels.astype(np.uint8))


def digests() -> dict[str, str]:
    """Digests of a round without and with a hidden layer, of one with noise, and of answers."""
    found, authors = {}, KEYS[:4]
    plain = replace(RULE, schema=WIDE.id, contributors=(), batch=96, epochs=2, clip_q16=20 << 16)
    rules = {"plain": plain, "hidden": replace(plain, hidden=48), "noise": replace(plain, **NOISE)}
    shards = {key: rows_of(40, 50 + at) for at, key in enumerate(authors)}
    for name, rule in rules.items():
        base = initial(WIDE, rule.hidden)
        runs = {key: train(base, rows_of(200, at), rule, key) for at, key in enumerate(authors)}
        updates = {key: run.update for key, run in runs.items()}
        done = evaluate(base, tabular_manifest(base, "wide", "MIT", "initial"), updates, shards, rule, bytes(32))
        shown = repr((done.manifest_digest, done.gain, done.credits, [run.steps_root for run in runs.values()]))
        found[name] = hashlib.sha256(shown.encode()).hexdigest()
        if name == "plain":
            engine = TabularEngine(done.model)
            asks = [Ask(engine.write_prompt(bytes([n]) * 16, 256), 2, 800, bytes([n]) * 32) for n in range(50)]
            scores = [engine.score(ask, engine.answer(ask).output.tokens) for ask in asks]
            found["answers"] = hashlib.sha256(repr(scores).encode()).hexdigest()
    return found


def main() -> None:
    print(json.dumps(digests()))


if __name__ == "__main__":
    main()
