"""The canonical bytes of a state: sections of sorted leaves, and a Merkle root over them.

Protocol page: protocol/state.md. Left out is what names the cut itself (`id`, and the last item of `path`), what
follows from the rest (`convicted`, digests of rows, totals of weight), and `decided`, which no later step reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX
from p2pverify.core.records.payloads.cut import Cut, decode_cut
from p2pverify.core.state.codec.forms import (
    ID,
    IDS,
    SINCE,
    UINT,
    Form,
    check_ascending,
    mapping,
    pair,
    plain,
    sequence,
    sort_key,
)
from p2pverify.core.state.codec.keys import MOVED_KEY, OPEN_HANDOVER
from p2pverify.core.state.codec.lines import LINE, LINE_NOTES, SERVED
from p2pverify.core.state.codec.money import ACCOUNT, CLAIMS, PLEDGE, PLEDGE_KEY, books_with
from p2pverify.core.state.codec.past import CUT_IDS, HEAD, PATH, RAW, read_past, write_past
from p2pverify.core.state.codec.rounds import LINE_ROUNDS
from p2pverify.core.state.codec.rows import (
    DATASET,
    DISPUTE_KEY,
    EARLY_CONFLICT,
    MEMBER,
    NAME,
    NO_BYTES,
    SLOT,
    member_leaf,
    row_bytes,
)
from p2pverify.core.state.codec.rules import OPEN_AMENDMENT, RULES_IN_FORCE
from p2pverify.core.state.codec.verdicts import DUTY_NOTE, audit_notes_form, dispute_form
from p2pverify.core.state.past.notes import CutIds, PastCut
from p2pverify.core.state.past.tails import LogTail
from p2pverify.core.state.state import State

DOMAIN = "p2pverify/state/1"
STATE_BYTES_MAX = 64 * 1024 * 1024
HEADER = "header"
#: The leaves of each section, by its name, in the order of the sections.
Leaves = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class StateSection:
    """A dictionary of a state, by its field's name. Each entry is a leaf; `order` sorts the keys."""

    field: str
    key: Form[Any]
    value: Form[Any]
    order: Callable[[Any], Any] = plain

    @property
    def name(self) -> str:
        return self.field.replace("_", "-")

    def entries(self, state: State) -> dict[Any, Any]:
        found: dict[Any, Any] = getattr(state, self.field)
        return found

    def leaf(self, key: Any, value: Any) -> bytes:
        return encode((self.key.write(key), self.value.write(value)))

    @property
    def is_made_anew(self) -> bool:
        """Whether `entries` makes new values at each call. Else a value that is the same object has the same leaf."""
        return False

    def leaves(self, state: State) -> list[bytes]:
        entries = self.entries(state)
        return [self.leaf(key, entries[key]) for key in sorted(entries, key=sort_key(self.order))]

    def read(self, leaves: Sequence[bytes]) -> dict[Any, Any]:
        """The entries of a section. Raises DecodeError."""
        entries: dict[Any, Any] = {}
        for leaf in leaves:
            key, value = as_array(decode(leaf, size_max=STATE_BYTES_MAX), "leaf", length=2)
            entries[self.key.read(key)] = self.value.read(value)
        if len(entries) != len(leaves):
            raise DecodeError("not sorted and distinct")
        check_ascending(map(self.order, entries))
        return entries


class BooksSection(StateSection):
    """A dictionary of the books of a state."""

    def entries(self, state: State) -> dict[Any, Any]:
        found: dict[Any, Any] = getattr(state.books, self.field)
        return found


class MembersSection(StateSection):
    """The rows."""

    def leaf(self, key: Any, value: Any) -> bytes:
        return member_leaf(key, value, row_bytes(value, NO_BYTES))


class HeadsSection(StateSection):
    """The heads, each with the tail of its log: number, id, epoch, and the number at which the epoch began."""

    def entries(self, state: State) -> dict[Any, Any]:
        tails = state.tails
        return {author: (*head[1:], *tails[author]) for author, head in state.heads.items()}

    @property
    def is_made_anew(self) -> bool:
        return True


class PastSection(StateSection):
    """The earlier cuts of the path, by index: each with its id, and with the cut after it."""

    def entries(self, state: State) -> dict[Any, Any]:
        cuts = list(state.past.items())
        following = [cut for _, cut in cuts[1:]] + [state.as_past()] * bool(cuts)
        return {cut.index: (cut_id, cut, later) for (cut_id, cut), later in zip(cuts, following, strict=True)}

    def leaf(self, key: Any, value: Any) -> bytes:
        cut_id, cut, following = value
        return encode([key, cut_id, write_past(cut, following)])

    @property
    def is_made_anew(self) -> bool:
        return True

    def read(self, leaves: Sequence[bytes]) -> dict[Any, Any]:
        """The indices and differences by cut."""
        found = [as_array(decode(leaf, size_max=STATE_BYTES_MAX), "leaf", length=3) for leaf in leaves]
        check_ascending(UINT.read(index) for index, _, _ in found)
        return {ID.read(cut_id): (index, changes) for index, cut_id, changes in found}


