"""`model`: tests of a model on this machine.

`selftest` runs golden questions, and shows in which class of a network this machine computes, and why. The other
commands have modules of their own.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.lines.keys import publisher_key
from p2pverify.cli.lines.lineage import lineage
from p2pverify.cli.lines.publish import publish
from p2pverify.cli.lines.recall import publishers, recall
from p2pverify.cli.lines.serve import fetch, serve
from p2pverify.cli.lines.versions import versions
from p2pverify.cli.params import NETWORK_FILE, WEIGHTS, engine_option
from p2pverify.cli.progress import Progress
from p2pverify.cli.setup.calibrate import calibrate
from p2pverify.cli.setup.canary import canary
from p2pverify.cli.setup.manifest import starting_manifest
from p2pverify.cli.setup.models.add import add
from p2pverify.cli.setup.models.derive import derive
from p2pverify.cli.setup.models.export import export
from p2pverify.cli.setup.models.importing import import_
from p2pverify.cli.table import pairs, table
from p2pverify.node.engines.kinds import ALL_KINDS, EngineKind
from p2pverify.node.files.outputs import always, check_output

if TYPE_CHECKING:
    from p2pverify.core.contract.classes import DeterminismClass
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.node.engines.classes import Candidate
    from p2pverify.node.engines.selftest import Answered
    from p2pverify.node.ports import ModelInfo

_DIGEST_CHARS = 12


@click.group()
def model() -> None:
    """Measure, make, describe and import models, and follow, serve and publish their versions."""


for _command in (
    *(add, calibrate, canary, derive, export, import_),
    *(versions, lineage, fetch, serve, publish, recall, publishers, publisher_key),
):
    model.add_command(_command)


@model.command()
@click.option(
    "--network", "network_file", type=NETWORK_FILE, metavar="FILE", help="The network whose classes to test for."
)
@click.option(
    "--manifest",
    "manifest_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add this machine's answers to a manifest file; it is made if it does not exist.",
)
@engine_option(ALL_KINDS)
@click.option("--openai-url", metavar="URL", help="The server of --engine openai, such as http://127.0.0.1:8000/v1.")
@click.option(
    "--openai-model", default="", metavar="NAME", help="The model's name on that server, if it has several models."
)
@click.option("--variant", default="", metavar="NAME", help="Another numeric path: see config.toml.")
@click.option("--weights", type=WEIGHTS, help="Weights instead of the bundled model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def selftest(
    network_file: Path | None,
    manifest_file: Path | None,
    engine: EngineKind,
    openai_url: str | None,
    openai_model: str,
    variant: str,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Answer golden questions, and show in which class this machine is and why.

    With --network, the classes are those of a network. Without it, they are the numeric paths that are known for the
    model. The exit code is 5 if a network has no class for this machine.
    """
    from p2pverify.engine.openai import KEY_VARIABLE, Endpoint
    from p2pverify.engine.registry import EngineOpening, open_engine
    from p2pverify.node.engines.classes import choose_class, judge_classes
    from p2pverify.node.engines.selftest import run_selftest
    from p2pverify.node.files.manifestfile import describes, save_manifest
    from p2pverify.node.files.networkfile import load_network

    if manifest_file is not None:
        check_output(manifest_file, always)
    network, manifests = (None, ()) if network_file is None else load_network(network_file)
    with Progress() as progress:
        key = os.environ.get(KEY_VARIABLE, "")
        endpoint = Endpoint(openai_url, openai_model, key) if openai_url else None
        opened = open_engine(
            engine, EngineOpening(weights=weights, variant=variant, endpoint=endpoint, progress=progress)
        )
        try:
            info = opened.info
            kept = starting_manifest(opened, manifest_file)
            if network is None:
                manifests = (kept,)
            classes = _known_classes(kept) if network is None else network.classes
            progress("answering golden questions", 0, 1)
            tested = run_selftest(opened, [manifest.golden for manifest in manifests if describes(manifest, info)])
        finally:
            opened.close()
    candidates = judge_classes(classes, manifests, info, tested)
    chosen = choose_class(candidates, info)
    document = _document(info, network, candidates, chosen)
    if manifest_file is not None:
        kept = add_answers(kept, info, tested, replace=True)
        save_manifest(manifest_file, kept)
        click.echo(f"{manifest_file} has the golden answers of {len(kept.golden.paths)} paths", err=True)
    click.echo(json.dumps(document) if as_json else _text(document))
    if network is not None and chosen is None:
        raise NotVerifiedError(
            f"this machine belongs to no class of network {network.name}",
            "choose another engine, --variant or --weights, or join another network",
        )


