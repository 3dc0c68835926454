"""`model add`: the manifest of any GGUF model, measured on this machine.

`p2pverify.engine.calibrate.adopt` measures. Other commands find the file by the SHA-256 of the weights.
"""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from p2pverify.cli.errors import CliError
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import InputFile
from p2pverify.cli.progress import Progress
from p2pverify.cli.setup.calibrate import calibration_document
from p2pverify.cli.table import pairs, table
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, ENGINES
from p2pverify.node.files.outputs import check_output

if TYPE_CHECKING:
    from p2pverify.engine.calibrate.adopt import Adopted

SCHEMA = "p2pverify/model-add/1"


@click.command()
@click.argument("file", type=InputFile("name the GGUF file of a model"))
@click.option(
    "--quick", is_flag=True, help="Fewer and shorter questions, on fewer paths: less is known of honest answers."
)
@click.option(
    "--referee",
    type=click.Choice(("llama", "exact")),
    default="llama",
    show_default=True,
    help="Who judges answers across classes: the pinned llama.cpp on x86-64 with AVX2, or exact arithmetic anywhere.",
)
@click.option(
    "--unmeasured",
    is_flag=True,
    help="Measure nothing, only remember the file: for joining a network whose file has the manifest, or for tokens.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the manifest there instead."
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(
    file: Path,
    quick: bool,
    referee: Literal["llama", "exact"],
    unmeasured: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make the manifest of the model in a GGUF file, so that networks and testnets can be founded with it.

    Every numeric path of this machine answers golden questions, which prove the classes. Then a referee measures honest
    answers of each path, which gives the thresholds across classes. 'network new --weights FILE' and 'testnet --weights
    FILE' find the manifest by the digest of the weights.

    The place of FILE is remembered, as a link beside the manifests. 'join' finds the weights of a network's model
    there, and the nodes and clients of this user find the tokens of models that they do not run.
    """
    if unmeasured and (quick or output is not None):
        raise click.UsageError("--unmeasured makes no manifest, so it takes no --quick and no --output")
    from p2pverify.engine.calibrate.adopt import QUICK, THOROUGH, adopt
    from p2pverify.engine.calibrate.producers import EXACT, at_hand
    from p2pverify.engine.gguf import weights
    from p2pverify.engine.gguf.reader import read_head
    from p2pverify.node.files.manifestfile import keep_weights, own_path, save_manifest

    effort = QUICK if quick else THOROUGH
    with Progress() as progress:
        digest = weights.check(file, None, progress)
        head = read_head(file)
        name = head.text("general.name", "unnamed")
        if unmeasured:
            progress.close()
            link = keep_weights(name, digest, file)
            _tell_kept({"schema": SCHEMA, "model": name, "weights": digest.hex(), "link": str(link)}, as_json=as_json)
            return
        target = own_path(name, digest) if output is None else output
        target.parent.mkdir(parents=True, exist_ok=True)
        check_output(target, may_replace(force=force))
        names = [name for name in at_hand(DEFAULT_ENGINE) if name not in effort.without or name == referee == EXACT]
        try:
            found = adopt(DEFAULT_ENGINE, file, names, ENGINES[referee].referee, effort=effort, progress=progress)
            save_manifest(target, found.manifest)
            keep_weights(name, digest, file)
        except ValueError as error:
            raise CliError(f"the model cannot be measured: {error}", "'p2pverify model add --help'") from None
    document = _document(found, file, target)
    click.echo(json.dumps(document) if as_json else _text(document))


def _tell_kept(document: dict[str, Any], *, as_json: bool) -> None:
    rows = [(name, document[name]) for name in ("model", "weights", "link")]
    click.echo(json.dumps(document) if as_json else pairs(rows))


def _document(found: "Adopted", file: Path, target: Path) -> dict[str, Any]:
    manifest = found.manifest
    weights = shlex.quote(str(file))
    named = f"--weights {weights}"
    return {
        "schema": SCHEMA,
        "model": manifest.model,
        "quantisation": manifest.quantisation,
        "licence": manifest.licence,
        **{name: getattr(manifest, name).hex() for name in ("weights", "tokenizer", "template")},
        "manifest": manifest.digest.hex(),
        "file": str(target),
        "paths": [{"engine": path.engine, "numeric_path": path.numeric_path} for path in manifest.golden.paths],
        "left_out": [{"path": name, "reason": reason} for name, reason in found.left_out],
        "calibrations": [calibration_document(one) for one in found.found],
        "next": [
            f"p2pverify testnet {named}",
            f"p2pverify network new {named} --across",
            "p2pverify join network.toml",
        ],
    }


def _text(document: dict[str, Any]) -> str:
    rows = [(name, document[name]) for name in ("model", "quantisation", "licence", "weights", "manifest", "file")]
    paths = [(path["engine"], path["numeric_path"]) for path in document["paths"]]
    judged = [
        (one["engine"], one["numeric_path"], one["samples"], one["alarms"], one["alarm_ppm"])
        for one in document["calibrations"]
    ]
    parts = [pairs(rows), table(("ENGINE", "CLASS BY GOLDEN ANSWERS"), paths)]
    if document["left_out"]:
        parts.append(table(("LEFT OUT", "WHY"), [(one["path"], one["reason"]) for one in document["left_out"]]))
    if judged:
        parts.append(table(("ENGINE", "NUMERIC PATH", "ANSWERS", "FALSE ALARMS", "AT MOST PPM"), judged))
    parts.append("\n".join(f"next: {command}" for command in document["next"]))
    return "\n\n".join(parts)
