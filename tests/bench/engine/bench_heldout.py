"""Single audits across classes on held-out questions: how often honest answers are taken for lies, and lies for honest.

    python -m tests.bench.engine.bench_heldout [--honest 100] [--cheats 40] [--suppose 20] [--keep DIR] [--only A,B]

Questions are of a domain that calibration never uses. Thresholds are those that ship with p2pverify for the bundled
model. Bounds are one-sided, 95 % (Clopper and Pearson). The last table is of causes: what `diagnosis` finds for
answers that are no match, the other temperatures being tried on the first `--suppose` answers of each source. Without
`--keep` everything is measured anew, which takes about half an hour on two idle cores; with it, `--honest 0 --cheats 0`
prints the tables alone.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from p2pverify.cli.table import table
from p2pverify.core.contract.classes import Across
from p2pverify.core.inference.compare import Verdict, verdict
from p2pverify.core.inference.diagnosis import Cause, find_cause
from p2pverify.engine.calibrate import lower_bound_ppm, upper_bound_ppm
from p2pverify.engine.calibrate.producers import EXACT, open_path
from p2pverify.engine.llama import variants
from tests.bench.engine.heldout import CHEATS, HONEST, Case, cases, shipped, work

HEADERS = ("SOURCE", "ANSWERS", "MATCH", "INCONCLUSIVE", "MISMATCH", "SHARE", "BOUND")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--honest", type=int, default=100, help="answers of each honest path")
    parser.add_argument("--cheats", type=int, default=40, help="answers of each cheat")
    parser.add_argument("--suppose", type=int, default=20, help="answers that are scored at other temperatures too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep answers there, and go on with those that are")
    parser.add_argument("--only", default="", help="sources to work on, with commas; the tables show all that is kept")
    parser.add_argument("--json", type=Path, dest="json_file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        folder = given.keep or Path(fresh)
        folder.mkdir(parents=True, exist_ok=True)
        judge = open_path(EXACT)
        names = given.only.split(",") if given.only else [*_honest_paths(), *CHEATS]
        for source in names:
            count = given.honest if source in HONEST else given.cheats
            for done in work(judge, folder, source, count, given.seed, 0 if source in HONEST else given.suppose):
                sys.stderr.write(f"\r{source} {done}/{count}   ")
        sys.stderr.write("\n")
        found = {source: cases(folder, source) for source in (*HONEST, *CHEATS)}
        bounds = shipped(judge.info)
        judge.close()
    document = {source: summary(kept, bounds, source in HONEST) for source, kept in found.items() if kept}
    print(text(document))
    if given.json_file is not None:
        given.json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _honest_paths() -> list[str]:
    return [path for path in HONEST if path.startswith("wheel") or variants.installed()]


def summary(kept: list[Case], bounds: Across, is_honest: bool) -> dict[str, object]:
    verdicts = [verdict(case.measure, bounds) for case in kept]
    mismatches = verdicts.count(Verdict.MISMATCH)
    bound = upper_bound_ppm if is_honest else lower_bound_ppm
    differing = [case.claim for case, found in zip(kept, verdicts, strict=True) if found is Verdict.MISMATCH]
    causes = Counter(find_cause(claim, bounds).cause for claim in differing)
    return {
        "answers": len(kept),
        **{str(found): verdicts.count(found) for found in Verdict},
        "mismatch_bound_ppm": bound(mismatches, len(kept)),
        "worst_total": max(case.measure.total for case in kept),
        "causes": {str(cause): causes[cause] for cause in Cause if causes[cause]},
    }


def text(document: dict[str, dict[str, object]]) -> str:
    rows = []
    for source, found in document.items():
        answers, mismatches = int(str(found["answers"])), int(str(found["mismatch"]))
        sign = "<=" if source in HONEST else ">="
        rows.append(
            (
                source,
                answers,
                found["match"],
                found["inconclusive"],
                mismatches,
                f"{100 * mismatches / answers:.1f} %",
                f"{sign} {int(str(found['mismatch_bound_ppm'])) / 10_000:.2f} %",
            )
        )
    honest = [found for source, found in document.items() if source in HONEST]
    answers = sum(int(str(found["answers"])) for found in honest)
    alarms = sum(int(str(found["mismatch"])) for found in honest)
    together = f"honest paths together: {alarms} of {answers}, at most {upper_bound_ppm(alarms, answers)} ppm"
    causes = [
        (source, ", ".join(f"{cause} {count}" for cause, count in dict(found["causes"]).items()))  # type: ignore[call-overload]
        for source, found in document.items()
        if found["causes"]
    ]
    return "\n\n".join([table(HEADERS, rows), together, table(("SOURCE", "CAUSES OF MISMATCHES"), causes)])


if __name__ == "__main__":
    sys.exit(main())
