"""The manifest to which a command that measures a model adds."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from p2pverify.cli.errors import CliError

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.node.ports import Engine, ModelInfo


def manifest_from(path: Path | None, info: "ModelInfo", *, must_exist: bool = False) -> "Manifest":
    """The manifest in the file, else the one that comes with p2pverify for the model, else a new one."""
    from p2pverify.node.files.manifestfile import describes, known_manifest, load_manifest
    from p2pverify.node.files.networkfile import manifest_of

    if path is None or not (must_exist or path.exists()):
        return known_manifest(info) or manifest_of(info)
    kept = load_manifest(path)
    if not describes(kept, info):
        raise CliError(f"{path} describes another model: {kept.model}", "name another file with --manifest")
    return kept


def starting_manifest(engine: "Engine", path: Path | None, *, must_exist: bool = False) -> "Manifest":
    """The same manifest, with golden questions added if it has none."""
    from p2pverify.core.contract.golden import Golden
    from p2pverify.node.engines.selftest import golden_questions

    kept = manifest_from(path, engine.info, must_exist=must_exist)
    return kept if kept.golden.questions else replace(kept, golden=Golden(golden_questions(engine)))
