"""The packaged manifest of the bundled model: its golden answers equal the engines' answers here.

`test_variants` tests the answers of llama.cpp's other builds.
"""

from p2pverify.core.contract.output import Ask
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.node.engines.selftest import answer_golden, golden_questions
from p2pverify.node.files.manifestfile import known_manifest
from p2pverify.node.ports import Engine


def check(engine: Engine, first: int = 0) -> None:
    """The engine gives the golden answers from question number `first`, counted from the end if it is negative."""
    info = engine.info
    known = known_manifest(info)
    assert known is not None
    assert known.golden.questions == golden_questions(engine)
    path = known.golden.of(info.engine, info.numeric_path)
    assert path is not None
    assert answer_golden(engine, known.golden.questions[first:]) == path.answers[first:]


def test_the_wheel_is_in_its_class(llama: LlamaEngine) -> None:
    """The pinned wheel gives these bits on every x86-64 machine with AVX2. Otherwise this machine is in another
    class."""
    check(llama)


def test_the_wheel_with_half_precision_keys_is_in_a_class_of_its_own() -> None:
    """Other settings are another path, whose bits do not depend on batches either."""
    engine = open_engine("llama", EngineOpening(variant="wheel/kv-f16"))
    check(engine)
    engine.close()


def test_the_exact_engine_is_in_its_class() -> None:
    """Its bits are equal on every machine, whatever an earlier question left in memory. It is slow, so it gets some of
    the questions here; `model selftest` asks them all."""
    engine = open_engine("exact")
    earlier = engine.encode_chat("Why is the sky green?")
    engine.answer(Ask(earlier, 2, 0, bytes(32)))
    check(engine, first=-2)
    engine.close()
