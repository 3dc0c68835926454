"""Duties in the fold: the slots that a peer owed in an epoch, and its audits of them.

With `audits_per_epoch` a duty covers a period of epochs. It stands at each of them, its audits at the first one.

The duty record reveals the VRF output. Anybody can derive the slots from it and from the members of the cited cut. Only
owed slots with the drawn targets count, so that friends cannot vouch for friends.
"""

from itertools import islice
from typing import NamedTuple

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.contract.sortition import vrf_output
from p2pverify.core.inference.compare import Verdict
from p2pverify.core.inference.question import NO_OUTPUT, Opening
from p2pverify.core.inference.speed import Window, observe, sample
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.books import MoveReason
from p2pverify.core.state.memory import with_contact, with_credit
from p2pverify.core.state.rules.notes import newest as newest_rules
from p2pverify.core.state.state import Contact, Member, State
from p2pverify.core.state.transition import Transition
from p2pverify.core.state.verdicts import cross_class
from p2pverify.core.state.verdicts.notes import AuditNote, DutyNote, Panel
from p2pverify.core.state.verdicts.targets import covered_epochs, make_panel, owed_slots

#: An answer counts towards weight only if this many other members with weight gave the same answer.
CREDIT_OTHERS = 2


class Opened(NamedTuple):
    """An audit that opens a dispute, the number of its duty record, its slot, and the slot's panel."""

    audit: Audit
    duty_seq: int
    slot: sortition.Slot
    panel: Panel


def take_duty(step: Transition, record: Record) -> list[Opened]:
    """Count a duty, which is one epoch or period of one peer; returns the audits that may open disputes."""
    state = step.state
    duty = decode_duty(record.payload)
    note = state.duties.get((record.author, duty.epoch))
    if note is not None:
        if note.body != record.header.body:
            state.convict(record.author, "two duties for one epoch")
        return []
    refused = refuse_duty(step, record.author, duty) or refuse_period(step, record, duty)
    if refused is not None:
        state.count(f"duty: {refused}")
        return []
    waiting = state.audits.pop((record.author, duty.epoch), {})
    digests = {slot: audit_note.body for slot, audit_note in waiting.items()}
    anchor = step.past(duty.anchor)
    assert anchor is not None  # refuse_duty checked it
    rules = anchor.rules_in(step.network)
    epochs = covered_epochs(rules.params, anchor, record.author, duty.epoch)
    for epoch in range(duty.epoch, duty.epoch + epochs):
        state.duties[record.author, epoch] = DutyNote(record.header.body, digests if epoch == duty.epoch else {})
    member = state.members[record.author]
    beta = vrf_output(duty.vrf_key, sortition.duty_alpha(step.network_id, duty.epoch, duty.beacon), duty.proof)
    assert beta is not None  # the record was judged
    openings = {opening.slot: opening for opening in duty.openings}
    owed = owed_slots(rules.params, anchor, record.author, duty.epoch, beta)
    state.change(
        record.author,
        slots_owed=member.slots_owed + len(owed),
        duties_met=member.duties_met + epochs,
    )
    opened: list[Opened] = []
    for slot in owed:
        panel = make_panel(rules, anchor, record.author, beta, slot)
        opened += _take_slot(step, record, duty, slot, panel, openings.get(slot.index), waiting.get(slot.index))
    for index in sorted(waiting.keys() - {slot.index for slot in owed}):
        void(step, DisputeKey(record.author, duty.epoch, index), "slot not owed")
    return opened


def refuse_duty(step: Transition, author: bytes, duty: Duty) -> str | None:
    """Why a duty has no effect, or None. Its proof was verified when the record was judged."""
    state, params = step.state, step.reach
    member = state.members.get(author)
    if member is None or not member.active or member.is_convicted:
        return "author is not an active member"
    anchor = step.past(duty.anchor)
    epochs = 1
    if anchor is not None:
        epochs = covered_epochs(anchor.rules_in(step.network).params, anchor, author, duty.epoch)
    if state.epoch > duty.epoch + epochs - 1 + params.duty_epochs:
        return "too late"
    if not anchor_in_window(duty, state_epoch(step, duty.anchor), params.anchor_lag, params.anchor_window):
        return "anchor is not of the epochs before"
    if not step.is_certified(duty.anchor):
        return "anchor has no certificate here"
    if anchor is None or anchor.beacon != duty.beacon:
        return "beacon is not the anchor's"
    then = anchor.members.get(author)
    has_new_join = member.joined_index > anchor.index and then is not None and then.vrf_key != member.vrf_key
    if then is None or not then.active or then.vrf_key != duty.vrf_key or has_new_join:
        return "key was not a member's at the anchor"
    if then.class_index != member.class_index:
        return "class changed since the anchor"
    return None