class BesideSection(StateSection):
    """The cuts beside the path that the cut contains, with those on which they are based."""

    def entries(self, state: State) -> dict[Any, Any]:
        return {
            cut_id: (cut, None if cut is None else past_of(state, state.cuts[cut_id].base))
            for cut_id, cut in state.beside.items()
        }

    def leaf(self, key: Any, value: Any) -> bytes:
        cut, base = value
        return encode([key, None if cut is None else write_past(cut, base)])

    @property
    def is_made_anew(self) -> bool:
        return True


class RecentSection(StateSection):
    """The ids of the records of the newest cuts, by the index of the cut."""

    def entries(self, state: State) -> dict[Any, Any]:
        first = state.index + 1 - len(state.recent)
        return {first + at: ids for at, ids in enumerate(state.recent)}


def past_of(state: State, cut_id: bytes) -> PastCut:
    found = state.past.get(cut_id) or state.beside.get(cut_id)
    if found is None:
        raise DecodeError("beside: a cut without its base")
    return found


@dataclass(frozen=True, slots=True)
class WrittenState:
    """A state that was read from its bytes, with the network whose records it is of, and its root (32 B each).

    The bytes do not name the cut: `state.named` does.
    """

    network_id: bytes
    state: State
    root: bytes


_EPOCH_OF_PEER = pair(ID, UINT)
_CUT: Form[Cut] = Form(
    lambda cut: cut.encode(), lambda value: decode_cut(as_bytes(value, "cut", size_max=PAYLOAD_BYTES_MAX))
)


@lru_cache(maxsize=4)
def sections_of(network_id: bytes) -> tuple[StateSection, ...]:
    """The sections of a state of a network, behind the header."""
    return (
        MembersSection("members", ID, MEMBER),
        StateSection("banned", ID, NAME),
        StateSection("totals", NAME, UINT),
        HeadsSection("heads", ID, HEAD),
        StateSection("dropped", ID, UINT),
        StateSection("audits", _EPOCH_OF_PEER, mapping(SLOT, audit_notes_form(network_id), plain)),
        StateSection("duties", _EPOCH_OF_PEER, DUTY_NOTE),
        StateSection("reports", _EPOCH_OF_PEER, ID),
        StateSection("disputes", DISPUTE_KEY, dispute_form(network_id), lambda key: key.sort_key()),
        StateSection("contested", DISPUTE_KEY, IDS, lambda key: key.sort_key()),
        StateSection("lines", LINE, LINE_NOTES),
        StateSection("served", ID, SERVED),
        StateSection("dissent_marks", _EPOCH_OF_PEER, UINT),
        StateSection("cuts", ID, _CUT),
        StateSection("proposals", _EPOCH_OF_PEER, sequence(ID)),
        StateSection("signatures", ID, IDS),
        StateSection("noted", ID, UINT),
        StateSection("last_signed", ID, ID),
        StateSection("early_conflicts", ID, EARLY_CONFLICT),
        StateSection("datasets", ID, DATASET),
        StateSection("rounds", LINE, LINE_ROUNDS),
        StateSection("rules", UINT, RULES_IN_FORCE),
        StateSection("amendments", ID, OPEN_AMENDMENT),
        PastSection("past", UINT, RAW),
        BesideSection("beside", ID, RAW),
        RecentSection("recent", UINT, CUT_IDS),
        StateSection("forgotten", ID, UINT),
        StateSection("handovers", ID, OPEN_HANDOVER),
        StateSection("moved", ID, MOVED_KEY),
    )


#: The last sections, of a network with a tariff.
MONEY_SECTIONS = (
    BooksSection("accounts", ID, ACCOUNT),
    BooksSection("claims", ID, CLAIMS),
    BooksSection("pledges", PLEDGE_KEY, PLEDGE),
)


def all_sections(network_id: bytes, state: State) -> tuple[StateSection, ...]:
    """The sections of a state, behind the header."""
    return (*sections_of(network_id), *(() if state.books is None else MONEY_SECTIONS))


def leaves_of(network_id: bytes, state: State) -> Leaves:
    """The leaves of a state whose records are of a network."""
    found: dict[str, list[bytes]] = {HEADER: [header_leaf(network_id, state)]}
    for section in all_sections(network_id, state):
        found[section.name] = section.leaves(state)
    return found


def root_of(leaves: Leaves) -> bytes:
    """The grouped root over name, number and grouped root of each section: 32 bytes."""
    roots = {name: merkle.grouped_root([merkle.leaf(leaf) for leaf in found]) for name, found in leaves.items()}
    return merkle.grouped_root([merkle.leaf(encode([name, len(leaves[name]), root])) for name, root in roots.items()])


