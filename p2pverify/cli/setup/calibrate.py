"""`model calibrate`: the distance of honest answers from a judge's own, on the numeric paths at hand.

`p2pverify.engine.calibrate` measures it, and derives the thresholds.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.errors import CliError
from p2pverify.cli.output import check_report, force_option, write_report
from p2pverify.cli.params import WEIGHTS, engine_option
from p2pverify.cli.progress import Progress
from p2pverify.cli.setup.manifest import manifest_from
from p2pverify.cli.table import table
from p2pverify.node.engines.kinds import FOUNDING_KINDS, EngineKind
from p2pverify.node.files.outputs import always, check_output, is_stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pverify.core.contract.classes import Across
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.engine.calibrate import Found
    from p2pverify.engine.calibrate.producers import Make

SCHEMA = "p2pverify/calibrate/1"
PROMPTS = 100
_HEADERS = ("ENGINE", "NUMERIC PATH", "ANSWERS", "MEAN", "WORST", "FALSE ALARMS", "AT MOST PPM")

_UNITS = "MEAN is a token's mean squared margin, WORST the greatest sum of them in an answer, in square nats."


@click.command()
@engine_option(FOUNDING_KINDS)
@click.option("--judge", default="exact", show_default=True, metavar="PATH", help="The path that judges the answers.")
@click.option(
    "--paths",
    metavar="PATH,...",
    help="The answering paths: 'exact', or builds of llama.cpp such as 'wheel', 'wheel/kv-f16', 'sse42'. [all at hand]",
)
@click.option("--prompts", type=click.IntRange(40), default=PROMPTS, show_default=True, help="Questions to each path.")
@click.option("--tokens", type=click.IntRange(1, 256), default=64, show_default=True, help="Length of the answers.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the questions.")
@click.option("--weights", type=WEIGHTS, help="Weights instead of the bundled model.")
@click.option(
    "--manifest",
    "manifest_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Put the thresholds into a manifest file; it is made if it does not exist.",
)
@click.option("-o", "--output", metavar="FILE", help="Write the JSON document there; '-' is stdout.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def calibrate(
    engine: EngineKind,
    judge: str,
    paths: str | None,
    prompts: int,
    tokens: int,
    seed: int,
    weights: Path | None,
    manifest_file: Path | None,
    output: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure honest answers across numeric paths, and find the thresholds of the verdicts.

    Every path answers the same questions in its own process, and the judge scores the answers. 100 questions to four
    paths take about ten minutes on two cores. The false alarms of each half of the answers are counted with thresholds
    from the other half.
    """
    from functools import partial

    from p2pverify.engine.calibrate import QuestionShape, producers
    from p2pverify.engine.calibrate import calibrate as measure_paths

    names = producers.at_hand(engine) if paths is None else [name.strip() for name in paths.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("names no path", param_hint="--paths")
    makes: dict[str, Make] = {name: partial(producers.open_path, name, weights, engine) for name in names}
    check_report(output, SCHEMA, force=force)
    if manifest_file is not None:
        check_output(manifest_file, always)
    with Progress() as progress:
        progress("opening the judge", 0, 1)
        opened = producers.open_path(judge, weights, engine)
        try:
            kept = None if manifest_file is None else manifest_from(manifest_file, opened.info)
            shape = QuestionShape(answer_tokens=tokens)
            found = measure_paths(opened, makes, count=prompts, seed=seed, shape=shape, progress=progress)
        except ValueError as error:
            raise CliError(f"this cannot be calibrated: {error}", "'p2pverify model calibrate --help'") from None
        finally:
            opened.close()
    if manifest_file is not None and kept is not None:
        _keep(manifest_file, kept, found)
    document = _document(found, seed)
    write_report(output, document, force=force)
    if output is None or not is_stdout(output):
        click.echo(json.dumps(document) if as_json else _text(found))


def _keep(path: Path, manifest: "Manifest", found: "Sequence[Found]") -> None:
    """Write the manifest with these calibrations. They replace older ones for the same pairs of judge and path."""
    from dataclasses import replace

    from p2pverify.node.files.manifestfile import save_manifest

    by_pair = {one.pair: one for one in manifest.calibrations} | {
        one.calibration.pair: one.calibration for one in found
    }
    try:
        save_manifest(path, replace(manifest, calibrations=tuple(by_pair[pair] for pair in sorted(by_pair))))
    except ValueError as error:
        raise CliError(f"{path} cannot hold these calibrations: {error}", "name another file") from None
    click.echo(f"{path} has {len(by_pair)} calibrations", err=True)


def calibration_document(one: "Found") -> dict[str, Any]:
    """What a calibration is of, and how often honest answers were false alarms."""
    calibration = one.calibration
    return {
        "judge_engine": calibration.judge_engine,
        "judge_path": calibration.judge_path,
        "engine": calibration.engine,
        "numeric_path": calibration.numeric_path,
        "samples": calibration.samples,
        "tokens": calibration.tokens,
        "alarms": one.alarms,
        "alarm_ppm": calibration.alarm_ppm,
    }


def _document(found: "Sequence[Found]", seed: int) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "schema": SCHEMA,
        "seed": seed,
        "calibrations": [
            {
                **calibration_document(one),
                "across": asdict(one.calibration.across),
                "mean_square": one.mean_square,
                "worst_total": max(measure.total for measure in one.measures),
                "worst_peak_micronats": max(measure.peak for measure in one.measures),
                "measures": [measure.to_value() for measure in one.measures],
            }
            for one in found
        ],
    }


def _text(found: "Sequence[Found]") -> str:
    """Every path's margins, and the thresholds, once for all paths that share them."""
    rows = [
        (
            one.calibration.engine,
            one.calibration.numeric_path,
            len(one.measures),
            f"{one.mean_square / 1e6:.4f}",
            f"{max(measure.total for measure in one.measures) / 1e6:.3f}",
            one.alarms,
            one.calibration.alarm_ppm,
        )
        for one in found
    ]
    parts = [table(_HEADERS, rows), _UNITS]
    thresholds = {one.calibration.across for one in found}
    parts += [_sentence(across) for across in sorted(thresholds, key=lambda across: across.mismatch_base)]
    return "\n\n".join(parts)


def _sentence(across: "Across") -> str:
    text = (
        f"match up to {_line(across.match_base, across.match_slope)}; "
        f"mismatch above {_line(across.mismatch_base, across.mismatch_slope)}, "
        f"or an end above {across.end_max / 1e6:.3f}; honest mismatches allowed: {across.honest_ppm} ppm"
    )
    if across.pool is None:
        return text
    rates = " and ".join(f"{line.rate_ppm} ppm" for line in across.pool.lines)
    return f"{text}; honest answers above the lines of the pooled test: at most {rates}"


def _line(base: int, slope: int) -> str:
    return f"{base / 1e6:.3f} + {slope / 1e6:.4f} a token"
