"""Decisions about answers of a later version are no findings of a machine that has proven the first one."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import Question
from p2pverify.core.records.payloads.vote import UNDERIVABLE
from p2pverify.core.replica.cases import Case, find_cases
from p2pverify.node.rerun.draw import Obstacle, draw_cases
from p2pverify.node.rerun.judge import CannotJudgeError, CaseJudge, Rerun, prove_class
from p2pverify.node.rerun.proof import ProofRefuted, make_proof, signed_case, wrong_case
from p2pverify.node.rerun.run import no_answers, run_cases
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from tests.support.lines import moving, with_line
from tests.support.toyworld import ToyWorld

PEERS, STAY = 7, 3


def later_version(manifest: Manifest) -> Manifest:
    return replace(manifest, weights=sha256(b"later"))


class LinedToys(ToyWorld):
    """Members whose model has a line. The last ones serve version 1, the others version 0."""

    def _contract(self, usual: Network) -> Network:
        self.later = later_version(self.manifest).digest
        self._around = moving(PEERS, range(STAY, PEERS), 1, later_version(self.manifest), seed=3)
        return with_line(super()._contract(usual))

    def _actor(self, kind: str, args: ActorArgs) -> Actor:
        actor = super()._actor(kind, args)
        handle = actor.handle
        actor.handle = lambda event, now_ms: self._around(actor, event, now_ms, handle)  # type: ignore[method-assign]
        return actor


@pytest.fixture(scope="module")
def toys() -> LinedToys:
    found = LinedToys(PEERS, seed=3, slots_milli=2000, spot_check_permille=200)
    found.run_epochs(10)
    return found


def cases_of(toys: LinedToys) -> list[Case]:
    fold = toys.peers[0].machine.fold
    return list(find_cases(fold, fold.latest.id))


def judge_of(toys: LinedToys) -> CaseJudge:
    proven = prove_class(toys.network, (toys.manifest,), toys.engines[0])
    return CaseJudge(toys.network, proven, toys.engines[0], lambda: toys.referee, no_answers)


def test_cases_say_of_which_version_their_answers_are(toys: LinedToys) -> None:
    """Undisputed audits and decided disputes of both versions. Those of version 1 are an obstacle."""
    judge, cases = judge_of(toys), cases_of(toys)
    found = Counter((case.model, case.is_disputed) for case in cases)
    assert found.keys() == {(model, disputed) for model in (toys.manifest.digest, toys.later) for disputed in (0, 1)}
    obstacles = {(case.model, judge.obstacle(case)) for case in cases}
    assert obstacles == {(toys.manifest.digest, None), (toys.later, Obstacle.OTHER_VERSION)}


def test_what_can_be_run_agrees_and_the_rest_would_not(toys: LinedToys) -> None:
    """With the weights of version 0 the answers of version 1 look wrong."""
    judge, cases, ledger = judge_of(toys), cases_of(toys), toys.peers[0].machine.context.ledger
    draw = draw_cases(cases, None, judge.obstacle, random.Random(1))
    outcome = run_cases(judge, no_answers, ledger, draw, lambda _done, _total: None)
    assert outcome.ran
    assert not outcome.wrong
    assert draw.left_out[Obstacle.OTHER_VERSION] == sum(case.model == toys.later for case in cases) > 0
    other = next(case for case in cases if case.model == toys.later)
    found = judge.run(other)
    assert found.output == UNDERIVABLE  # because the question names the other model


def test_records_alone_do_not_prove_that_a_question_is_underivable(toys: LinedToys) -> None:
    """It may be one of a later version, and only the ledger says which one was asked."""
    other = next(case for case in cases_of(toys) if case.model == toys.later and not case.is_disputed)
    claim = wrong_case(other, (), Rerun(UNDERIVABLE), None)
    with pytest.raises(ProofRefuted, match="which version"):
        signed_case(toys.network, claim)
    assert make_proof(toys.network, toys.manifest, [claim]).cases == ()
    own = next(case for case in cases_of(toys) if case.model == toys.manifest.digest and not case.is_disputed)
    claim = wrong_case(own, (), Rerun(bytes(32)), None)
    assert signed_case(toys.network, claim) == own
    assert make_proof(toys.network, toys.manifest, [claim]).cases == (claim,)


def test_an_answer_of_another_version_is_not_judged(toys: LinedToys) -> None:
    """A receipt of one can be checked, but not computed again here."""
    judge = judge_of(toys)
    question = Question(toys.manifest.digest, (1, 2, 3), 4, 0, bytes(16), bytes(32))
    output = toys.engines[0].answer(question.ask).output
    assert judge.check(0, question, output)
    with pytest.raises(CannotJudgeError, match="another version"):
        judge.check(0, replace(question, manifest=toys.later), output)
