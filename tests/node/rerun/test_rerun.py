"""Decisions of ledgers made by the toy engine are found, drawn, and computed again."""

import random
from dataclasses import replace

import pytest

from p2pverify.core.contract.golden import GoldenAnswer, GoldenPath
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Ask
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import decode_record
from p2pverify.core.records.payloads.audit import decode_audit
from p2pverify.core.replica.cases import Case, find_cases
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.verify import verified_fold
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.engines.classes import ClassError
from p2pverify.node.ports import Generated, Hear, unheard
from p2pverify.node.rerun.draw import Draw, Obstacle, draw_cases
from p2pverify.node.rerun.judge import CannotJudgeError, CaseJudge, FindAnswers, ProvenClass, prove_class
from p2pverify.node.rerun.proof import (
    PROOF_BYTES_MAX,
    ProofRefuted,
    RerunProof,
    WrongCase,
    decode_proof,
    make_proof,
    signed_case,
)
from p2pverify.node.rerun.run import Outcome, about_class, kept_answers, no_answers, run_cases
from tests.support.toyworld import ToyWorld, always, share

LIARS = 3


def ledger_of(world: ToyWorld) -> tuple[Fold, list[Case]]:
    """The verified fold of a world's records, and its cases."""
    header = world.header()
    fold = verified_fold(header.network_id, header.network_definition, header.cut, world.records())
    return fold, list(find_cases(fold, header.cut))


def judge_of(world: ToyWorld, find_answers: FindAnswers = no_answers) -> CaseJudge:
    proven = prove_class(world.network, (world.manifest,), world.engines[0])
    return CaseJudge(world.network, proven, world.engines[0], lambda: world.referee, find_answers)


def run_all(world: ToyWorld, find_answers: FindAnswers = no_answers) -> tuple[Draw, Outcome]:
    """Run every case of a world that can be run."""
    fold, cases = ledger_of(world)
    judge = judge_of(world, find_answers)
    draw = draw_cases(cases, None, judge.obstacle, random.Random(1))
    return draw, run_cases(judge, find_answers, fold.ledger, draw, lambda _done, _total: None)


@pytest.fixture(scope="module")
def honest() -> ToyWorld:
    """Five peers. One lies about half of the questions, and loses its disputes."""
    world = ToyWorld(5, seed=3, lies={4: share(0.5)}, spot_check_permille=200, slots_milli=1500)
    world.run_epochs(8)
    return world


@pytest.fixture(scope="module")
def lying() -> ToyWorld:
    """Five peers, three of which tell the same lie to every question, and so win every vote."""
    lies = dict.fromkeys(range(LIARS), always)
    world = ToyWorld(5, seed=3, lies=lies, spot_check_permille=200, slots_milli=1500)
    world.run_epochs(10)
    return world


@pytest.fixture(scope="module")
def across() -> ToyWorld:
    """Three peers of each of two classes, which ask each other across classes."""
    world = ToyWorld(6, seed=3, classes=2, lies={5: share(0.5)}, slots_milli=1500, across_percent=60)
    world.run_epochs(8)
    return world


@pytest.fixture(scope="module")
def wrong(lying: ToyWorld) -> list[WrongCase]:
    """The wrong decisions of the lying majority."""
    return [wrong for _, wrong in run_all(lying)[1].wrong]


def test_every_decision_of_an_honest_majority_agrees(honest: ToyWorld) -> None:
    """The losers of its disputes told the lies, so the disputes were decided rightly."""
    draw, outcome = run_all(honest)
    assert (len(outcome.ran), outcome.wrong, outcome.refused) == (draw.candidates, [], 0)
    assert {case.is_disputed for case in outcome.ran} == {False, True}
    assert draw.left_out == dict.fromkeys(Obstacle, 0)


def test_cases_are_all_that_counted() -> None:
    """Without disputes and spot checks, each agreement in the view comes from a case."""
    world = ToyWorld(5, seed=5, slots_milli=1500)
    world.run_epochs(7)
    fold, cases = ledger_of(world)
    members = fold.state(world.header().cut).members.values()  # type: ignore[union-attr]
    assert cases
    assert sum(len(case.classes) + 1 for case in cases) == sum(member.agreements for member in members)


def test_decided_disputes_are_cases_once(honest: ToyWorld) -> None:
    """A dispute stays in the state for many cuts, and is a case of the cut that decided it."""
    fold, cases = ledger_of(honest)
    disputes = [case.audit.key for case in cases if case.is_disputed]
    assert len(disputes) == len(set(disputes)) == fold.state(honest.header().cut).totals["decided disputes"]  # type: ignore[union-attr]


