"""One step of the fold: the state at a cut from the state at its base and the records between them.

Records are sorted by kind, author and number before anything is decided, so their order of arrival does not matter.
Duties, disputes and weights have their own modules.
"""

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.contract.network import Network
from p2pverify.core.records.audit import audit_of
from p2pverify.core.records.conflict import decode_conflict
from p2pverify.core.records.cut import Head, decode_cut, decode_cut_signature
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.kinds import conflict_kind
from p2pverify.core.records.membership import decode_join
from p2pverify.core.state import disputes, duties, rounds, weights
from p2pverify.core.state.score import add_evidence
from p2pverify.core.state.state import MEMORY_CUTS, AuditNote, EarlyConflict, Member, State
from p2pverify.core.state.transition import Frame, Transition, class_steps


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
    state = base.successor(cut_id, epoch, heads)
    state.beacon = beacon
    step = Transition(network, network_id, base, state, frame, class_steps(network))
    by_kind: dict[int, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.kind, r.author, r.seq, r.id)):
        by_kind.setdefault(record.kind, []).append(record)
        state.count("records")
    moves = [*by_kind.get(Kind.JOIN, ()), *by_kind.get(Kind.LEAVE, ())]
    for record in sorted(moves, key=lambda r: (r.author, r.seq)):
        _membership(step, record)
    # After the joins, so that an author that forks its log when it joins does not bind the members to two cuts.
    _take_early_conflicts(step)
    for record in by_kind.get(Kind.CONFLICT, ()):
        _conflict(step, record)
    for record in by_kind.get(Kind.CUT, ()):
        _cut(step, record)
    for record in by_kind.get(Kind.CUT_SIGNATURE, ()):
        _cut_signature(step, record)
    for record in by_kind.get(Kind.AUDIT, ()):
        _audit(step, record)
    opened = [found for record in by_kind.get(Kind.DUTY, ()) for found in duties.take_duty(step, record)]
    duties.count_missed(step)
    disputes.open_disputes(step, opened)
    rounds.draw(step)
    for record in by_kind.get(Kind.VOTE_COMMIT, ()):
        disputes.take_commit(step, record)
    rounds.close_sealing(step)
    for record in by_kind.get(Kind.VOTE, ()):
        disputes.take_vote(step, record)
    disputes.decide(step)
    _test(step)
    _carry_convictions(step)
    weights.update(step)
    _forget(step)
    return state