def refuse_period(step: Transition, record: Record, duty: Duty) -> str | None:
    """Why a duty has no effect because of the other epochs that it covers, or None."""
    anchor = step.past(duty.anchor)
    assert anchor is not None  # refuse_duty checked it
    end = duty.epoch + covered_epochs(anchor.rules_in(step.network).params, anchor, record.author, duty.epoch)
    if record.epoch < end:
        return "revealed before its period ended"
    if any((record.author, epoch) in step.state.duties for epoch in range(duty.epoch, end)):
        return "covers an epoch of another duty"
    return None


def count_missed(step: Transition) -> None:
    """Count missed duties: epochs of a member with weight without a duty record, when it is too late for one.

    An epoch counts only if there was a cut to draw from, with the member in it. Of members without weight none is
    counted, because thousands of silent rows would change with every cut.
    """
    state, params, rules = step.state, step.reach, newest_rules(step.state.rules)
    reach = params.anchor_lag + params.anchor_window
    on_path = set(state.path)
    anchors = [cut.epoch for key, cut in state.cuts.items() if key in on_path]
    newest = max(anchors, default=-reach)
    end = min(state.epoch - params.duty_reach, newest + reach + 1)  # also after a long time without a certified cut
    counted = 1 if rules is None else rules.counted
    for epoch in range(max(counted, step.base.epoch - params.duty_reach), end):
        if not any(params.anchor_lag <= epoch - anchor <= reach for anchor in anchors):
            continue
        for peer in sorted(state.members):
            member = state.members[peer]
            was_member = member.active and member.joined_epoch <= epoch - reach and not member.is_convicted
            if member.weight and was_member and (peer, epoch) not in state.duties:
                state.change(peer, missed_duties=member.missed_duties + 1)


def state_epoch(step: Transition, cut_id: bytes) -> int | None:
    cut = step.state.cuts.get(cut_id)
    return None if cut is None else cut.epoch


def anchor_in_window(duty: Duty, anchor_epoch: int | None, lag: int, window: int) -> bool:
    """Whether the cited cut is old enough that all know it, and young enough that there is no choice."""
    return anchor_epoch is not None and lag <= duty.epoch - anchor_epoch <= lag + window


def _take_slot(
    step: Transition,
    record: Record,
    duty: Duty,
    slot: sortition.Slot,
    panel: Panel,
    opening: Opening | None,
    note: AuditNote | None,
) -> list[Opened]:
    state = step.state
    key = DisputeKey(record.author, duty.epoch, slot.index)
    if note is None or note.seq >= record.seq:
        if panel.targets:
            member = state.members[record.author]
            state.change(record.author, no_shows=member.no_shows + 1)
        return []
    audit = note.audit
    refused = refuse_audit(audit, duty, panel)
    if refused is not None:
        void(step, key, refused)
        return []
    _count_contacts(state, audit)
    if all(asked.receipt is None for asked in audit.asked):
        return []
    permille = panel.contract.params.spot_check_permille
    chosen = sortition.is_spot_check(state.beacon, key.challenger, key.epoch, key.slot, permille)
    if audit.differ or (chosen and is_blameless(step, panel.contract, audit, opening)):
        return [Opened(audit, record.seq, slot, panel)]
    _settle_undisputed(step, panel.contract, audit, opening, slot)
    return []


def refuse_audit(audit: Audit, duty: Duty, panel: Panel) -> str | None:
    """Why an audit of an owed slot has no effect, or None."""
    if audit.anchor != duty.anchor:
        return "audit and duty cite different cuts"
    if tuple(asked.responder for asked in audit.asked) != panel.targets:
        return "asked others than the drawn targets"
    if audit.is_across != panel.is_across:
        return "sealed as the slot is not"
    for asked, class_index in zip(audit.asked, panel.classes, strict=True):
        if asked.receipt is not None and asked.receipt.class_index != class_index:
            return "receipt of another class"
    return None


def void(step: Transition, key: DisputeKey, reason: str) -> None:
    """Count an audit that has no effect."""
    step.state.count(f"void audit: {reason}")
    member = step.state.members[key.challenger]
    step.state.change(key.challenger, void_audits=member.void_audits + 1)


def _count_contacts(state: State, audit: Audit) -> None:
    """Count the requests and answers of each asked peer. A missing answer lowers availability, never honesty."""
    for asked in audit.asked:
        member = state.members.get(asked.responder)
        if member is None:
            continue
        before = member.contacts.get(audit.challenger, Contact(0, 0))
        answered = 0 if asked.receipt is None else 1
        windows = _timed(member, before.windows, audit, asked)
        contact = Contact(before.asked + 1, before.answered + answered, windows, state.index)
        state.change(asked.responder, contacts=with_contact(member.contacts, audit.challenger, contact))


