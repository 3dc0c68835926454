"""Finds a model's file on this machine by digests: the bundled file, and those that 'p2pverify model add' remembers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import weights as model_weights
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.engines.classes import runnable_models
from p2pverify.node.engines.kinds import EngineKind
from p2pverify.node.files.manifestfile import kept_weights

REMEMBER = "'p2pverify model add FILE --unmeasured' remembers a file"


@dataclass(frozen=True, slots=True)
class FoundWeights:
    """The file of a model's weights, None for the usual ones of the engine, and the SHA-256 that they must have."""

    path: Path | None
    digest: bytes


def find_weights(network: Network, manifests: Sequence[Manifest], kind: EngineKind) -> FoundWeights | None:
    """The weights of the model of a network that this machine has, for an engine of a kind.

    None if the network has no known model for this kind. Raises WeightsError, with the names and digests of the models,
    if this machine has none of them or several. The digest of the file itself is not checked here.
    """
    models = {one.weights: one for one in runnable_models(network, manifests, kind)}
    found = {digest: files for digest in models if (files := _files(digest, kind))}
    if len(found) > 1:
        several = _listed([models[digest] for digest in found])
        raise WeightsError(f"this machine has several models of the network: {several}; choose one with --weights")
    if models and not found:
        raise WeightsError(
            f"this machine has no weights of the network's models: {_listed(list(models.values()))}; name a file with "
            f"--weights, or {REMEMBER}" + (f"; {model_weights.GET_IT}" if model_weights.SHA256 in models else "")
        )
    return next((FoundWeights(files[0], digest) for digest, files in found.items()), None)


def find_file(digest: bytes, kind: EngineKind) -> Path | None:
    """A file on this machine with weights of a digest (32 B), for an engine of a kind that computes with weights."""
    if kind == "openai":
        return None  # the server has the weights
    bundled = [path for path in _bundled() if digest == model_weights.SHA256]
    return next((path for path in (*bundled, *kept_weights(digest)) if path.is_file()), None)


def language_files(manifest: Manifest) -> list[Path]:
    """Files that may have the tokens and the template of a model: those of its weights first, then all others."""
    return list(dict.fromkeys((*kept_weights(manifest.weights), *_bundled(), *kept_weights())))


def weights_files(digest: bytes, given: Path | None) -> list[Path]:
    """The file of weights that an engine runs: the one that was given, else the bundled one if it has this digest."""
    if given is not None:
        return [given]
    return _bundled() if digest == model_weights.SHA256 else []


def _files(digest: bytes, kind: EngineKind) -> list[Path | None]:
    """The files with weights of a digest. None stands for the usual weights of the kind."""
    if kind == "toy":
        is_usual = digest == ToyEngine().info.weights_sha256
    else:
        is_usual = digest == model_weights.SHA256 and bool(_bundled())
    return [None] if is_usual else [*kept_weights(digest)]


def _bundled() -> list[Path]:
    try:
        return [model_weights.bundled()]
    except WeightsError:
        return []


def _listed(models: Sequence[Manifest]) -> str:
    return ", ".join(f"{one.model} (SHA-256 {one.weights.hex()})" for one in models)