def test_each_decision_that_honest_members_object_to_is_named(lying: ToyWorld) -> None:
    """And no other dispute. The liars have three of five weights, so no final view convicts an honest member."""
    _, cases = ledger_of(lying)
    _, outcome = run_all(lying)
    decided = {case.audit.key for case in cases if case.is_disputed}
    wrong = [signed_case(lying.network, wrong) for _, wrong in outcome.wrong]
    honest = [peer.machine for peer in lying.peers[LIARS:]]
    assert {case.audit.key for case in wrong if case.is_disputed} == decided.intersection(honest[0].objector.against)
    assert decided.intersection(honest[0].objector.against)
    assert not honest[0].fold.latest.convicted


def test_the_lies_of_a_majority_are_found(lying: ToyWorld) -> None:
    """Each dispute was decided for the lie, and liars that asked liars opened it."""
    _, outcome = run_all(lying)
    liars = {peer.machine.key for peer in lying.peers[:LIARS]}
    found = [told for told, _ in outcome.wrong]
    assert {told.disputed for told in found} == {False, True}
    assert all(told.disputed for told in found if told.voters)
    for _, wrong in outcome.wrong:
        case = signed_case(lying.network, wrong)
        assert case.is_disputed or case.audit.challenger in liars
    agreeing = {case.audit.key for case in outcome.ran} - {
        signed_case(lying.network, w).audit.key for _, w in outcome.wrong
    }
    assert not any(key.challenger in liars for key in agreeing)


def test_answers_across_classes_are_judged_where_they_are_kept(across: ToyWorld) -> None:
    """An export has no answers. In its home a challenger keeps those of its own slots."""
    draw, _ = run_all(across)
    assert draw.left_out[Obstacle.NO_ANSWERS] > 0
    assert not any(case.is_across for case in draw.cases)
    own = across.peers[0]
    there, outcome = run_all(across, kept_answers(own.machine.key, own.disk.read()[2]))
    judged = [case for case in outcome.ran if case.is_across]
    assert judged
    assert {case.audit.challenger for case in judged} == {own.machine.key}
    assert there.left_out[Obstacle.NO_ANSWERS] + len(judged) == draw.left_out[Obstacle.NO_ANSWERS]
    assert not outcome.wrong


def test_other_classes_are_counted_and_left_out(across: ToyWorld) -> None:
    """Within a class only a machine of that class gets the same bits."""
    _, cases = ledger_of(across)
    judge = judge_of(across)
    others = [case for case in cases if judge.obstacle(case) is Obstacle.OTHER_CLASS]
    assert {case.classes[0] for case in others} == {1}
    named = list(about_class(cases, across.network, "other"))
    assert set(others) < set(named)


