"""Evidence of audit-endpoint: `verify` computes it again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.check.kinds import VerifyOptions
from p2pverify.cli.errors import NotVerifiedError
from p2pverify.cli.output import UnusableError
from p2pverify.cli.progress import Progress
from p2pverify.core.inference import endpoint
from p2pverify.node.engines.kinds import kind_of
from p2pverify.node.files.textfile import read_bytes

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.node.ports import Engine

_SCHEMA = "p2pverify/endpoint-check/1"


def check_endpoint(file: Path, options: VerifyOptions) -> None:
    """Compute evidence of an endpoint again. Raises NotVerifiedError, UnusableError."""
    from p2pverify.cli.check.endpoint import endpoint_document, endpoint_text, open_referee_of
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.errors import DecodeError
    from p2pverify.engine.endpoint.rescore import find_difference
    from p2pverify.node.files.manifestfile import describes

    manifest_file, as_json = options.manifest_file, options.as_json
    data = read_bytes(file, size_max=endpoint.ENDPOINT_EVIDENCE_BYTES_MAX, missing="")
    try:
        evidence = endpoint.decode_endpoint_evidence(data)
        manifest = decode_manifest(evidence.manifest)
    except DecodeError as error:
        raise UnusableError(f"{file} is no valid evidence: {error.reason}", "get the file again") from None
    with Progress() as progress:
        referee, ours = open_referee_of(kind_of(evidence.referee) or "llama", options.weights, manifest_file, progress)
        try:
            if not describes(manifest, referee.info):
                reason: str | None = f"it is about {manifest.model}, and these weights are {referee.info.model}"
            elif referee.info.engine != evidence.referee:
                reason = f"its referee is {evidence.referee}, and this p2pverify has {referee.info.engine}"
            else:
                reason = find_difference(evidence, referee, progress)
                if reason is not None:
                    _check_referee(referee, ours)
        finally:
            referee.close()
    is_known = ours.digest == manifest.digest
    if reason is None and manifest_file is not None and not is_known:
        reason = "its manifest is another one than --manifest"
    document = endpoint_document(evidence)
    if as_json:
        checked = {"schema": _SCHEMA, "confirmed": reason is None, "reason": reason, "manifest_is_known": is_known}
        click.echo(json.dumps({**checked, "audit": document}))
    else:
        click.echo(endpoint_text(document))
    if reason is not None:
        raise NotVerifiedError(f"{file} is refuted: {reason}", "ask its maker, or compare the weights")
    if not as_json:
        click.echo("confirmed: this machine computes the same integers")
        click.echo("what the server said is the auditor's word, because servers sign nothing")
        if not is_known:
            click.echo("the thresholds are the file's own: name the manifest that you trust with --manifest")


def _check_referee(referee: "Engine", manifest: "Manifest") -> None:
    """A machine that does not give the referee's golden answers must not refute anything. Raises CliError."""
    from p2pverify.cli.errors import CliError
    from p2pverify.node.engines.selftest import answer_golden

    golden = manifest.golden
    wanted = golden.of(referee.info.engine, referee.info.numeric_path)
    if wanted is not None and answer_golden(referee, golden.questions) != wanted.answers:
        raise CliError(
            f"the referee {referee.info.engine} does not give its golden answers on this machine",
            "compare the weights with the manifest, or check on another machine",
        )
