"""Which determinism class of a network an engine belongs to.

Digests are compared within a class only. If the manifest has golden vectors, they prove the class: an engine whose
answers are equal in every digest belongs to it, whatever its processor and build are called. Without golden vectors,
the names of the engine and the numeric path decide. An engine of no class joins the network's class for unknown
machines ("*"), if there is one. Otherwise it must not start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.golden import GoldenAnswer
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Ask
from p2pverify.node.engines.kinds import ENGINES, EngineKind
from p2pverify.node.engines.selftest import Answered
from p2pverify.node.files.manifestfile import describes
from p2pverify.node.ports import GENERATE, GREEDY, ModelInfo
from p2pverify.node.user_error import UserError


class ClassError(UserError):
    """The engine belongs to no class of the network."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A class of the network, compared with an engine.

    `wanted` are the golden answers of the class, None if it has none. `got` are the engine's answers. `reason` says in
    a few words why the engine is of this class or not.
    """

    index: int
    determinism_class: DeterminismClass
    is_ours: bool
    reason: str
    wanted: tuple[GoldenAnswer, ...] | None
    got: tuple[GoldenAnswer, ...]


def runnable_models(network: Network, manifests: Sequence[Manifest], kind: EngineKind) -> tuple[Manifest, ...]:
    """The models that a kind of engine can run in a network, as far as their manifests are known."""
    prefix = ENGINES[kind].prefix
    named = {c.manifest for c in network.classes if c.is_any or c.engine.startswith(prefix)}
    return tuple(m for m in manifests if m.digest in named)


def expected_weights(network: Network, manifests: Sequence[Manifest], kind: EngineKind) -> bytes | None:
    """The SHA-256 that the weights for a kind of engine must have; None if the network allows several.

    A manifest that is not known allows any weights.
    """
    models = runnable_models(network, manifests, kind)
    digests = {m.weights for m in models}
    is_sure = len(manifests) == len(network.manifests)
    return digests.pop() if len(digests) == 1 and is_sure else None


def judge_classes(
    classes: Sequence[DeterminismClass], manifests: Sequence[Manifest], info: ModelInfo, tested: Sequence[Answered]
) -> tuple[Candidate, ...]:
    """Every class of the network, and whether the engine belongs to it by its answers in the self-test."""
    by_digest = {manifest.digest: manifest for manifest in manifests}
    answers = {one.questions: one.answers for one in tested}
    return tuple(
        _judge(index, found, by_digest.get(found.manifest), info, answers) for index, found in enumerate(classes)
    )


def choose_class(candidates: Sequence[Candidate], info: ModelInfo) -> Candidate | None:
    """The engine's class. Of several equal ones: the class that names the engine, else the first; "*" comes last."""
    names = (info.engine, info.numeric_path)
    fitting = [candidate for candidate in candidates if candidate.is_ours]

    def rank(candidate: Candidate) -> tuple[bool, bool, int]:
        found = candidate.determinism_class
        return (found.is_any, (found.engine, found.numeric_path) != names, candidate.index)

    return min(fitting, key=rank, default=None)


def match_class(
    network: Network, manifests: Sequence[Manifest], info: ModelInfo, tested: Sequence[Answered] = ()
) -> tuple[int, Manifest]:
    """The index of the engine's class, and its manifest. Raises ClassError, which lists the classes of the network."""
    candidates = judge_classes(network.classes, manifests, info, tested)
    chosen = choose_class(candidates, info)
    if chosen is not None:
        return chosen.index, next(m for m in manifests if m.digest == chosen.determinism_class.manifest)
    ours = f"{info.engine} {info.numeric_path} with {info.model} ({info.weights_sha256.hex()[:16]})"
    by_digest = {manifest.digest: manifest for manifest in manifests}
    theirs = "; ".join(
        f"{_describe(one.determinism_class, by_digest.get(one.determinism_class.manifest))} ({one.reason})"
        for one in candidates
    )
    raise ClassError(
        f"this engine is of no class of network {network.name!r}: it is {ours}, the network has {theirs}",
        "choose the engine and the weights that the network names, or join another network; "
        "'p2pverify model selftest --network FILE' shows more",
    )


def _judge(
    index: int,
    found: DeterminismClass,
    manifest: Manifest | None,
    info: ModelInfo,
    answers: Mapping[tuple[Ask, ...], tuple[GoldenAnswer, ...]],
) -> Candidate:
    if manifest is None:
        return Candidate(index, found, False, "its manifest is not in the network file", None, ())
    if not describes(manifest, info):
        return Candidate(index, found, False, "another model", None, ())
    if found.is_any:
        return Candidate(index, found, True, "for this model on any machine", None, ())
    got = answers.get(manifest.golden.questions, ())
    wanted = manifest.golden.of(found.engine, found.numeric_path)
    if wanted is None:
        is_named = (found.engine, found.numeric_path) == (info.engine, info.numeric_path)
        reason = "the engine and path that it names" if is_named else "another engine or path, and no golden answers"
        return Candidate(index, found, is_named, reason, None, got)
    equal = sum(ours == theirs and any(theirs.logits) for ours, theirs in zip(got, wanted.answers, strict=False))
    is_ours = bool(got) and equal == len(wanted.answers)
    reason = f"{equal} of {len(wanted.answers)} golden answers are equal"
    if any(not any(answer.logits) for answer in got):
        reason = "shows no logits, or other ones in one pass than token by token"
    return Candidate(index, found, is_ours, reason, wanted.answers, got)


def _describe(found: DeterminismClass, manifest: Manifest | None) -> str:
    what = (
        f"manifest {found.manifest.hex()[:16]}, which the network file does not hold"
        if manifest is None
        else f"{manifest.model} ({manifest.weights.hex()[:16]})"
    )
    return f"class {found.name!r}: {found.engine} {found.numeric_path} with {what}"


def check_abilities(network: Network, info: ModelInfo) -> None:
    """Raises ClassError if the engine cannot answer the questions that others will ask."""
    params = network.params
    heats = [shape.temperature_milli for shape in params.shapes]
    asks_greedy = not any(heats) if heats else params.temperature_milli == 0 or params.greedy_percent == 100
    if GENERATE not in info.can and not (GREEDY in info.can and asks_greedy):
        raise ClassError(
            f"{info.engine} cannot answer at the temperatures of network {network.name!r}",
            "let the server show more log-probabilities, or choose another engine; 'p2pverify model selftest' says "
            "what an engine can do",
        )
