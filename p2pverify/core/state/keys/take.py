"""Handovers, objections to them, and rekeys, as a step of the fold counts them.

Protocol pages: protocol/handover.md, object.md, rekey.md.

A handover freezes the row in the cut that holds it: the row is inactive, so it is drawn no more and loses its weight.
Later `move` gives the row to the new key. In between the old key can object, unless it signed.
"""

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.contract.network import Params
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.keys.handover import Handover, decode_handover, decode_object, next_digest
from p2pverify.core.records.payloads.keys.rekey import decode_rekey
from p2pverify.core.state.keys.notes import OpenHandover
from p2pverify.core.state.memory import with_forks
from p2pverify.core.state.past.notes import id_at
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition
from p2pverify.core.state.weights import loses_weight

#: Epochs between two handovers of one row, and between two rekeys.
HANDOVER_SPACING = 4096
REKEY_SPACING = 1024
#: After an objection, only a handover with both signatures counts for this many times `handover_epochs`.
OBJECTION_TIMES = 7
#: Kinds of a frozen row's log that count above the named head: those that prove something by themselves, the word
#: against the handover, and proposals and signatures, whose weight follows from their base.
_STILL_COUNT = frozenset((Kind.CUT, Kind.CUT_SIGNATURE, Kind.CONFLICT, Kind.OBJECT))


def signed_delay(params: Params) -> int:
    """Epochs, and cuts, after which a handover with both signatures takes effect: those of anything owed before it."""
    return params.anchor_lag + params.anchor_window + params.duty_reach + 1


def delay(params: Params, *, is_signed: bool) -> int:
    """Epochs after which a handover takes effect."""
    return signed_delay(params) if is_signed else max(params.handover_epochs, signed_delay(params))


def is_void(state: State, author: bytes, seq: int, kind: int) -> bool:
    """Whether a record counts for nothing, because its author's row is handed over with an earlier record."""
    if kind in _STILL_COUNT:
        return False
    return author in state.moved or is_above(state, author, seq)


def is_above(state: State, author: bytes, seq: int) -> bool:
    """Whether a record of a frozen row's log is above the head that its handover names."""
    found = state.handovers.get(author)
    return found is not None and seq > found.seq


def take_late_conflict(state: State, accused: bytes, seq: int, forks: frozenset[int]) -> bool:
    """Whether a conflict from the number `seq` on is of a log that ends before it, by a handover. It has no penalty.

    Its forks are remembered, because nobody must hold two branches of a log. After the row has moved, no conflict of
    the old log counts any more: whoever finds the old key later could else convict the new one.
    """
    if accused in state.moved:
        found = state.moved[accused]
        state.moved[accused] = replace(found, forks=with_forks(found.forks, forks))
        return True
    if not is_above(state, accused, seq):
        return False
    if forks:
        state.change(accused, forks=with_forks(state.members[accused].forks, forks))
    return True


def take_handovers(step: Transition, records: Iterable[Record]) -> None:
    """Count handovers, sorted by author and number, before all other records of a step."""
    for record in records:
        state, handover = step.state, decode_handover(record.payload)
        refused = refuse_handover(state, record.author, handover) or _refuse_head(step, handover)
        if refused is None:
            _freeze(state, record.author, handover)
            state.count("handovers")
            continue
        state.count(f"handover: {refused}")
        if record.author not in state.members and not is_successor(state, record.author):
            state.dropped[record.author] = state.index  # its head is forgotten like that of a dropped row


def refuse_handover(state: State, author: bytes, handover: Handover) -> str | None:
    """Why a handover does not count, or None. Whether it names a certified head is not asked here."""
    member, known = state.members.get(handover.old), state.handovers.get(handover.old)
    if member is None or member.is_convicted:
        return "old key is no member, or convicted"
    if member.next_key is None or next_digest(author) != member.next_key:
        return "author is not the next key"
    if author in state.members or author in state.moved or author in state.banned:
        return "author is or was a member"
    if is_successor(state, author, but=handover.old):
        return "author takes over another row"
    if known is not None and (known.is_signed or handover.consent is None):
        return "it is under way"
    if member.handed_epoch >= 0 and state.epoch < member.handed_epoch + HANDOVER_SPACING:
        return "old key was handed over lately"
    if handover.consent is None and state.epoch <= member.objected_until:
        return "old key objected, and did not sign"
    return None


