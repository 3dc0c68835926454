"""The manifest of weights that a round gave. It follows from the weights and from the parent's manifest."""

from dataclasses import replace

from p2pverify.core.contract.golden import Golden, GoldenPath, golden_answer
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.canon import sha256
from p2pverify.engine.tabular.engine import ENGINE, NUMERIC_PATH, TabularEngine
from p2pverify.engine.tabular.model import TabularModel

QUESTION = b"p2pverify/training/question/1\0"
PROVENANCE = "round"
#: The temperatures, times 1000, of the golden questions.
TEMPERATURES_MILLI = (0, 0, 800, 800)
ANSWER_TOKENS = 2


def tabular_manifest(model: TabularModel, name: str, licence: str, provenance: str) -> Manifest:
    """The manifest of a model with which a line begins."""
    engine = TabularEngine(model)
    info = engine.info
    questions = tuple(_question(engine, number) for number in range(len(TEMPERATURES_MILLI)))
    answers = tuple(golden_answer(engine.answer(each).output) for each in questions)
    return Manifest(
        name,
        info.weights_sha256,
        info.tokenizer_sha256,
        info.template_sha256,
        info.quantisation,
        licence,
        provenance,
        None,
        Golden(questions, (GoldenPath(ENGINE, NUMERIC_PATH, answers),)),
    )


def round_manifest(model: TabularModel, parent: Manifest) -> Manifest:
    """The manifest of a round's weights. Name and licence are the parent's, and all else follows from the weights."""
    made = tabular_manifest(model, parent.model, parent.licence, PROVENANCE)
    return replace(made, parent=parent.digest)


def _question(engine: TabularEngine, number: int) -> Ask:
    """A golden question: prompt and sampler key follow from the digest of the weights."""
    drawn = sha256(QUESTION + bytes([number]) + engine.info.weights_sha256)
    prompt = engine.write_prompt(drawn[:16], len(engine.model.schema.features))
    return Ask(prompt, ANSWER_TOKENS, TEMPERATURES_MILLI[number], drawn)