def _timed(member: Member, windows: tuple[Window, ...], audit: Audit, asked: AskedPeer) -> tuple[Window, ...]:
    """The challenger's speed samples of a peer after this answer, if the peer claims some hardware."""
    receipt = asked.receipt
    if receipt is None or not member.hardware or audit.epoch < member.joined_epoch:
        return windows
    found = sample(asked.elapsed_ms, receipt.token_count, receipt.first_token_ms, receipt.total_ms)
    return windows if found is None else observe(windows, audit.epoch, found)


def is_blameless(step: Transition, contract: Network, audit: Audit, opening: Opening | None) -> bool:
    """Whether the opening of an undisputed audit proves its claim: equal answers, or no mismatch."""
    return opening is not None and not _abstained(audit, opening) and _fault(step, contract, audit, opening) is None


def _abstained(audit: Audit, opening: Opening) -> bool:
    return opening.class_index is None and not audit.is_across


def _fault(step: Transition, contract: Network, audit: Audit, opening: Opening) -> str | None:
    class_index = step.state.members[audit.challenger].class_index
    return find_fault(contract, step.network_id, class_index, audit, opening)


def find_fault(network: Network, network_id: bytes, class_index: int, audit: Audit, opening: Opening) -> str | None:
    """Why an undisputed audit does not prove its claim, or None. `class_index` is its challenger's class."""
    own = None if audit.is_across else class_index
    if opening.class_index != own or not audit.opens(network_id, opening):
        return "forged opening"
    if audit.is_across:
        return find_fault_across(network, network_id, audit, opening)
    if opening.measures:
        return "measures in a slot within a class"
    receipts = [asked.receipt for asked in audit.asked if asked.receipt is not None]
    if not all(audit.matches(receipt, opening.output) for receipt in receipts):
        return "called different answers equal"
    return None


def find_fault_across(network: Network, network_id: bytes, audit: Audit, opening: Opening) -> str | None:
    if opening.output != NO_OUTPUT:
        return "forged opening"
    if not cross_class.fits(audit, opening.measures):
        return "measures do not fit the receipts"
    if not cross_class.is_sealed_in(audit, network_id, opening.measures, opening.salts):
        return "measures are not those that were sealed"
    judged = cross_class.verdicts(network, audit.asked, opening.measures)
    return "called a mismatch a match" if any(one.verdict is Verdict.MISMATCH for one in judged) else None


def is_sampled(slot: sortition.Slot, params: Params) -> bool:
    """Whether the question of a slot is not greedy."""
    return slot.temperature_milli(params) > 0


def _settle_undisputed(
    step: Transition, contract: Network, audit: Audit, opening: Opening | None, slot: sortition.Slot
) -> None:
    """Count an undisputed slot: every answer is an agreement if the opening proves that they are equal.

    If a referee judged them, each verdict counts. But no peer earns weight by the challenger's word alone.
    """
    state = step.state
    member = state.members[audit.challenger]
    if opening is None:
        state.change(audit.challenger, unopened=member.unopened + 1)
        return
    if _abstained(audit, opening):
        state.count("abstained")
        return
    fault = _fault(step, contract, audit, opening)
    if fault is not None:
        void(step, audit.key, fault)
        return
    step.earn(MoveReason.AUDIT, audit.challenger, audit.key)
    is_long = slot.is_long(contract.params)
    if audit.is_across:
        judged = cross_class.verdicts(contract, audit.asked, opening.measures)
        cross_class.settle(step, audit, judged, is_decided=False, is_long=is_long)
        return
    same = [asked.responder for asked in audit.asked if asked.receipt is not None] + [audit.challenger]
    for peer in same:
        step.agree(peer, audit, is_long=is_long)
    if is_sampled(slot, contract.params):
        credit(state, audit.challenger, same)


def credit(state: State, challenger: bytes, same: list[bytes], right: list[bytes] | None = None) -> None:
    """Credit towards weight, for peers whose sampled answer CREDIT_OTHERS other weighted members gave as well.

    If there is only one other weighted member, that one is enough. Across classes no two answers are the same: there
    `same` are the voters with the same verdict, and only peers with a `right` answer get credit. Only a challenger with
    weight gives credit, and only a peer without weight gets it.
    """
    asker = state.members.get(challenger)
    if asker is None or not asker.weight:
        return
    known = ((peer, state.members.get(peer)) for peer in (same if right is None else right) if peer != challenger)
    todo = [(peer, member) for peer, member in known if member is not None and not member.weight]
    if not todo:
        return
    weighted = (peer for peer, m in state.members.items() if m.weight and not m.is_convicted)
    some = frozenset(islice(weighted, CREDIT_OTHERS + 1))
    agreeing = {p for p in same if (m := state.members.get(p)) and m.weight and not m.is_convicted}
    for peer, member in todo:
        needed = min(CREDIT_OTHERS, max(1, len(some - {peer})))
        if len(agreeing - {peer}) < needed:
            continue
        if challenger not in member.credits:
            state.change(peer, credits=with_credit(state, member.credits, challenger))