def is_successor(state: State, author: bytes, *, but: bytes = b"") -> bool:
    """Whether a key waits for a row other than that of the key `but`."""
    return any(each.successor == author for old, each in state.handovers.items() if old != but)


def _refuse_head(step: Transition, handover: Handover) -> str | None:
    """The head must be one of the newest of the log that a cut of the path ends with, or that one of this cut."""
    state, (seq, head) = step.state, handover.head
    old = handover.old
    if old in state.handovers:
        return None  # the first one that counted named the head
    named = (old, seq, head)
    if named in (state.heads.get(old), step.base.heads.get(old)) or id_at(state.recent, old, seq) == head:
        return None
    return "head is not in the newest cuts"


def _freeze(state: State, author: bytes, handover: Handover) -> None:
    old = handover.old
    member, known, is_signed = state.members[old], state.handovers.get(old), handover.consent is not None
    if known is not None:
        state.handovers[old] = replace(
            known, is_signed=is_signed, keys=handover.keys, since_epoch=state.epoch, since_index=state.index
        )
        return
    since = (state.epoch, state.index)
    state.handovers[old] = OpenHandover(author, handover.head[0], is_signed, handover.keys, *since, member.active)
    # Like the weight of a suspended sponsor, it comes back when the row is active again.
    has_weight = member.weight > 0 and not loses_weight(member, state)
    until = max(member.suspended_until, state.epoch) if has_weight else member.suspended_until
    state.change(old, active=False, successor=author, suspended_until=until)


def take_object(step: Transition, record: Record) -> None:
    """Count an objection: the row goes on with the old key."""
    state, successor = step.state, decode_object(record.payload).successor
    refused = refuse_object(state, record.author, successor)
    if refused is not None:
        state.count(f"object: {refused}")
        return
    cancel(state, record.author)
    until = state.epoch + OBJECTION_TIMES * step.network.params.handover_epochs
    state.change(record.author, objected_until=until)
    state.count("objections to handovers")


def refuse_object(state: State, author: bytes, successor: bytes) -> str | None:
    """Why an objection to a handover does not count, or None."""
    found, member = state.handovers.get(author), state.members.get(author)
    if found is None or member is None or found.successor != successor:
        return "no such handover"
    if found.is_signed:
        return "author signed the handover"
    return "author has objected before" if member.objected_until >= 0 else None


def cancel(state: State, old: bytes) -> None:
    """End a handover without effect. The head of its author is forgotten like that of a dropped row."""
    found = state.handovers.pop(old)
    if found.successor not in state.members:
        state.dropped[found.successor] = state.index
    if old in state.members:
        thaw(state, old, found)


def thaw(state: State, peer: bytes, found: OpenHandover) -> None:
    """End the freeze of a row."""
    state.change(peer, active=found.was_active, successor=None)


def take_rekey(step: Transition, record: Record) -> None:
    """Count a new VRF key. Draws from this cut on need it."""
    state = step.state
    refused = refuse_rekey(state, record.author)
    if refused is not None:
        state.count(f"rekey: {refused}")
        return
    state.change(record.author, vrf_key=decode_rekey(record.payload).vrf_key, rekeyed_epoch=state.epoch)
    state.count("rekeys")


def refuse_rekey(state: State, author: bytes) -> str | None:
    """Why a new VRF key does not count, or None."""
    member = state.members.get(author)
    if member is None or not member.active or member.is_convicted:
        return "author is no active member"
    if member.rekeyed_epoch >= 0 and state.epoch < member.rekeyed_epoch + REKEY_SPACING:
        return "author changed its key lately"
    return None