def test_a_draw_has_the_size_asked_for(honest: ToyWorld) -> None:
    """Up to half of it are disputes, more if there are few other cases, and no case comes twice."""
    _, cases = ledger_of(honest)
    disputes = sum(case.is_disputed for case in cases)
    for count in (1, 2, 5, len(cases) + 10):
        draw = draw_cases(cases, count, lambda _: None, random.Random(count))
        assert len(set(draw.cases)) == len(draw.cases) == min(count, len(cases))
        assert sum(case.is_disputed for case in draw.cases) == min(disputes, max((count + 1) // 2, 0))
    only = [case for case in cases if case.is_disputed]
    assert len(draw_cases(only, 2, lambda _: None, random.Random(1)).cases) == 2


def test_a_draw_takes_each_case_with_the_same_chance(honest: ToyWorld) -> None:
    """Over many draws of one, no undisputed audit is left out."""
    cases = [case for case in ledger_of(honest)[1] if not case.is_disputed]
    dice = random.Random(7)
    drawn = {draw_cases(cases, 1, lambda _: None, dice).cases[0] for _ in range(40 * len(cases))}
    assert len(drawn) == len(cases)


class Unsteady(ToyEngine):
    """An engine that gives another answer each time."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        self.answers += 1
        made = super().answer(ask, hear)
        return replace(made, output=replace(made.output, tokens=(self.answers,)))


def test_a_machine_that_contradicts_itself_judges_nobody(honest: ToyWorld) -> None:
    """A result that differs from the ledger is computed twice."""
    _, cases = ledger_of(honest)
    proven = prove_class(honest.network, (honest.manifest,), honest.engines[0])
    judge = CaseJudge(honest.network, proven, Unsteady(), lambda: honest.referee, no_answers)
    with pytest.raises(CannotJudgeError, match="two answers to one question"):
        judge.run(cases[0])


def changed(manifest: Manifest, path: str) -> Manifest:
    """A manifest in which a path has other golden answers."""
    nothing = tuple(GoldenAnswer(bytes(32), b"\1" * 32) for _ in manifest.golden.questions)
    paths = [
        GoldenPath(one.engine, one.numeric_path, nothing) for one in manifest.golden.paths if one.numeric_path == path
    ]
    return replace(manifest, golden=manifest.golden.merged(paths))


def test_a_machine_that_fails_the_self_test_is_refused(honest: ToyWorld) -> None:
    """Its golden answers are those of no class."""
    manifest = changed(honest.manifest, "sha256")
    classes = (replace(honest.network.classes[0], manifest=manifest.digest),)
    network = replace(honest.network, manifests=(manifest.digest,), classes=classes)
    with pytest.raises(ClassError, match="of no class"):
        prove_class(network, (manifest,), honest.engines[0])


def test_a_referee_that_fails_the_self_test_is_refused(across: ToyWorld) -> None:
    """A network's referee has golden answers too, if the manifest has some."""
    own = across.peers[0]
    find = kept_answers(own.machine.key, own.disk.read()[2])
    proven = ProvenClass(0, changed(across.manifest, "integer"), "")
    network = replace(
        across.network,
        classes=tuple(replace(each, manifest=proven.manifest.digest) for each in across.network.classes),
    )
    judge = CaseJudge(network, proven, across.engines[0], lambda: across.referee, find)
    case = next(case for case in ledger_of(across)[1] if case.is_across and find(case) is not None)
    with pytest.raises(CannotJudgeError, match="does not give its golden answers"):
        judge.run(case)


# ---------------------------------------------------------------- proofs


def test_a_proof_is_read_as_it_was_written(lying: ToyWorld, wrong: list[WrongCase]) -> None:
    """The form is canonical, and within its limits."""
    proof = make_proof(lying.network, lying.manifest, wrong)
    assert len(proof.cases) == len(wrong)
    assert decode_proof(proof.encode()) == proof
    assert len(proof.encode()) < PROOF_BYTES_MAX


def test_a_proof_across_classes_carries_the_answers(across: ToyWorld) -> None:
    """Without them no referee could measure anything; other answers do not fit the receipts."""
    own = across.peers[0]
    find = kept_answers(own.machine.key, own.disk.read()[2])
    case = next(case for case in ledger_of(across)[1] if case.is_across and find(case) is not None)
    answers = find(case)
    assert answers is not None
    made = WrongCase(
        case.audit_record.data,
        case.duty_record.data,
        case.decision,
        case.cut,
        (),
        judge_of(across, find).run(case),
        answers,
    )
    proof = make_proof(across.network, across.manifest, [made])
    assert decode_proof(proof.encode()) == proof
    assert signed_case(across.network, made) == replace(case, is_disputed=False)
    others = tuple(None if one is None else replace(one, tokens=(*one.tokens[:-1], 7)) for one in answers)
    for bad in ((), others):
        with pytest.raises(ProofRefuted, match="not those of the receipts"):
            signed_case(across.network, replace(made, outputs=bad))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def differs(network: Network, entry: WrongCase) -> bool:
    """Whether an entry is about a dispute. The duty opens the answers of all other audits, spot checks too."""
    record = decode_record(entry.audit)
    return decode_audit(record.payload, network.id, record.author).differ


def test_what_the_records_do_not_show_is_refuted(lying: ToyWorld, wrong: list[WrongCase]) -> None:
    """Each part of an entry is checked against the signatures."""
    voted = next(each for each in wrong if each.votes and differs(lying.network, each))
    opened = next(each for each in wrong if not each.votes and each.duty != voted.duty)
    other = next(each for each in wrong if each.votes and each.audit != voted.audit)
    bad = {
        "the audit does not hold: ": replace(voted, audit=flipped(voted.audit)),
        "the duty does not hold: ": replace(voted, duty=flipped(voted.duty)),
        "the vote does not hold: ": replace(voted, votes=(flipped(voted.votes[0]),)),
        "a record of another kind": replace(voted, audit=voted.duty),
        "the duty is not that of the audit": replace(voted, duty=opened.duty),
        "a vote is not for this decision": replace(voted, votes=other.votes),
        "two votes are by one author": replace(voted, votes=(voted.votes[0], voted.votes[0])),
        "neither votes nor an opening": replace(voted, votes=()),
        "the challenger opened another output": replace(opened, decision=bytes(32)),
        "the answers are not those of the receipts": replace(voted, outputs=(None,)),
    }
    for reason, each in bad.items():
        with pytest.raises(ProofRefuted, match=reason):
            signed_case(lying.network, each)


def test_a_proof_holds_as_much_as_fits(lying: ToyWorld, wrong: list[WrongCase]) -> None:
    """Entries beyond the limit of bytes or of decisions are left out."""
    votes = next(each.votes for each in wrong if each.votes) * 20
    many = [replace(wrong[0], audit=n.to_bytes(4, "big") + bytes(60_000), votes=votes[:60]) for n in range(30)]
    proof = make_proof(lying.network, lying.manifest, many)
    assert 0 < len(proof.cases) < len(many)
    assert len(proof.encode()) <= PROOF_BYTES_MAX
    few = [replace(wrong[0], audit=n.to_bytes(4, "big"), votes=()) for n in range(100)]
    assert len(make_proof(lying.network, lying.manifest, few).cases) == 64


def test_an_empty_proof_is_none() -> None:
    """A file without a decision proves nothing, and one with a repeated decision is not canonical."""
    with pytest.raises(DecodeError, match="none or repeat"):
        decode_proof(RerunProof(b"", b"", ()).encode())
