"""One step of the fold: the state at a cut from the state at its base and the records between them.

Records are sorted by kind, author and number before anything is decided, so their order of arrival does not matter.
Duties, disputes and weights have their own modules.
"""

from collections.abc import Iterable, Mapping, Sequence

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.kinds import conflict_kind
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.records.payloads.conflict import decode_conflict
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.state import capital, cuts, memory, rows, sponsors, weights
from p2pverify.core.state.history import datasets
from p2pverify.core.state.keys import move
from p2pverify.core.state.keys import take as keys
from p2pverify.core.state.lines import take
from p2pverify.core.state.past.notes import ids_of
from p2pverify.core.state.past.tails import with_tails
from p2pverify.core.state.rounds import phases
from p2pverify.core.state.rounds import report as losses
from p2pverify.core.state.rounds import take as rounds
from p2pverify.core.state.rules import take as amendments
from p2pverify.core.state.score import add_evidence
from p2pverify.core.state.settle import take as settling
from p2pverify.core.state.state import LOST_DISPUTES, WRONG_WHEN_LONG, EarlyConflict, State
from p2pverify.core.state.transition import Frame, Transition, class_steps
from p2pverify.core.state.verdicts import disputes, duties, objections, reports
from p2pverify.core.state.verdicts.notes import AuditNote


def advance(
    network: Network,
    network_id: bytes,
    base: State,
    records: Iterable[Record],
    frame: Frame,
    *,
    cut_id: bytes,
    epoch: int,
    heads: dict[bytes, Head],
    beacon: bytes,
) -> State:
    """The state at a cut (or at a provisional set of heads) on top of its base."""
    state = base.successor(cut_id, base.epoch, heads)
    network = amendments.activate(state, base, network, epoch)
    step = Transition(network, network_id, base, state, frame, class_steps(network))
    weights.update(state, network.params)
    state.epoch, state.beacon = epoch, beacon
    authors, by_kind = _by_kind(step, records)
    moves = [*by_kind.get(Kind.JOIN, ()), *by_kind.get(Kind.LEAVE, ())]
    rows.take(step, sorted(moves, key=lambda r: (r.author, r.seq)))
    # After the joins, so that an author that forks its log when it joins does not bind the members to two cuts.
    _take_early_conflicts(step)
    for record in by_kind.get(Kind.CONFLICT, ()):
        _conflict(step, record)
    for record in by_kind.get(Kind.SPONSOR, ()):
        sponsors.take(step, record)
    _take_rules(step, by_kind)
    cuts.take(step, by_kind.get(Kind.CUT, ()), by_kind.get(Kind.CUT_SIGNATURE, ()))
    cuts.contain(step)
    for record in by_kind.get(Kind.AUDIT, ()):
        _audit(step, record)
    opened = [found for record in by_kind.get(Kind.DUTY, ()) for found in duties.take_duty(step, record)]
    duties.count_missed(step)
    disputes.open_disputes(step, opened)
    reported = [found for record in by_kind.get(Kind.REPORT, ()) for found in reports.take_report(step, record)]
    reports.open_reports(step, reported)
    disputes.draw(step)
    for record in by_kind.get(Kind.VOTE_COMMIT, ()):
        disputes.take_commit(step, record)
    disputes.close_sealing(step)
    for record in by_kind.get(Kind.VOTE, ()):
        disputes.take_vote(step, record)
    for record in by_kind.get(Kind.OBJECTION, ()):
        objections.take_objection(step, record)
    disputes.decide(step)
    if network.is_trained:
        _take_rounds(step, by_kind)
    datasets.take(state, by_kind)
    _test(step)
    capital.take_bets(step)
    cuts.carry_convictions(step)
    sponsors.punish(step)
    rows.note_seen(state, sorted(authors))
    rows.drop_silent(state)
    if network.lines:
        take.forget_rows(state)
    datasets.forget(state)
    if network.is_trained:
        phases.open_rounds(step)
    objections.forget_contested(state)
    memory.forget(state, step.reach)
    if network.tariff is not None:
        settling.take(step, by_kind)
    return state


def _by_kind(step: Transition, records: Iterable[Record]) -> tuple[set[bytes], dict[int, list[Record]]]:
    """The authors of a step's records, and the records that count by kind, each kind by author and number.

    The state notes where the logs end, and takes all changes of keys. No record above the head of a handover counts.
    """
    state, base = step.state, step.base
    ordered = sorted(records, key=lambda r: (r.kind, r.author, r.seq, r.id))
    state.tails = with_tails(base.tails, sorted(ordered, key=lambda r: (r.author, r.seq)))
    state.recent = (*base.recent, ids_of(ordered))
    move.finish(step)
    keys.take_handovers(step, (record for record in ordered if record.kind == Kind.HANDOVER))
    by_kind: dict[int, list[Record]] = {}
    for record in ordered:
        state.count("records")
        if keys.is_void(state, record.author, record.seq, record.kind):
            state.count("records of a key after its handover")
        else:
            by_kind.setdefault(record.kind, []).append(record)
    for record in by_kind.get(Kind.OBJECT, ()):
        keys.take_object(step, record)
    for record in by_kind.get(Kind.REKEY, ()):
        keys.take_rekey(step, record)
    return {record.author for record in ordered}, by_kind


