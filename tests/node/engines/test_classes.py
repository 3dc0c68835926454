"""The class of an engine in a network: by golden answers if there are some, else by name."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.golden import GoldenPath
from p2pverify.core.encoding import sign
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.engines import selftest
from p2pverify.node.engines.classes import ClassError, choose_class, judge_classes, match_class
from p2pverify.node.engines.selftest import Answered, run_selftest
from p2pverify.node.files.networkfile import manifest_of, new_network
from p2pverify.node.ports import GENERATE, WRITE
from tests.support.golden import golden_path, make_golden

ACROSS = Across(1, 1, 2, 2, 3, 10_000)
FOUNDERS = [sign.public_key(bytes(32))]
HERE, THERE = ToyEngine(path="toy/a"), ToyEngine(path="toy/b")


def paths_of(*engines):
    """A network with a class for each engine, golden answers of all, and a class for all other engines."""
    golden = make_golden(engines[0])
    golden = golden.merged([golden_path(engine, golden.questions) for engine in engines[1:]])
    names = [(engine.info.engine, engine.info.numeric_path) for engine in engines[1:]]
    return new_network(
        "n",
        FOUNDERS,
        engines[0].info,
        genesis_ms=1,
        known=replace(manifest_of(engines[0].info), golden=golden),
        others=names,
        referee="toy-exact/1",
        across=ACROSS,
        unknown=True,
    )


def matched(network, manifests, engine, info=None):
    """The numeric path of an engine's class."""
    tested = run_selftest(engine, [manifest.golden for manifest in manifests])
    index, manifest = match_class(network, manifests, info or engine.info, tested)
    assert manifest == manifests[0]
    return network.classes[index].numeric_path


def test_the_bits_decide_and_not_the_name():
    """An engine with another name is in the class with its answers. No engine gets into a class by its name."""
    network, manifests = paths_of(HERE, THERE)
    assert matched(network, manifests, HERE) == "toy/a"
    assert matched(network, manifests, THERE) == "toy/b"
    disguised = replace(HERE.info, engine="toy/2", numeric_path="somewhere")
    assert matched(network, manifests, HERE, disguised) == "toy/a"
    assert matched(network, manifests, THERE, HERE.info) == "toy/b"


def test_whoever_is_of_no_class_joins_the_class_of_all_others():
    """A third path is judged only across classes. Without a class for others it is refused with a reason."""
    network, manifests = paths_of(HERE, THERE)
    third = ToyEngine(path="toy/c")
    assert matched(network, manifests, third) == "*"
    closed = replace(network, classes=network.classes[:2])
    with pytest.raises(ClassError, match=r"0 of 4 golden answers are equal.*selftest"):
        matched(closed, manifests, third)


def test_another_model_is_of_no_class():
    """It is not even in the class for all others."""
    network, manifests = paths_of(HERE, THERE)
    other = replace(HERE.info, weights_sha256=b"\7" * 32)
    with pytest.raises(ClassError, match="another model"):
        matched(network, manifests, HERE, other)


def test_equal_bits_under_two_names():
    """If classes have equal answers, an engine takes the class that names it, else the first."""
    info = HERE.info
    golden = make_golden(HERE)
    twin = GoldenPath("a-twin", info.numeric_path, golden.paths[0].answers)
    known = replace(manifest_of(info), golden=golden.merged([twin]))
    network, manifests = new_network(
        "n", FOUNDERS, info, genesis_ms=1, known=known, others=[("a-twin", info.numeric_path)]
    )
    tested = run_selftest(HERE, [golden])
    engine_of = {
        name: choose_class(judge_classes(network.classes, manifests, replace(info, engine=name), tested), info)
        for name in (info.engine, "a-twin", "neither")
    }
    assert engine_of[info.engine].determinism_class.engine == info.engine
    by_name = judge_classes(network.classes, manifests, replace(info, engine="a-twin"), tested)
    assert choose_class(by_name, replace(info, engine="a-twin")).determinism_class.engine == "a-twin"
    assert choose_class(by_name, replace(info, engine="neither")).index == 0


def test_without_golden_answers_the_name_decides():
    """Networks of one class never needed golden answers."""
    network, manifests = new_network("n", FOUNDERS, HERE.info, genesis_ms=1)
    assert run_selftest(HERE, [manifests[0].golden]) == ()
    assert match_class(network, manifests, HERE.info) == (0, manifests[0])
    with pytest.raises(ClassError, match="another engine or path"):
        match_class(network, manifests, THERE.info)


class Unsteady(ToyEngine):
    """Gives other logits in one pass than token by token."""

    def score(self, ask, tokens):
        scored = super().score(ask, tokens)
        return replace(scored, logits=bytes(reversed(scored.logits)))


class Mute(ToyEngine):
    """Can write prompts and judge, but generates nothing."""

    @property
    def info(self):
        return replace(super().info, can=super().info.can - {GENERATE} | {WRITE})


def test_an_engine_whose_bits_depend_on_how_it_computes_is_of_no_class():
    """Its tokens are right, but its digests cannot be compared."""
    network, manifests = paths_of(HERE, THERE)
    unsteady = Unsteady(path="toy/a")
    assert matched(network, manifests, unsteady) == "*"
    answers = make_golden(unsteady).paths[0].answers
    assert [answer.tokens for answer in answers] == [answer.tokens for answer in make_golden(HERE).paths[0].answers]
    assert not any(any(answer.logits) for answer in answers)


def test_an_engine_that_generates_nothing_proves_nothing():
    """It gets no golden questions."""
    network, manifests = paths_of(HERE, THERE)
    assert run_selftest(Mute(path="toy/a"), [manifests[0].golden]) == ()
    assert matched(network, manifests, Mute(path="toy/a")) == "*"


def test_questions_that_several_manifests_share_are_asked_once(monkeypatch):
    """Each set of questions takes seconds."""
    golden = make_golden(HERE)
    asked = []
    monkeypatch.setattr(selftest, "answer_golden", lambda engine, questions: asked.append(questions) or ())
    assert run_selftest(HERE, [golden, golden]) == (Answered(golden.questions, ()),)
    assert asked == [golden.questions]
