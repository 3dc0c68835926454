"""How far off counts: audits until conviction with and without the pooled test, and the answers that it is fitted to.

    python -m tests.bench.engine.bench_pooled --keep DIR [--cheats 20] [--honest 20] [--calibration 60] [--only A,B]

Answers are kept in DIR, and a later run goes on with them. Calibration questions are those of `p2pverify model
calibrate`, and all other questions are held out. `--record FILE` writes the margins of the answers to the calibration
questions, for `tests/engine/calibrate/test_shipped.py`. An answer with its judgement takes about three seconds of
processor time, and one of `draft` or `budget` ten.

The plays are those of the cheat book: outcomes are drawn with replacement from the measured ones.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from p2pverify.cli.table import table
from p2pverify.core.contract.classes import Across
from p2pverify.core.inference.compare import Measure, Verdict, verdict
from p2pverify.engine.calibrate import CALIBRATION, HELD_OUT
from p2pverify.engine.calibrate.fit import Exceeding, exceeding
from p2pverify.engine.calibrate.producers import EXACT, open_path
from p2pverify.node.ports import Engine
from p2pverify.testnet.casebook.answers import audited
from p2pverify.testnet.casebook.trials import TRIALS, ConvictionTimes, play
from p2pverify.testnet.casebook.worlds import steps_for
from tests.bench.engine.heldout import CHEATS_PATH, HONEST, Case, cases, shipped, work

CHEATS = (
    *("quantize:q5_0", "system-prompt", "quantize:q8_0", "temperature:0.82", "temperature:1.0"),
    *("draft", "budget", "certain"),
)
RATES = (1.0, 0.2)
HEADERS = ("SOURCE", "ANSWERS", "MATCH", "INCONCLUSIVE", "MISMATCH", "RATE", "COUNT ALONE", "WITH POOLED TEST")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="where answers are kept")
    parser.add_argument("--cheats", type=int, default=20, help="held-out answers of each cheat")
    parser.add_argument("--honest", type=int, default=20, help="held-out answers of each honest path")
    parser.add_argument("--calibration", type=int, default=60, help="answers of each honest path to fit to")
    parser.add_argument("--only", default="", help="sources to work on, with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="write the margins of the calibration questions there")
    given = parser.parse_args()
    fitted, held = given.keep / CALIBRATION, given.keep / HELD_OUT
    for folder in (fitted, held):
        folder.mkdir(parents=True, exist_ok=True)
    only = given.only.split(",") if given.only else [*HONEST, *CHEATS]
    judge = open_path(EXACT)
    for source in only:
        if source in HONEST:
            _work(judge, fitted, source, given.calibration, given.seed, CALIBRATION)
        _work(judge, held, source, given.honest if source in HONEST else given.cheats, given.seed, HELD_OUT)
    bounds = shipped(judge.info)
    judge.close()
    if given.record is not None:
        record(given.record, {path: cases(fitted, path) for path in HONEST})
    print(text({source: _measures(held, source) for source in (*HONEST, *CHEATS)}, bounds))
    for folder in (fitted, held):
        seen = sum((exceeding(_measures(folder, path), bounds) for path in HONEST), Exceeding(0, 0, 0))
        print(f"honest, {folder.name}: {seen.samples} answers, {seen.unmatched} no match, {seen.mismatches} mismatches")
    return 0


def record(path: Path, found: dict[str, list[Case]]) -> None:
    """Write the margins of answers: a line for each, the margin of its end first."""
    texts = []
    for source, kept in ((source, kept) for source, kept in found.items() if kept):
        lines = ",\n  ".join(json.dumps([case.measure.end, *case.claim.scores.deficits]) for case in kept)
        texts.append(f' "{source}": [\n  {lines}\n ]')
    path.write_text("{\n" + ",\n".join(texts) + "\n}\n", encoding="utf-8")


def _measures(folder: Path, source: str) -> list[Measure]:
    return [case.measure for case in cases(folder, source)]


def _work(judge: Engine, folder: Path, source: str, count: int, seed: int, purpose: str) -> None:
    for done in work(judge, folder, source, count, seed, 0, purpose):
        sys.stderr.write(f"\r{purpose} {source} {done}/{count}   ")


def text(found: dict[str, list[Measure]], bounds: Across) -> str:
    """A row for each source and rate, with the mean audits until conviction and the middle 95 %."""
    rows: list[Sequence[object]] = []
    honest = found[CHEATS_PATH]
    for source, measures in found.items():
        verdicts = [verdict(one, bounds) for one in measures]
        for rate in () if source in HONEST or not measures else RATES:
            times = [plays(measures, honest, each, rate) for each in (replace(bounds, pool=None), bounds)]
            rows.append((source, len(measures), *map(verdicts.count, Verdict), rate, *map(_told, times)))
        if source in HONEST:
            rows.append((source, len(measures), *map(verdicts.count, Verdict), None, None, None))
    return table((*HEADERS[:2], *(str(one).upper() for one in Verdict), *HEADERS[5:]), rows)


def plays(lies: Sequence[Measure], honest: Sequence[Measure], bounds: Across, rate: float) -> ConvictionTimes:
    """The audits until conviction of a peer that lies at a rate."""
    told, right = ([audited(one, bounds) for one in measures] for measures in (lies, honest))
    return play(steps_for(bounds.honest_ppm), told, right, rate, seed=1)


def _told(times: ConvictionTimes) -> str:
    if times.mean is None:
        return "not caught"
    text = f"{times.mean:.1f} ({times.quantile(0.025)}-{times.quantile(0.975)})"
    return text if not times.missed else f"{text}, {times.missed} of {TRIALS} missed"


if __name__ == "__main__":
    sys.exit(main())
