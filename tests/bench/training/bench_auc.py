"""How good models get that five contributors train in rounds, on real rows: `python -m tests.bench.training.bench_auc`.

Each of ten splits holds out a quarter of the rows that no contributor has. The area under the ROC curve there, after
six rounds, is set against a logistic regression in floats over all other rows together, and against the mean of the
contributors' models trained alone. Needs the group `cases`.
"""

import argparse
from dataclasses import replace
from time import perf_counter

import numpy as np

from p2pverify.core.contract.history.training import DP, HELD_OUT, KEEP, ONE_Q16, SGD, TRIMMED, TrainingRule
from p2pverify.core.data.budget import least_sigma, rho_within
from p2pverify.core.encoding.canon import sha256
from p2pverify.engine.tabular.evaluation import evaluate
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import Rows, decode_rows, initial
from p2pverify.engine.tabular.training import train
from p2pverify.testnet.cases.datasets import CASES, CaseData, load_case, split_rows
from p2pverify.testnet.cases.measure import auc_of_model, auc_of_regression

CONTRIBUTORS = 5
ROUNDS = 6
HELD_ROWS = 8
DELTA_EXPONENT = 5
#: The rules of the cases: passes, rate, clip, and the rate with noise.
RATES = {"wdbc": (2, 0.1, 2.0), "german-credit": (2, 0.05, 2.0), "flights": (2, 0.05, 2.0)}
PRIVATE_RATE, PRIVATE_CLIP = 4.0, 2.0


def rule_of(name: str, schema: bytes, eps: int) -> TrainingRule:
    """The rule of a case. With an eps above 0 (in units), the noise is the least for it in all rounds."""
    epochs, rate, clip = RATES[name]
    rule = TrainingRule(
        *(SGD, HELD_OUT, schema, (), ROUNDS, 2, 2, HELD_ROWS, 0, 16, epochs),
        *(round(rate * ONE_Q16), 7, round(clip * ONE_Q16), TRIMMED, 1, 0, 0, 0, 0, 20_000, 2000, 8, KEEP),
    )
    if not eps:
        return rule
    sigma = least_sigma(ONE_Q16, rho_within(eps * 1_000_000, DELTA_EXPONENT), ROUNDS)
    return replace(
        rule,
        trainer=DP,
        batch=0,
        epochs=0,
        decay_q16=0,
        lr_q16=round(PRIVATE_RATE * ONE_Q16),
        clip_q16=round(PRIVATE_CLIP * ONE_Q16),
        sigma=sigma,
        row_clip_q16=ONE_Q16,
        delta_exponent=DELTA_EXPONENT,
    )


def play(case: CaseData, rows: Rows, name: str, eps: int, split: int) -> list[float]:
    """The AUC of floats, of the mean of models trained alone, and after each round."""
    seed = sha256(b"split %d" % split)
    test_at, parts = split_rows(len(rows), [1] * CONTRIBUTORS, seed)
    test = rows.taken(np.array(test_at))
    central = auc_of_regression(rows.taken(np.concatenate(parts)), test)
    alone = [auc_of_regression(rows.taken(np.array(part)), test) for part in parts]
    keys = [bytes([at]) * 32 for at in range(CONTRIBUTORS)]
    own = {key: rows.taken(np.array(part[HELD_ROWS:])) for key, part in zip(keys, parts, strict=True)}
    shards = {key: rows.taken(np.array(part[:HELD_ROWS])) for key, part in zip(keys, parts, strict=True)}
    rule = rule_of(name, case.schema.id, eps)
    model = initial(case.schema)
    manifest, found = tabular_manifest(model, name, case.licence, "initial"), []
    for number in range(ROUNDS):
        updates = {key: train(model, own[key], rule, sha256(b"%d" % number + seed + key)).update for key in keys}
        done = evaluate(model, manifest, updates, shards, rule, sha256(b"round %d" % number + seed))
        model, manifest = done.model, done.manifest
        found.append(auc_of_model(model, test))
    return [central, float(np.mean(alone)), *found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--eps", type=int, default=4, help="of differential privacy, over all rounds")
    splits, eps = vars(parser.parse_args()).values()
    print(f"AUC, mean of {splits} splits; {CONTRIBUTORS} contributors, {ROUNDS} rounds, clip and trimmed mean")
    print(f"{'set':14} {'eps':>5} {'floats':>7} {'alone':>7}   after each round")
    for name in CASES:
        case = load_case(name)
        rows = decode_rows(case.schema, case.rows)
        for each in (0, eps):
            began = perf_counter()
            found = np.mean([play(case, rows, name, each, split) for split in range(splits)], axis=0)
            rounds = " ".join(f"{value:.3f}" for value in found[2:])
            took = perf_counter() - began
            print(
                f"{name:14} {each or 'none':>5} {found[0]:7.3f} {found[1]:7.3f}   {rounds}   {took:.1f} s", flush=True
            )


if __name__ == "__main__":
    main()
