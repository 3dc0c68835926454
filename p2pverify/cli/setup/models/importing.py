"""`model import`: a manifest's draft from a folder of somebody else, and what of it nobody has checked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.errors import NotVerifiedError
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import InputFile, InputPath
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output
from p2pverify.node.files.textfile import read_bytes

if TYPE_CHECKING:
    from p2pverify.interop.drafts import Draft, GgufFacts

SCHEMA = "p2pverify/model-import/1"


@click.command("import")
@click.option(
    "--weights",
    type=InputFile("name the GGUF file in the folder"),
    metavar="FILE",
    help="The GGUF file, if the folder has several.",
)
@click.option(
    "--signature",
    type=InputFile("name the bundle of OpenSSF Model Signing"),
    metavar="FILE",
    help="A bundle of OpenSSF Model Signing over the folder; model.sig in it is found without this option.",
)
@click.option(
    "--key",
    "key_file",
    type=InputFile("get the signer's public key from the signer"),
    metavar="FILE",
    help="The signer's public key (PEM).",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the manifest's draft there (TOML)."
)
@click.argument("folder", type=InputPath("name the folder of a model", "folder"))
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(
    weights: Path | None,
    signature: Path | None,
    key_file: Path | None,
    output: Path | None,
    folder: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Draft the manifest of the model in FOLDER, and say what could not be verified.

    The GGUF file, the model card (README.md) and the signature are read. A draft has no golden answers and no
    thresholds, because these have to be measured. The exit code is 5 if the signature does not hold.
    """
    from p2pverify.interop import drafts
    from p2pverify.interop.foreign import ForeignError, MismatchError
    from p2pverify.interop.oms import BUNDLE_BYTES_MAX, KEY_BYTES_MAX
    from p2pverify.node.files.manifestfile import save_manifest

    if output is not None:
        check_output(output, may_replace(force=force))
    file = weights or drafts.find_weights(folder)
    bundle = signature or drafts.find_bundle(folder)
    if key_file is not None and bundle is None:
        raise click.UsageError("--key is given, and there is no signature: name it with --signature")
    with Progress() as progress:
        gguf = _gguf(file, progress)
        try:
            found = drafts.draft(gguf, drafts.find_card(folder))
        except ForeignError as error:
            found = drafts.draft(gguf, None)
            found.unverified.append(f"the model card, which cannot be read: {error.reason}")
        if bundle is None:
            found.unverified.append("the folder has no signature of OpenSSF Model Signing")
        else:
            data = read_bytes(bundle, size_max=BUNDLE_BYTES_MAX, missing="name the bundle")
            key = None if key_file is None else read_bytes(key_file, size_max=KEY_BYTES_MAX, missing="name the key")
            try:
                drafts.check_bundle(found, data, folder, key, _inside(folder, bundle))
            except MismatchError as error:
                raise NotVerifiedError(error.reason, error.hint) from None
    if output is not None:
        save_manifest(output, found.manifest)
    document = _document(found, file, output)
    click.echo(json.dumps(document) if as_json else _text(document))


def _gguf(file: Path, progress: Progress) -> "GgufFacts":
    from hashlib import sha256

    from p2pverify.engine.gguf import chat_template, weights
    from p2pverify.engine.gguf.reader import read_head
    from p2pverify.interop.drafts import GgufFacts

    digest = weights.check(file, None, progress)
    head = read_head(file)
    return GgufFacts(
        name=head.text("general.name", ""),
        licence=head.text("general.license", ""),
        quantisation=head.quantisation,
        weights=digest,
        tokenizer=head.tokenizer_sha256(),
        template=sha256(chat_template.template_of(head).encode()).digest(),
    )


def _inside(folder: Path, path: Path) -> tuple[str, ...]:
    place, root = path.resolve(), folder.resolve()
    return (place.relative_to(root).as_posix(),) if place.is_relative_to(root) else ()


def _document(found: "Draft", file: Path, output: Path | None) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "schema": SCHEMA,
        "file": str(file),
        **{name: getattr(manifest, name) for name in ("model", "quantisation", "licence", "provenance")},
        **{name: getattr(manifest, name).hex() for name in ("weights", "tokenizer", "template")},
        "manifest": None if output is None else str(output),
        "verified": found.verified,
        "unverified": found.unverified,
    }


def _text(document: dict[str, Any]) -> str:
    names = ("file", "model", "quantisation", "licence", "provenance", "weights", "tokenizer", "template", "manifest")
    rows = [(name, document[name]) for name in names if document[name]]
    rows += [("verified", text) for text in document["verified"]]
    rows += [("not verified", text) for text in document["unverified"]]
    return pairs(rows)
