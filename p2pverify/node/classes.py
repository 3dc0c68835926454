"""Which determinism class of a network an engine belongs to.

Digests are compared within a class only, so a node whose engine matches none must not start.
"""

from collections.abc import Sequence

from p2pverify.core.manifest import Manifest
from p2pverify.core.network import DeterminismClass, Network
from p2pverify.node.ports import ModelInfo

#: How the engine strings of classes begin that an engine of a kind can serve.
ENGINE_PREFIXES = {"llama": "llama.cpp/", "toy": "toy"}


class ClassError(Exception):
    """The engine is of no class of the network."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason}: {hint}")
        self.reason = reason
        self.hint = hint


def expected_weights(network: Network, manifests: Sequence[Manifest], kind: str) -> bytes | None:
    """The SHA-256 that the weights of an engine of a kind must have, where the network leaves no choice."""
    named = {c.manifest for c in network.classes if c.engine.startswith(ENGINE_PREFIXES.get(kind, kind))}
    digests = {m.weights for m in manifests if m.digest in named}
    return digests.pop() if len(digests) == 1 and len(named) == 1 else None


def match_class(network: Network, manifests: Sequence[Manifest], info: ModelInfo) -> tuple[int, Manifest]:
    """The index of the engine's class, and its manifest. Raises ClassError, which lists what there is."""
    by_digest = {manifest.digest: manifest for manifest in manifests}
    for index, found in enumerate(network.classes):
        manifest = by_digest.get(found.manifest)
        if manifest is not None and _serves(info, found, manifest):
            return index, manifest
    ours = f"{info.engine} {info.numeric_path} with {info.model} ({info.weights_sha256.hex()[:16]})"
    theirs = "; ".join(_describe(c, by_digest.get(c.manifest)) for c in network.classes)
    raise ClassError(
        f"this engine is of no class of network {network.name!r}: it is {ours}, the network has {theirs}",
        "choose the engine and the weights that the network names, or join another network",
    )


def _serves(info: ModelInfo, found: DeterminismClass, manifest: Manifest) -> bool:
    same_code = (found.engine, found.numeric_path) == (info.engine, info.numeric_path)
    return same_code and (
        manifest.weights,
        manifest.tokenizer,
        manifest.template,
        manifest.quantisation,
    ) == (info.weights_sha256, info.tokenizer_sha256, info.template_sha256, info.quantisation)


def _describe(found: DeterminismClass, manifest: Manifest | None) -> str:
    what = (
        f"manifest {found.manifest.hex()[:16]}, which the network file does not hold"
        if manifest is None
        else f"{manifest.model} ({manifest.weights.hex()[:16]})"
    )
    return f"class {found.name!r}: {found.engine} {found.numeric_path} with {what}"
