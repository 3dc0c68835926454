"""Golden vectors of an engine, and golden vectors of a model that no toy engine can answer."""

from collections.abc import Sequence
from dataclasses import replace

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.golden import Golden, GoldenPath
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Ask
from p2pverify.engine import toy
from p2pverify.node.engines.selftest import answer_golden, golden_questions
from p2pverify.node.files.networkfile import manifest_of
from p2pverify.node.ports import Engine


def golden_path(engine: Engine, questions: Sequence[Ask]) -> GoldenPath:
    """The engine's own entry in a manifest's golden vectors."""
    return GoldenPath(engine.info.engine, engine.info.numeric_path, answer_golden(engine, questions))


def make_golden(engine: Engine) -> Golden:
    """Golden vectors with only this engine's path."""
    questions = golden_questions(engine)
    return Golden(questions, (golden_path(engine, questions),))


def beside_another_model(network: Network, manifests: Sequence[Manifest]) -> tuple[Network, tuple[Manifest, ...]]:
    """The network with a first class "large" of another model. Its golden questions are outside a toy's vocabulary."""
    question = Ask((toy.VOCAB_TOKENS,), 8, 0, bytes(32))
    info = replace(toy.ToyEngine().info, model="large", weights_sha256=b"\1" * 32, tokenizer_sha256=b"\2" * 32)
    other = replace(manifest_of(info), golden=Golden((question,)))
    found = DeterminismClass("large", other.digest, "llama.cpp/any", "avx2", network.classes[0].honest_ppm)
    digests = tuple(sorted((*network.manifests, other.digest)))
    made = replace(network, manifests=digests, classes=(found, *network.classes))
    return made, tuple(sorted((*manifests, other), key=lambda manifest: manifest.digest))
