"""The end of a handover: the row moves to the new key, with all that a state keys or names by peer.

It moves in the first step after its time whose base has nothing open in which the old key has a part. So nothing that
the old key did can be decided when its row is gone. What stays with the old key:

| | because |
|---|---|
| its head, proposals and signatures | they are of its log |
| what it owes by cheques | the cheques name the key that signed them |
| rounds that are over | they are history |
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from p2pverify.core.settle.posting import Posting
from p2pverify.core.state.keys.notes import MovedKey, OpenHandover
from p2pverify.core.state.keys.take import cancel, delay, signed_delay, thaw
from p2pverify.core.state.rounds.notes import LineRounds, RepeatableRound
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition

#: Tombstones of moved keys: at most so many, the newest ones, each for at most so many cuts.
MOVED_MAX = 1024
MOVED_CUTS = 65_536

V = TypeVar("V")


def finish(step: Transition) -> None:
    """Give the rows whose time has come to their new keys. The state is the beginning of a step at its new epoch."""
    state, base = step.state, step.base
    for old, found in sorted(state.handovers.items()):
        if old not in state.members or found.successor in state.members:
            cancel(state, old)
            continue
        waits = delay(step.network.params, is_signed=found.is_signed)
        is_due = state.epoch >= found.since_epoch + waits
        is_due &= state.index >= found.since_index + signed_delay(step.network.params)
        if is_due and not has_part(base, old):
            _move(step, old, found)
    state.moved = _kept(state)


def has_part(state: State, peer: bytes) -> bool:
    """Whether a peer has a part in something open: in a dispute as a party or voter, or in a training round."""
    for dispute in state.disputes.values():
        if peer in dispute.parties or peer in dispute.commits or peer in dispute.votes:
            return True
    for known in state.rounds.values():
        current = known.open
        if current is None:
            continue
        vote = current.vote
        if peer in current.seals or peer in current.updates or peer in current.losses or peer in current.expected:
            return True
        if vote is not None and (peer in vote.commits or peer in vote.votes):
            return True
    return False


def owner_of(state: State, peer: bytes) -> bytes:
    """The key that has the row of a peer now: its own, or the one to which the row moved."""
    found = state.moved.get(peer)
    return peer if found is None else found.successor


def _kept(state: State) -> dict[bytes, MovedKey]:
    young = ((each.index, old) for old, each in state.moved.items() if state.index - each.index <= MOVED_CUTS)
    return {old: state.moved[old] for _, old in sorted(sorted(young)[-MOVED_MAX:], key=lambda one: one[1])}


def _move(step: Transition, old: bytes, found: OpenHandover) -> None:
    state, new, keys = step.state, found.successor, found.keys
    thaw(state, old, found)
    member = state.members.pop(old)
    del state.handovers[old]
    state.moved[old] = MovedKey(new, state.epoch, state.index, member.lost_weight_index, member.forks)
    state.dropped[old] = state.index
    state.dropped.pop(new, None)
    state.members[new] = member
    state.changed.add(new)  # `thaw` has copied the row
    state.change(
        new,
        vrf_key=keys.vrf_key,
        box_key=keys.box_key,
        next_key=keys.next_key,
        joined_epoch=state.epoch,
        joined_index=state.index,
        seen_index=state.index,
        handovers=member.handovers + 1,
        handed_epoch=state.epoch,
        rekeyed_epoch=-1,
        objected_until=-1,
        forks=frozenset(),
    )
    if old in state.convicted:
        state.convicted = (state.convicted - {old}) | {new}
    _rename_in_rows(state, old, new)
    _rename_elsewhere(state, old, new)
    if state.books is not None and step.network.tariff is not None:
        Posting(state.books, step.network.tariff, step.recorder).hand_over(old, new)
    state.count("rows handed over")


def _rename_in_rows(state: State, old: bytes, new: bytes) -> None:
    """The new key takes the place of the old one where other rows name it."""
    for peer, member in list(state.members.items()):
        changes: dict[str, object] = {
            name: renamed(getattr(member, name), old, new)
            for name in ("auditors", "credits", "sponsors")
            if old in getattr(member, name)
        }
        if old in member.contacts:
            changes["contacts"] = with_key(member.contacts, old, new)
        if changes:
            state.change(peer, **changes)


def _rename_elsewhere(state: State, old: bytes, new: bytes) -> None:
    if old in state.served:
        state.served[new] = state.served.pop(old)
    for peer, epoch in [mark for mark in state.dissent_marks if mark[0] == old]:
        state.dissent_marks[new, epoch] = state.dissent_marks.pop((peer, epoch))
    for key, peers in list(state.contested.items()):
        if old in peers:
            state.contested[key] = renamed(peers, old, new)
    for key, dispute in list(state.disputes.items()):
        if old in dispute.objections:
            state.disputes[key] = replace(dispute, objections=with_key(dispute.objections, old, new))
    for line, notes in list(state.lines.items()):
        if any(old in voters for voters in notes.votes.values()):
            votes = {key: renamed(voters, old, new) for key, voters in notes.votes.items()}
            state.lines[line] = replace(notes, votes=votes)
    for record_id, dataset in list(state.datasets.items()):
        if dataset.author == old:
            state.datasets[record_id] = replace(dataset, author=new)
    for line, known in list(state.rounds.items()):
        state.rounds[line] = _renamed_rounds(known, old, new)


def _renamed_rounds(known: LineRounds, old: bytes, new: bytes) -> LineRounds:
    """The rounds of a line with the marks, the quarantine and the repeatable parts of the new key."""

    def repeatable(one: RepeatableRound) -> RepeatableRound:
        if old not in one.uses and old not in one.left_out:
            return one
        return replace(one, uses=with_key(one.uses, old, new), left_out=renamed(one.left_out, old, new))

    past, todo = tuple(map(repeatable, known.past)), tuple(map(repeatable, known.replay.todo))
    current = known.open
    if current is not None and current.repeats is not None:
        current = replace(current, repeats=repeatable(current.repeats))
    found = replace(
        known,
        open=current,
        marks=with_key(known.marks, old, new),
        quarantined=with_key(known.quarantined, old, new),
        past=past,
        replay=replace(known.replay, todo=todo),
    )
    return known if found == known else found


def renamed(peers: frozenset[bytes], old: bytes, new: bytes) -> frozenset[bytes]:
    """A set of peers with another key in the place of one."""
    return (peers - {old}) | {new} if old in peers else peers


def with_key(entries: Mapping[bytes, V], old: bytes, new: bytes) -> Mapping[bytes, V]:
    """A mapping by peer with another key in the place of one, in the order of keys."""
    if old not in entries:
        return entries
    left = {**entries, new: entries[old]}
    del left[old]
    return dict(sorted(left.items()))