def _take_rules(step: Transition, by_kind: Mapping[int, Sequence[Record]]) -> None:
    """Amendments come first. Releases come before the recalls of a step.

    The old publishers' words come before those of new ones.
    """
    amendments.take(step, by_kind)
    take.take_releases(step, by_kind.get(Kind.RELEASE, ()))
    for record in by_kind.get(Kind.RECALL, ()):
        take.take_recall(step, record)
    for record in by_kind.get(Kind.ROTATION, ()):
        take.take_rotation(step, record)
    for record in by_kind.get(Kind.SERVE, ()):
        take.take_serve(step, record)


def _take_rounds(step: Transition, by_kind: Mapping[int, Sequence[Record]]) -> None:
    """Take the records of training rounds. A round passes through one phase with a cut."""
    phases.void_recalled(step)
    for kind, take_one, close in (
        (Kind.UPDATE_SEAL, rounds.take_seal, phases.close_sealing),
        (Kind.UPDATE, rounds.take_update, phases.open_vote),
        (Kind.LOSS_SEAL, losses.take_loss_seal, phases.close_losses),
        (Kind.LOSS_REPORT, losses.take_loss_report, phases.open_vote_of_losses),
        (Kind.ROUND_COMMIT, rounds.take_round_commit, phases.close_vote_sealing),
        (Kind.ROUND_VOTE, rounds.take_round_vote, phases.decide),
    ):
        for record in by_kind.get(kind, ()):
            take_one(step, record)
        close(step)


def _conflict(step: Transition, record: Record) -> None:
    conflict = decode_conflict(record.payload)
    one, two = conflict.first, conflict.second
    accused = one.header.author
    forks = frozenset((one.header.seq,)) if one.header.seq == two.header.seq else frozenset()
    if keys.take_late_conflict(step.state, accused, min(one.header.seq, two.header.seq), forks):
        return
    found = EarlyConflict(forks, conflict_kind(one, two) == "slot", step.state.index)
    if accused in step.state.members:
        _blame(step, accused, found)
        return
    # A cut beside this one may hold the join as well. Records in both must count the same in a cut that contains both.
    early = step.state.early_conflicts.get(accused, EarlyConflict())
    step.state.early_conflicts[accused] = EarlyConflict(
        memory.with_forks(early.forks, found.forks), early.is_slot or found.is_slot, found.since
    )


def _take_early_conflicts(step: Transition) -> None:
    """Count earlier proofs against authors that have joined now."""
    early = step.state.early_conflicts
    for accused in sorted(early):
        if accused in step.state.members:
            _blame(step, accused, early.pop(accused))


def _blame(step: Transition, accused: bytes, found: EarlyConflict) -> None:
    """Convict for two claims on one slot; start the penalty for forks at new record numbers."""
    if found.is_slot:
        step.state.convict(accused, "two payloads for one slot")
    known = step.state.members[accused].forks
    forks = memory.with_forks(known, found.forks)
    for _ in forks - known:
        until = step.state.epoch + step.network.params.fork_epochs
        step.state.change(accused, fork_until=until, forks=forks)
        member = step.state.members[accused]
        if member.successor is not None and not member.founder:
            step.state.change(accused, suspended_until=-1)  # the weight does not come back with the end of the handover
        step.state.count("forks")


def _audit(step: Transition, record: Record) -> None:
    """An audit waits for its author's duty. A second, different one for the same slot convicts."""
    audit = audit_of(record)
    member = step.state.members.get(record.author)
    if member is None or not member.active:
        return
    refused = memory.refuse_audit(audit, step.reach)
    if refused is not None:
        duties.void(step, audit.key, refused)
        return
    slots = step.state.audits.get((record.author, audit.epoch), {})
    duty = step.state.duties.get((record.author, audit.epoch))
    known = slots[audit.slot].body if audit.slot in slots else None if duty is None else duty.audits.get(audit.slot)
    if known is not None:
        if known != record.header.body:
            step.state.convict(record.author, "two audits for one slot")
        return
    if duty is not None:
        return  # it came after the duty, so the duty did not open it
    note = AuditNote(audit, record.payload, record.header.body, record.seq)
    step.state.audits[record.author, audit.epoch] = {**slots, audit.slot: note}
    step.state.count("audits")


def _test(step: Transition) -> None:
    """Run the sequential test once per step and peer, so that the order inside a step does not matter.

    Then run the same test over the long answers alone. A peer that lies in those alone is right in most answers.
    """
    for peer in sorted(step.evidence):
        member = step.state.members[peer]
        if member.conviction == LOST_DISPUTES:
            continue  # its value and its losses stay those of the conviction
        value = add_evidence(member.cusum, step.evidence[peer])
        step.state.change(peer, cusum=value, losses=member.losses if value else ())
        if value >= step.steps[member.class_index].threshold:
            step.state.convict(peer, LOST_DISPUTES)
    for peer in sorted(step.long_evidence):
        member = step.state.members[peer]
        if member.conviction == WRONG_WHEN_LONG:
            continue
        value = add_evidence(member.long_cusum, step.long_evidence[peer])
        step.state.change(peer, long_cusum=value, long_losses=member.long_losses if value else ())
        if value >= step.steps[member.class_index].long_threshold:
            step.state.convict(peer, WRONG_WHEN_LONG)