def _conflict(step: Transition, record: Record) -> None:
    conflict = decode_conflict(record.payload)
    one, two = conflict.first, conflict.second
    accused = one.header.author
    forks = frozenset((one.header.seq,)) if one.header.seq == two.header.seq else frozenset()
    found = EarlyConflict(forks, conflict_kind(one, two) == "slot", step.state.index)
    if accused in step.state.members:
        _blame(step, accused, found)
        return
    # A cut beside this one may hold the join as well. Records in both must count the same in a cut that contains both.
    early = step.state.early_conflicts.get(accused, EarlyConflict())
    step.state.early_conflicts[accused] = EarlyConflict(
        early.forks | found.forks, early.is_slot or found.is_slot, found.since
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
    for seq in sorted(found.forks - known):
        known |= {seq}
        until = step.state.epoch + step.network.params.fork_epochs
        step.state.change(accused, fork_until=until, forks=known)
        step.state.count("forks")


def _membership(step: Transition, record: Record) -> None:
    member = step.state.members.get(record.author, Member())
    if record.kind == Kind.LEAVE:
        if member.active:
            step.state.change(record.author, active=False)
        return
    if member.active or member.is_convicted:
        return
    join = decode_join(record.payload)
    step.state.members.setdefault(record.author, member)
    contacts = member.contacts
    if (join.class_index, join.hardware) != (member.class_index, member.hardware):  # the samples are of another machine
        contacts = {peer: replace(contact, windows=()) for peer, contact in contacts.items()}
    step.state.change(
        record.author,
        active=True,
        class_index=join.class_index,
        vrf_key=join.vrf_key,
        hardware=join.hardware,
        contacts=contacts,
        joined_epoch=step.state.epoch,
        joined_index=step.state.index,
    )


def _cut(step: Transition, record: Record) -> None:
    """Remember a proposal. Two different proposals for one epoch and base convict their author."""
    cut = decode_cut(record.payload)
    step.state.cuts[record.id] = cut
    step.state.noted[record.id] = step.state.index
    key = (record.author, cut.epoch, cut.base)
    other = step.state.cut_authors.setdefault(key, record.id)
    if other != record.id and step.state.cuts.get(other) != cut:
        step.state.convict(record.author, "two proposals for one epoch")


def _cut_signature(step: Transition, record: Record) -> None:
    """Count a signature. A signer whose cuts are not nested convicts itself."""
    state = step.state
    cut_id = decode_cut_signature(record.payload).cut
    if record.author not in state.members:
        return
    state.signatures[cut_id] = state.signatures.get(cut_id, frozenset()) | {record.author}
    if cut_id not in state.cuts:
        state.noted.setdefault(cut_id, state.index)  # a later cut may hold the signed cut
        return
    before = state.last_signed.get(record.author)
    state.last_signed[record.author] = cut_id
    # Only records inside this cut may decide, because the records outside can differ from peer to peer.
    if before is None or not step.holds(cut_id) or not step.holds(before):
        return
    if not step.is_nested(before, cut_id):
        state.convict(record.author, "signed two cuts that are not nested")


def _audit(step: Transition, record: Record) -> None:
    """An audit waits for its author's duty. A second, different one for the same slot convicts."""
    audit = audit_of(record)
    member = step.state.members.get(record.author)
    if member is None or not member.active:
        return
    slots = step.state.audits.get((record.author, audit.epoch), {})
    known = slots.get(audit.slot)
    if known is not None:
        if known.body != record.header.body:
            step.state.convict(record.author, "two audits for one slot")
        return
    if (record.author, audit.epoch) in step.state.duties:
        return  # it came after the duty, so the duty did not open it
    note = AuditNote(audit, record.header.body, record.seq)
    step.state.audits[record.author, audit.epoch] = {**slots, audit.slot: note}
    step.state.count("audits")


def _test(step: Transition) -> None:
    """Run the sequential test once per step and peer, so that the order inside a step does not matter."""
    for peer in sorted(step.evidence):
        member = step.state.members[peer]
        value = add_evidence(member.cusum, step.evidence[peer])
        step.state.change(peer, cusum=value)
        if value >= step.steps[member.class_index].threshold:
            step.state.convict(peer, "lost disputes")


def _carry_convictions(step: Transition) -> None:
    """Take over the convictions of every supported cut inside this one, also of cuts that are not on the path.

    Two quorums of two thirds intersect in more than a third, and honest members sign only cuts that hold their own
    earlier signatures. So every cut inside this one that was ever certified is supported here.
    """
    state = step.state
    beside = sorted(set(state.cuts) - set(state.path))
    supported = [cut_id for cut_id in beside if cut_id in state.signatures and step.is_supported(cut_id)]
    for convictions in step.frame.convictions_of(supported):
        for peer, reason in convictions:
            state.convict(peer, reason)


def _forget(step: Transition) -> None:
    """Drop entries beyond every deadline, so that the cost of a step does not grow with the ledger.

    Audits and duties are dropped by the epoch of their slot, because later ones would be too late. All else is dropped
    by the number of cuts since it came in, because a cut must hold its base's certificate even if the base is many
    epochs old.
    """
    state, params = step.state, step.network.params
    oldest = state.epoch - params.duty_epochs - 2
    state.audits = {key: slots for key, slots in state.audits.items() if key[1] >= oldest}
    state.duties = {key: note for key, note in state.duties.items() if key[1] >= oldest}
    marks_from = state.index - params.duty_epochs - params.dispute_epochs - 2
    state.dissent_marks = {mark: at for mark, at in state.dissent_marks.items() if at >= marks_from}
    cuts_from = state.index - min(MEMORY_CUTS, params.dispute_epochs + params.duty_epochs + params.anchor_window + 16)
    state.early_conflicts = {key: one for key, one in state.early_conflicts.items() if one.since >= cuts_from}
    state.noted = noted = {key: at for key, at in state.noted.items() if at >= cuts_from}
    state.cuts = {key: cut for key, cut in state.cuts.items() if key in noted}
    state.signatures = {key: signed for key, signed in state.signatures.items() if key in noted}
    state.last_signed = {peer: key for peer, key in state.last_signed.items() if key in state.cuts}
    state.cut_authors = {key: cut for key, cut in state.cut_authors.items() if cut in state.cuts}
