"""`model export`: a model as other projects' formats describe it, from local files or from the newest final view."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.lines.facts import view_facts
from p2pverify.cli.lines.naming import VersionArgument, VersionName
from p2pverify.cli.output import document_date_s, force_option, may_replace
from p2pverify.cli.params import InputFile, InputPath
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output, open_output
from p2pverify.node.files.textfile import read_bytes

if TYPE_CHECKING:
    from p2pverify.interop.facts import VersionFacts

SCHEMA = "p2pverify/model-export/1"
FORMATS = ("oms", "slsa", "spdx", "cyclonedx", "hf", "oci")


@click.command()
@click.option(
    "--manifest",
    "manifest_file",
    type=InputFile("make it with 'p2pverify model add'"),
    metavar="FILE",
    help="The model's manifest.",
)
@click.option(
    "--release",
    "release_file",
    type=InputFile("name the statement of a release"),
    metavar="FILE",
    help="The signed statement of a release, instead of a manifest.",
)
@click.option("--line", default="", metavar="NAME", help="The name of the release's line.")
@click.option(
    "--version",
    "version",
    type=VersionArgument(),
    metavar="LINE@N",
    help="A version in the running node's newest final view, instead of either file.",
)
@click.option(
    "--key",
    "key_file",
    type=InputFile("make one with 'openssl ecparam -name prime256v1 -genkey -noout -out key.pem'"),
    metavar="FILE",
    help="With oms: the private key (PEM) on P-256, P-384 or P-521 that signs.",
)
@click.option("--format", "form", required=True, type=click.Choice(FORMATS), help="What to write.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The file to write; with oci, a new folder.",
)
@click.argument("folder", type=InputPath("name the folder of the model's files", "folder"))
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export(
    manifest_file: Path | None,
    release_file: Path | None,
    line: str,
    version: VersionName | None,
    key_file: Path | None,
    form: str,
    output: Path,
    folder: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Describe the model whose files lie in FOLDER in a format of another project.

    \b
    oms        a bundle of OpenSSF Model Signing over the files
    slsa       SLSA provenance in a DSSE envelope, signed with this home's key
    spdx       SPDX 3.0.1, profiles AI and Dataset
    cyclonedx  CycloneDX 1.7 with model card and pedigree
    hf         a model card of Hugging Face
    oci        an OCI layout of CNCF ModelPack

    Every file is hashed first. The exit code is 5 if one is not that of the release. SOURCE_DATE_EPOCH (Unix seconds)
    sets the date in the documents.
    """
    from p2pverify.interop.foreign import MismatchError

    if sum(each is not None for each in (manifest_file, release_file, version)) != 1:
        raise click.UsageError("give either --manifest, --release or --version")
    if (form == "oms") != (key_file is not None):
        raise click.UsageError("--key belongs to --format oms, which needs it")
    if form != "oci":
        check_output(output, may_replace(force=force))
    if version is None:
        facts = local_facts(folder, manifest_file, release_file, line=line, besides=_besides(folder, output))
    else:
        facts = view_facts(version, folder, document_date_s())
    seed = current_home().load_identity() if form == "slsa" else b""
    key = b"" if key_file is None else _key(key_file)
    try:
        digest = write_export(form, facts, folder, output, key=key, seed=seed, force=force)
    except MismatchError as error:
        raise NotVerifiedError(error.reason, error.hint) from None
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "format": form,
        "model": facts.manifest.model,
        "manifest": facts.manifest.digest.hex(),
        "files": len(facts.files),
        "output": str(output),
        "sha256": digest.hex(),
    }
    rows = [(name, document[name]) for name in ("format", "model", "manifest", "files", "output", "sha256")]
    click.echo(json.dumps(document) if as_json else pairs(rows))


def write_export(
    form: str, facts: "VersionFacts", folder: Path, output: Path, *, key: bytes = b"", seed: bytes = b"", force: bool
) -> bytes:
    """Write a version in one of FORMATS, and return the SHA-256 (32 B) of what was written; with oci, of the manifest.

    `key` is the private key in PEM for oms, and `seed` the Ed25519 seed (32 B) for slsa. Raises ForeignError and
    OutputError.
    """
    from p2pverify.core.encoding.canon import sha256
    from p2pverify.interop import cyclonedx, modelcard, modelpack, oms, slsa, spdx

    if form == "oci":
        return modelpack.write_layout(facts, folder, output)
    if form == "oms":
        files = [oms.SignedFile(file.path, file.sha256) for file in facts.files]
        data = oms.write_bundle(folder.resolve().name, files, key, _besides(folder, output))
    elif form == "slsa":
        data = slsa.write_provenance(facts, seed)
    else:
        writers = {"spdx": spdx.write_spdx, "cyclonedx": cyclonedx.write_cyclonedx, "hf": modelcard.write_card}
        data = writers[form](facts).encode()
    with open_output(output, may_replace(force=force)) as file:
        file.write(data)
    return sha256(data)


def local_facts(
    folder: Path, manifest_file: Path | None, release_file: Path | None, *, line: str, besides: Sequence[str]
) -> "VersionFacts":
    """The facts of a model from a manifest, or from the statement of a release, and from its folder.

    Without a release, all files of the folder are the model's, except for the relative paths `besides`. Raises
    NotVerifiedError if a file is not that of the release, or none has the weights; CliError and ForeignError otherwise.
    """
    from p2pverify.core.contract.history.release import RELEASE_BYTES_MAX, decode_statement
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.errors import DecodeError
    from p2pverify.interop.facts import FileFacts, ParentFacts, VersionFacts
    from p2pverify.interop.foreign import folder_files, sha256_of
    from p2pverify.interop.oms import UNSIGNED, is_below
    from p2pverify.node.files.manifestfile import load_manifest

    names = [name for name in folder_files(folder) if not is_below(name, (*UNSIGNED, *besides))]
    network, release = None, None
    if release_file is not None:
        data = read_bytes(release_file, size_max=RELEASE_BYTES_MAX, missing="name the statement of a release")
        try:
            network, release = decode_statement(data)
        except DecodeError as error:
            raise CliError(f"{release_file} is no statement of a release: {error.reason}", "get it again") from None
        manifest = decode_manifest(release.manifest)
        if release.files:
            names = [file.path for file in release.files]
    else:
        assert manifest_file is not None
        manifest = load_manifest(manifest_file)
    files = []
    for name in names:
        path = folder / name
        digest = sha256_of(path)
        files.append(FileFacts(name, path.stat().st_size, digest))
    if release is not None and release.files:
        for file, entry in zip(files, release.files, strict=True):
            if file.sha256 != entry.sha256:
                raise NotVerifiedError(f"{folder / file.path} is not the file of the release", "get the file again")
    if manifest.weights not in {file.sha256 for file in files}:
        raise NotVerifiedError(
            f"{folder} does not have the weights {manifest.weights.hex()[:16]}... of the manifest",
            "name the folder with the model's files",
        )
    parents = () if release is None else release.parents
    return VersionFacts(
        manifest=manifest,
        files=tuple(files),
        created_s=document_date_s(),
        release=release,
        network=network,
        line=line,
        parents=tuple(ParentFacts(parent.hex(), parent, None) for parent in parents),
    )


def _besides(folder: Path, output: Path) -> list[str]:
    """The relative path of the output, if it lies in the folder."""
    place, root = output.resolve(), folder.resolve()
    return [place.relative_to(root).as_posix()] if place != root and place.is_relative_to(root) else []


def _key(path: Path) -> bytes:
    from p2pverify.interop.oms import KEY_BYTES_MAX

    return read_bytes(path, size_max=KEY_BYTES_MAX, missing="make a key")
