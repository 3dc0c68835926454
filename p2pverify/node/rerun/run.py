"""Runs drawn cases again, and tells the results as documents."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import StoredEvidence
from p2pverify.core.replica.cases import Case, votes_for
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.roles.disputes.evidence_fetch import Outputs
from p2pverify.node.reports.audits import audit_name
from p2pverify.node.reports.documents.rerun import NotChecked, RerunDocument, WrongDecision
from p2pverify.node.rerun.draw import Draw, Obstacle
from p2pverify.node.rerun.judge import CaseJudge, FindAnswers, Rerun, all_fit
from p2pverify.node.rerun.proof import VOTES_MAX, WrongCase, wrong_case

#: Called with the number of cases that are done, and with the number of all.
OnCase = Callable[[int, int], None]


@dataclass(slots=True)
class Outcome:
    """The cases that were run again; the wrong ones with their votes; and how many the engine refused."""

    ran: list[Case] = field(default_factory=list)
    wrong: list[tuple[WrongDecision, WrongCase]] = field(default_factory=list)
    refused: int = 0


def run_cases(judge: CaseJudge, find_answers: FindAnswers, ledger: Ledger, draw: Draw, on_case: OnCase) -> Outcome:
    """Run the drawn cases again. Blocks. Raises CannotJudgeError."""
    outcome = Outcome()
    differing: list[tuple[Case, Rerun]] = []
    for done, case in enumerate(draw.cases):
        on_case(done, len(draw.cases))
        try:
            found = judge.run(case)
        except ValueError:
            outcome.refused += 1
            continue
        outcome.ran.append(case)
        if found.output != case.decision:
            differing.append((case, found))
    votes = votes_for(ledger, [case for case, _ in differing])
    for case, found in differing:
        records = votes.get(case.audit.key, [])[:VOTES_MAX]
        told = tell_wrong(case, found.output, [record.author for record in records])
        answers = find_answers(case) if case.is_across else None
        outcome.wrong.append((told, wrong_case(case, records, found, answers)))
    return outcome


def tell_wrong(case: Case, computed: bytes, voters: Sequence[bytes]) -> WrongDecision:
    """A wrong decision as a document."""
    key = case.audit.key
    return WrongDecision(
        id=audit_name(key),
        challenger=peer_id(key.challenger),
        epoch=key.epoch,
        slot=key.slot,
        across=case.is_across,
        disputed=case.is_disputed,
        cut=case.cut.hex(),
        decision=case.decision.hex(),
        computed=computed.hex(),
        voters=tuple(peer_id(voter) for voter in voters),
    )


def tell_outcome(judge: CaseJudge, draw: Draw, outcome: Outcome, proof: str | None) -> RerunDocument:
    """A whole run as a document. `proof` is the name of the proof file, if there is one."""
    disputes = sum(case.is_disputed for case in outcome.ran)
    return RerunDocument(
        class_=judge.class_name,
        engine=judge.info.engine,
        numeric_path=judge.info.numeric_path,
        selftest=judge.selftest,
        candidates=draw.candidates,
        disputes=disputes,
        undisputed=len(outcome.ran) - disputes,
        agree=len(outcome.ran) - len(outcome.wrong),
        wrong=tuple(told for told, _ in outcome.wrong),
        not_checked=NotChecked(
            other_classes=draw.left_out[Obstacle.OTHER_CLASS],
            other_versions=draw.left_out[Obstacle.OTHER_VERSION],
            without_answers=draw.left_out[Obstacle.NO_ANSWERS],
            sealed=draw.left_out[Obstacle.SEALED],
            refused_by_engine=outcome.refused,
        ),
        sealed=tuple(audit_name(case.audit.key) for case in draw.sealed),
        proof=proof,
    )


def about_class(cases: Iterable[Case], network: Network, name: str | None) -> Iterable[Case]:
    """The cases in which answers of a class are judged; all cases if `name` is None."""
    return (case for case in cases if name is None or name in {network.classes[index].name for index in case.classes})


def kept_answers(own: bytes, evidence: Iterable[StoredEvidence]) -> FindAnswers:
    """Finds the answers of a challenger's own slots in the evidence that it keeps."""
    kept = {(e.epoch, e.slot, e.responder): e.output for e in evidence}

    def find(case: Case) -> Outputs | None:
        audit = case.audit
        found = tuple(
            None if asked.receipt is None else kept.get((audit.epoch, audit.slot, asked.responder))
            for asked in audit.asked
        )
        return found if audit.challenger == own and all_fit(audit, found) else None

    return find


def no_answers(_case: Case) -> None:
    """Finds nothing, for a ledger without evidence."""
