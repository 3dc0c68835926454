"""Rows: the keys that a state knows. A key is free, so rows of keys without weight are bounded and expire.

| row | is dropped |
|---|---|
| never had weight | after SILENT_CUTS cuts without a record in a cut, or for a newcomer if the table is full |
| had weight once | after TOMBSTONE_CUTS cuts without a record in a cut; if it was convicted, the key stays banned |
| has weight | never |

The head of a dropped author is kept as long as other cuts, because a later cut must contain earlier ones. Until then a
new join brings its row back. After that the author is forgotten for good: its log is too old for a new author's.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.membership import decode_join
from p2pverify.core.state.keys.take import is_successor
from p2pverify.core.state.memory import NEAR_CUTS
from p2pverify.core.state.rules.take import refuse_class
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.transition import Transition

#: The most rows without weight of keys that never had weight.
WEIGHTLESS_MAX = 4096
#: A row gives its place to a newcomer only if it began at least this many cuts ago.
PLACE_CUTS = 64
SILENT_CUTS = 4096
#: The log of a new author must have begun less than this many epochs before the base of the cut that takes it in. The
#: head of a dropped author is kept for more cuts than that, so a forgotten author is never a new one again.
JOIN_EPOCHS = NEAR_CUTS
TOMBSTONE_CUTS = 65_536
#: `seen_index` of a row lags by up to this many cuts, so that a row does not change with each record.
SEEN_STEP = 64


def take(step: Transition, moves: Sequence[Record]) -> None:
    """Take joins and leaves, sorted by author and number."""
    state, places = step.state, _Places(step.state)
    for record in moves:
        member = state.members.get(record.author)
        if record.kind == Kind.LEAVE:
            if member is not None and member.active:
                state.change(record.author, active=False)
            continue
        if is_successor(state, record.author):
            state.count("join: author waits for the row of another key")
            continue
        refused = refuse_class(step.network, state, decode_join(record.payload).class_index)
        if refused is not None:
            state.count(f"join: {refused}")
        elif member is not None or (_may_come_in(state, record.author) and places.take()):
            _join(step, record)
            continue
        if member is None:
            state.dropped[record.author] = state.index  # its head is forgotten like that of a dropped row
    _clear(state, places.yielded)


def _may_come_in(state: State, author: bytes) -> bool:
    return author not in state.banned and author not in state.moved


def note_seen(state: State, authors: Sequence[bytes]) -> None:
    """Note that this cut holds records of these authors."""
    for author in authors:
        member = state.members.get(author)
        if member is not None and (author in state.changed or state.index - member.seen_index >= SEEN_STEP):
            state.change(author, seen_index=state.index)


def drop_silent(state: State) -> None:
    """Drop the rows of keys that have been silent for too long."""
    over = [peer for peer, member in state.members.items() if _is_over(member, state.index)]
    for peer in over:
        if state.members[peer].was_weighted and peer in state.convicted:
            state.banned[peer] = state.members[peer].conviction
        _drop(state, peer)
    _clear(state, over)


def _is_over(member: Member, index: int) -> bool:
    silent = index - member.seen_index
    if silent <= SILENT_CUTS or member.weight:
        return False
    return not member.was_weighted or silent > TOMBSTONE_CUTS


def _drop(state: State, peer: bytes) -> None:
    del state.members[peer]
    if peer in state.heads:
        state.dropped[peer] = state.index


def _clear(state: State, dropped: Collection[bytes]) -> None:
    """Clear what a state holds of dropped rows, of all at once because many rows may go in one step."""
    if dropped:
        gone = frozenset(dropped)
        state.convicted -= gone
        state.audits = {key: slots for key, slots in state.audits.items() if key[0] not in gone}
        state.duties = {key: note for key, note in state.duties.items() if key[0] not in gone}


def _join(step: Transition, record: Record) -> None:
    """Count a join. The number of new authors of a cut is limited, but not that of authors that come back.

    So only the row of a new author is safe for PLACE_CUTS. Otherwise keys that come back could hold all places.
    """
    state = step.state
    row_index = 0 if record.author in step.base.heads else state.index
    member = state.members.setdefault(record.author, Member(seen_index=state.index, row_index=row_index))
    state.dropped.pop(record.author, None)
    if member.active or member.is_convicted:
        return
    join = decode_join(record.payload)
    contacts = member.contacts
    if (join.class_index, join.hardware) != (member.class_index, member.hardware):  # the samples are of another machine
        contacts = {peer: replace(contact, windows=()) for peer, contact in contacts.items()}
    if join.class_index != member.class_index:
        state.served.pop(record.author, None)  # the version was one of the other class's model
    state.change(
        record.author,
        active=True,
        class_index=join.class_index,
        vrf_key=join.vrf_key,
        box_key=join.box_key,
        next_key=join.next_key if member.next_key is None else member.next_key,
        hardware=join.hardware,
        contacts=contacts,
        joined_epoch=state.epoch,
        joined_index=state.index,
    )


class _Places:
    """The places of rows that never had weight, for the newcomers of one step."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._free: int | None = None
        self._yielding: list[bytes] | None = None
        self.yielded: list[bytes] = []

    def take(self) -> bool:
        """Whether there is a place for one more newcomer. If not, a row with few agreements yields its place.

        So a place that lasts costs inference. A challenger of an open dispute keeps its row.
        """
        if self._free is None:
            self._free = WEIGHTLESS_MAX - sum(not member.was_weighted for member in self._state.members.values())
        if self._free > 0:
            self._free -= 1
            return True
        if self._yielding is None:
            self._yielding = self._find()
        if not self._yielding:
            return False
        self.yielded.append(self._yielding.pop())
        _drop(self._state, self.yielded[-1])
        return True

    def _find(self) -> list[bytes]:
        """The rows that may yield their places; the first to go comes last."""
        state = self._state
        disputing = {key.challenger for key in state.disputes}
        may = [
            (member.agreements, member.row_index, peer)
            for peer, member in state.members.items()
            if not member.was_weighted and peer not in disputing and state.index - member.row_index >= PLACE_CUTS
        ]
        return [peer for *_, peer in sorted(may, reverse=True)]