def _known_classes(manifest: "Manifest") -> "tuple[DeterminismClass, ...]":
    """A class for every path with known golden answers."""
    from p2pverify.core.contract.classes import DeterminismClass
    from p2pverify.node.files.networkfile import HONEST_PPM

    return tuple(
        DeterminismClass(path.numeric_path, manifest.digest, path.engine, path.numeric_path, HONEST_PPM)
        for path in manifest.golden.paths
    )


def add_answers(
    manifest: "Manifest", info: "ModelInfo", answered: "Sequence[Answered]", *, replace: bool
) -> "Manifest":
    """The manifest with this machine's golden answers. Without `replace`, existing ones of the path must be equal."""
    import dataclasses

    from p2pverify.core.contract.golden import GoldenPath

    answers = next((one.answers for one in answered if one.questions == manifest.golden.questions), None)
    if answers is None:
        raise CliError("this engine has not answered the manifest's questions", "test it without --network")
    before = manifest.golden.of(info.engine, info.numeric_path)
    if before is not None and before.answers != answers and not replace:
        raise CliError(
            f"this machine does not give the golden answers of {info.engine} {info.numeric_path}",
            "'p2pverify model selftest' shows how they differ; found the network on another machine or build",
        )
    path = GoldenPath(info.engine, info.numeric_path, answers)
    return dataclasses.replace(manifest, golden=manifest.golden.merged([path]))


def _document(
    info: "ModelInfo", network: "Network | None", candidates: "tuple[Candidate, ...]", chosen: "Candidate | None"
) -> dict[str, Any]:
    from p2pverify.engine.llama.variants import machine

    return {
        "schema": "p2pverify/selftest/1",
        "model": info.model,
        "weights": info.weights_sha256.hex(),
        "engine": info.engine,
        "numeric_path": info.numeric_path,
        "can": sorted(info.can),
        "machine": machine(),
        "network": None if network is None else network.id.hex(),
        "class": None if chosen is None else chosen.determinism_class.name,
        "reason": "its answers are those of no class" if chosen is None else chosen.reason,
        "classes": [
            {
                "name": one.determinism_class.name,
                "engine": one.determinism_class.engine,
                "numeric_path": one.determinism_class.numeric_path,
                "is_ours": one.is_ours,
                "reason": one.reason,
                "wanted": None if one.wanted is None else [[a.tokens.hex(), a.logits.hex()] for a in one.wanted],
                "got": [[a.tokens.hex(), a.logits.hex()] for a in one.got],
            }
            for one in candidates
        ],
    }


def _text(document: dict[str, Any]) -> str:
    """The document as text: this machine, every class, and the digests side by side."""
    rows = [(name, document[name]) for name in ("model", "engine", "numeric_path", "machine")]
    rows.append(("can", ", ".join(document["can"])))
    rows.append(("class", f"{document['class'] or 'none'}: {document['reason']}"))
    parts = [pairs(rows)]
    classes = document["classes"]
    if classes:
        shown = [(c["name"], c["engine"], c["numeric_path"], c["is_ours"], c["reason"]) for c in classes]
        parts.append(table(("CLASS", "ENGINE", "NUMERIC PATH", "OURS", "WHY"), shown))
    digests = [
        (c["name"], number, *(digest[:_DIGEST_CHARS] for digest in (*wanted, *got)))
        for c in classes
        for number, (wanted, got) in enumerate(zip(c["wanted"] or (), c["got"], strict=False), 1)
    ]
    if digests:
        headers = ("CLASS", "QUESTION", "TOKENS WANTED", "LOGITS WANTED", "TOKENS GOT", "LOGITS GOT")
        parts.append(table(headers, digests))
    return "\n\n".join(parts)