def encode_state(network_id: bytes, state: State) -> bytes:
    """The canonical bytes of a state."""
    return encode([DOMAIN, [[name, list(found)] for name, found in leaves_of(network_id, state).items()]])


def decode_state(written: bytes) -> WrittenState:
    """Read a state. Other bytes than those of `encode_state` raise DecodeError with a short reason."""
    domain, parts = as_array(decode(written, size_max=STATE_BYTES_MAX, depth_max=4), "state", length=2)
    if domain != DOMAIN:
        raise DecodeError("not a state of this version")
    leaves = dict(_section(part) for part in as_array(parts, "sections"))
    if len(leaves.get(HEADER, ())) != 1:
        raise DecodeError("a state has one header")
    network_id, numbers = _read_header(leaves[HEADER][0])
    sections = sections_of(network_id)
    names = [HEADER, *(section.name for section in sections)]
    money = MONEY_SECTIONS if list(leaves)[len(names) :] else ()
    names += [section.name for section in money]
    if list(leaves) != names or len(as_array(parts, "sections")) != len(names):
        raise DecodeError("not the sections of a state")
    entries: dict[str, Any] = {section.field: _read(section, leaves[section.name]) for section in sections}
    heads = entries["heads"]
    entries["heads"] = {author: (author, *head[:2]) for author, head in heads.items()}
    entries["tails"] = {author: LogTail(*head[2:]) for author, head in heads.items()}
    if any(key != dispute.key for key, dispute in entries["disputes"].items()):
        raise DecodeError("disputes: a key is not that of the audit")
    convicted = frozenset(peer for peer, member in entries["members"].items() if member.is_convicted)
    books = books_with(**{each.field: _read(each, leaves[each.name]) for each in money}) if money else None
    if len(entries["rules"]) > 1:
        raise DecodeError("rules: more than one")
    past, beside, recent = (entries.pop(field) for field in ("past", "beside", "recent"))
    state = State(id=bytes(32), convicted=convicted, books=books, **numbers, **entries)
    _read_past_cuts(state, past, beside, recent)
    return WrittenState(network_id, state, root_of(leaves))


def _read_past_cuts(
    state: State, past: Mapping[bytes, Any], beside: Mapping[bytes, Value], recent: Mapping[int, CutIds]
) -> None:
    """Read what a state keeps of earlier cuts. Raises DecodeError."""
    following, found = state.as_past(), []
    for cut_id, (index, changes) in reversed(list(past.items())):
        if index != following.index - 1:
            raise DecodeError("past: not the cuts before this one")
        following = read_past(changes, index, following)
        found.append((cut_id, following))
    state.past = dict(reversed(found))
    if [index - state.index for index in recent] != list(range(1 - len(recent), 1)):
        raise DecodeError("recent: not the newest cuts")
    state.recent = tuple(recent.values())
    if any(cut_id not in state.cuts for cut_id in beside):
        raise DecodeError("beside: a cut that is not remembered")
    state.beside = dict.fromkeys(beside)
    todo = [cut_id for cut_id, changes in beside.items() if changes is not None]
    for cut_id in sorted(todo, key=lambda each: state.cuts[each].base in beside):  # a base beside the path comes first
        base = past_of(state, state.cuts[cut_id].base)
        state.beside[cut_id] = read_past(beside[cut_id], base.index + 1, base)


def _section(part: Value) -> tuple[str, list[bytes]]:
    name, leaves = as_array(part, "section", length=2)
    found = as_array(leaves, "leaves")
    return as_text(name, "section", 64), [as_bytes(leaf, "leaf") for leaf in found]


def _read(section: StateSection, leaves: Sequence[bytes]) -> dict[Any, Any]:
    try:
        return section.read(leaves)
    except DecodeError as error:
        raise DecodeError(f"{section.name}: {error.reason}") from None


def header_leaf(network_id: bytes, state: State) -> bytes:
    since = (state.admitted_epoch, state.sponsored_epoch, state.rested_epoch)
    path = PATH.write(state.path[:-1])
    numbers = (state.epoch, state.index, state.beacon)
    return encode([network_id, *numbers, path, *(SINCE.write(epoch) for epoch in since)])


def _read_header(leaf: bytes) -> tuple[bytes, dict[str, Any]]:
    network_id, epoch, index, beacon, path, admitted, sponsored, rested = as_array(
        decode(leaf, size_max=STATE_BYTES_MAX), "header", length=8
    )
    return ID.read(network_id), {
        "epoch": UINT.read(epoch),
        "index": UINT.read(index),
        "beacon": ID.read(beacon),
        "path": (*PATH.read(path), bytes(32)),
        "admitted_epoch": SINCE.read(admitted),
        "sponsored_epoch": SINCE.read(sponsored),
        "rested_epoch": SINCE.read(rested),
    }
