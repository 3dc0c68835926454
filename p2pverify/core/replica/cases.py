"""The cases of a ledger: the judged slots whose right answer anybody with the model can compute again.

A case is a dispute whose decision took effect, or an undisputed audit that counted because its duty opened it. The
cases are found on the path of a certified cut, from cut to cut. So only two states and the cases that a caller keeps
are in memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import vrf
from p2pverify.core.inference.compare import verdict_digest
from p2pverify.core.inference.question import Opening
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import Audit, audit_of
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import report_of
from p2pverify.core.records.payloads.vote import decode_vote
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.lines.versions import contract_about
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts.duties import find_fault, refuse_audit
from p2pverify.core.state.verdicts.notes import Dispute, DutyNote
from p2pverify.core.state.verdicts.targets import make_panel, owed_slots


@dataclass(frozen=True, slots=True)
class Case:
    """A judged slot, or a decided report, whose record stands for audit and duty.

    `model` is the digest of the manifest (32 B) of the version that the asked peers served.

    `decision` (32 B) is the output that counts as right, across classes the digest of the measures. `is_disputed`:
    voters decided it; else the challenger's opening did. It took effect with the certified cut `cut`.
    """

    audit_record: Record
    duty_record: Record
    decision: bytes
    is_disputed: bool
    cut: bytes
    model: bytes

    @property
    def audit(self) -> Audit:
        return report_of(self.audit_record).audit if self.is_sealed else audit_of(self.audit_record)

    @property
    def is_sealed(self) -> bool:
        """Whether the question was shown to the seats of the dispute alone, so that nobody else can run it again."""
        return self.audit_record.kind == Kind.REPORT

    @property
    def duty(self) -> Duty:
        return decode_duty(self.duty_record.payload)

    @property
    def is_across(self) -> bool:
        return self.audit.is_across

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes of the judged answers, in the order of the asked peers: at least one, and all of one model."""
        return classes_of(self.audit)


def classes_of(audit: Audit) -> tuple[int, ...]:
    """The classes of an audit's receipts, in the order of the asked peers."""
    return tuple(asked.receipt.class_index for asked in audit.asked if asked.receipt is not None)


def find_cases(fold: Fold, cut_id: bytes) -> Iterator[Case]:
    """The cases on the path of a certified cut, in the order of their cuts."""
    last = fold.state(cut_id)
    assert last is not None  # a certified cut was folded
    before = fold.genesis
    for each in last.path[1:]:
        state = fold.state(each)
        assert state is not None  # it is on the path of a cut that holds
        yield from _decided(fold, state)
        yield from _opened(fold, before, state)
        before = state


def votes_for(ledger: Ledger, cases: Iterable[Case]) -> dict[DisputeKey, list[Record]]:
    """The votes for the decisions of disputes, one from each author, in the order of the authors."""
    decisions = {case.audit.key: case.decision for case in cases if case.is_disputed}
    found: dict[DisputeKey, dict[bytes, Record]] = {key: {} for key in decisions}
    for record in ledger.records() if decisions else ():
        if record.kind == Kind.VOTE:
            vote = decode_vote(record.payload)
            if decisions.get(vote.dispute) == vote.output:
                found[vote.dispute].setdefault(record.author, record)
    return {key: list(votes.values()) for key, votes in found.items()}


def undisputed_output(audit: Audit, opening: Opening) -> bytes:
    """The output that the opening of an undisputed audit claims to be right."""
    return verdict_digest(audit.question, opening.measures) if audit.is_across else opening.output


def _decided(fold: Fold, state: State) -> Iterator[Case]:
    """The disputes whose decisions took effect with a cut."""
    for dispute in state.decided:
        audit, duty = _records_of(fold.ledger, state, dispute)
        places = classes_of(dispute.audit)
        if audit is not None and duty is not None and dispute.decision is not None:
            contract = contract_about(fold.network, state, places[0], dispute)
            yield Case(audit, duty, dispute.decision, True, state.id, contract.classes[places[0]].manifest)


def _records_of(ledger: Ledger, state: State, dispute: Dispute) -> tuple[Record | None, Record | None]:
    """The records of a dispute's audit and duty."""
    author = dispute.key.challenger
    head = _head(ledger, state, author)
    duty = next(ledger.backwards(head, dispute.duty_seq), None)
    if dispute.is_report:
        return duty, duty
    audits = _audits_before(ledger, head, dispute.duty_seq, dispute.key.epoch)
    return next((record for record in audits if audit_of(record) == dispute.audit), None), duty


def _head(ledger: Ledger, state: State, author: bytes) -> Head:
    """An author's head at a cut. The state forgets heads of authors that are silent for long; their records stay."""
    head = state.heads.get(author) or ledger.head(author)
    assert head is not None
    return head


def _audits_before(ledger: Ledger, head: Head, seq: int, epoch: int) -> Iterator[Record]:
    """The audits of an epoch before a duty's number. No record of an earlier epoch can hold one."""
    for record in ledger.backwards(head, seq - 1):
        if record.epoch < epoch:
            return
        if record.kind == Kind.AUDIT and audit_of(record).epoch == epoch:
            yield record


def _opened(fold: Fold, before: State, state: State) -> Iterator[Case]:
    """The undisputed audits that a cut counted."""
    for author, epoch in sorted(state.duties.keys() - before.duties.keys()):
        head, note = _head(fold.ledger, state, author), state.duties[author, epoch]
        duty = next((r for r in fold.ledger.backwards(head, head[1]) if _is_duty(r, note)), None)
        if duty is None or not note.audits:  # of a period, the first epoch has the audits
            continue
        found = {record.header.body: record for record in _audits_before(fold.ledger, head, duty.seq, epoch)}
        bodies = [body for _, body in sorted(note.audits.items())]
        yield from _counted(fold, state, duty, [found[body] for body in bodies if body in found])


def _is_duty(record: Record, note: DutyNote) -> bool:
    return record.kind == Kind.DUTY and record.header.body == note.body


def _counted(fold: Fold, state: State, record: Record, audits: list[Record]) -> Iterator[Case]:
    """The audits of a duty that were settled by their openings in this state."""
    duty = decode_duty(record.payload)
    anchor = state.past_of(duty.anchor)
    assert anchor is not None  # the fold took the duty
    beta = vrf.proof_to_beta(duty.proof)
    rules = anchor.rules_in(fold.network)
    owed = {slot.index: slot for slot in owed_slots(rules.params, anchor, record.author, duty.epoch, beta)}
    openings = {opening.slot: opening for opening in duty.openings}
    for each in audits:
        audit = audit_of(each)
        opening = openings.get(audit.slot)
        if opening is None or audit.differ or audit.slot not in owed or not classes_of(audit):
            continue
        panel = make_panel(rules, anchor, record.author, beta, owed[audit.slot])
        if refuse_audit(audit, duty, panel) is None and _is_settled(fold, panel.contract, state, audit, opening):
            model = panel.contract.classes[classes_of(audit)[0]].manifest
            yield Case(each, record, undisputed_output(audit, opening), False, state.id, model)


def _is_settled(fold: Fold, contract: Network, state: State, audit: Audit, opening: Opening) -> bool:
    """Whether an opened audit counted by its opening alone: no spot check, no fault, and no abstention.

    `contract` is that among the peers that served the challenger's version.
    """
    key = audit.key
    member = state.members.get(key.challenger)
    if member is None or find_fault(contract, fold.network_id, member.class_index, audit, opening) is not None:
        return False
    permille = contract.params.spot_check_permille
    return not sortition.is_spot_check(state.beacon, key.challenger, key.epoch, key.slot, permille)
