"""The messages of /p2pverify/state/1, by which a newcomer gets the state at a certified cut.

    request = [ "newest" ]                       answer = [ [ *2 served ], [ *192 kept ] ]
            / [ "certificate", cut ]                     certificate
            / [ "record", name ]                         the bytes of a cut's record, or of one that a state names
            / [ "parts", cut ]                           [ *64 [ section, count, root ] ]
            / [ "hashes", cut, section, from ]           hashes of leaves, 32 B each, one after another
            / [ "leaves", [ 1*256 hash ] ]               [ 1*256 leaf ]

Before each answer stands a status byte, as in `core.blobs.messages`. An answer of leaves has the first ones that were
asked for, in the same order, as far as they have room. Protocol page: protocol/state-sync.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.blobs.messages import STATUS_BYTES, BlobRefused, BlobStatus
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, check_sorted, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.exchange import PASSPORTS_BYTES_MAX
from p2pverify.core.records.envelope import EPOCH_MAX, RECORD_BYTES_MAX

STATE_REQUEST_BYTES_MAX = 16_384
#: Bytes of leaves in one answer. A single leaf may have more, up to LEAF_BYTES_MAX.
LEAVES_BYTES_MAX = 262_144
LEAF_BYTES_MAX = 8 * 1024 * 1024
ASKED_LEAVES_MAX = 256
#: Hashes of leaves in one answer.
HASHES_MAX = 8_192
SECTIONS_MAX = 64
SECTION_CHARS_MAX = 64
#: Leaves of one state.
LEAVES_MAX = 2**20
SERVED_MAX = 2
CHECKPOINTS_MAX = 192
HASH_BYTES = 32
_INDEX_MAX = 2**40
_ITEM_BYTES = 5  # the head of a byte string
_LIST_BYTES_MAX = 16_384

NEWEST, CERTIFICATE, RECORD, PARTS, HASHES, LEAVES = "newest", "certificate", "record", "parts", "hashes", "leaves"
_OF_A_CUT = (CERTIFICATE, RECORD, PARTS)


@dataclass(frozen=True, slots=True)
class StateRequest:
    """One request. `what` says which of the other fields it has; they are empty otherwise."""

    what: str
    cut: bytes = b""
    section: str = ""
    begin: int = 0
    hashes: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        match self.what:
            case "newest":
                return encode([self.what])
            case "hashes":
                return encode([self.what, self.cut, self.section, self.begin])
            case "leaves":
                return encode([self.what, list(self.hashes)])
            case _:
                return encode([self.what, self.cut])

    @property
    def answer_bytes_max(self) -> int:
        """The largest answer, with its status byte."""
        sizes = {NEWEST: _LIST_BYTES_MAX, PARTS: _LIST_BYTES_MAX, CERTIFICATE: PASSPORTS_BYTES_MAX}
        sizes |= {RECORD: RECORD_BYTES_MAX, HASHES: HASHES_MAX * HASH_BYTES, LEAVES: LEAF_BYTES_MAX + 16}
        return STATUS_BYTES + sizes[self.what]


@dataclass(frozen=True, slots=True)
class ServedCut:
    """A cut whose state a peer serves."""

    index: int
    epoch: int
    cut: bytes


@dataclass(frozen=True, slots=True)
class NewestStates:
    """The cuts whose states a peer serves, the newest last, and those of which it has certificates, by index."""

    served: tuple[ServedCut, ...]
    kept: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        return encode(
            [[[each.index, each.epoch, each.cut] for each in self.served], [[index, cut] for index, cut in self.kept]]
        )

    def on_path(self) -> dict[bytes, int]:
        """The indices of all cuts that the peer says are on its path, by cut."""
        return {**{cut: index for index, cut in self.kept}, **{each.cut: each.index for each in self.served}}


@dataclass(frozen=True, slots=True)
class SectionPart:
    """A section of a state: its name, the number of its leaves, and its grouped root (32 B)."""

    name: str
    count: int
    root: bytes

    def to_value(self) -> list[object]:
        return [self.name, self.count, self.root]


def decode_state_request(data: bytes) -> StateRequest:
    """Read a request strictly. Raises DecodeError."""
    top = as_array(decode(data, size_max=STATE_REQUEST_BYTES_MAX, depth_max=2), "state request", length_max=4)
    what = as_text(top[0], "request", 16) if top else ""
    if what == NEWEST:
        as_array(top, what, length=1)
        return StateRequest(what)
    if what in _OF_A_CUT:
        return StateRequest(what, _id(as_array(top, what, length=2)[1], "cut"))
    if what == HASHES:
        _, cut, section, begin = as_array(top, what, length=4)
        return StateRequest(what, _id(cut, "cut"), _section(section), as_uint(begin, "from", LEAVES_MAX))
    if what == LEAVES:
        hashes = as_array(as_array(top, what, length=2)[1], "hashes", length_max=ASKED_LEAVES_MAX)
        if not hashes:
            raise DecodeError("no leaves asked for")
        return StateRequest(what, hashes=tuple(_id(item, "hash") for item in hashes))
    raise DecodeError("unknown state request")


def decode_state_answer(data: bytes) -> bytes:
    """The body of an answer. Raises BlobRefused, DecodeError."""
    if not data:
        raise DecodeError("state answer: empty")
    try:
        status = BlobStatus(data[0])
    except ValueError:
        raise DecodeError("state answer: no such status") from None
    if status is not BlobStatus.OK:
        if len(data) > STATUS_BYTES:
            raise DecodeError("state answer: a refusal with more than its status")
        raise BlobRefused(status)
    return data[STATUS_BYTES:]


def decode_newest(data: bytes) -> NewestStates:
    """Read which states a peer serves. Raises DecodeError."""
    served, kept = as_array(decode(data, size_max=_LIST_BYTES_MAX, depth_max=3), "newest", length=2)
    states = []
    for item in as_array(served, "served", length_max=SERVED_MAX):
        index, epoch, cut = as_array(item, "served", length=3)
        states.append(ServedCut(_index(index), as_uint(epoch, "epoch", EPOCH_MAX), _id(cut, "cut")))
    check_sorted([each.index for each in states], "served")
    checkpoints = []
    for item in as_array(kept, "kept", length_max=CHECKPOINTS_MAX):
        index, cut = as_array(item, "kept", length=2)
        checkpoints.append((_index(index), _id(cut, "cut")))
    check_sorted([index for index, _ in checkpoints], "kept")
    return NewestStates(tuple(states), tuple(checkpoints))


def encode_parts(parts: Sequence[SectionPart]) -> bytes:
    return encode([part.to_value() for part in parts])


def decode_parts(data: bytes) -> tuple[SectionPart, ...]:
    """Read the sections of a state. Raises DecodeError."""
    found = []
    for item in as_array(decode(data, size_max=_LIST_BYTES_MAX, depth_max=2), "parts", length_max=SECTIONS_MAX):
        name, count, root = as_array(item, "part", length=3)
        found.append(SectionPart(_section(name), as_uint(count, "count", LEAVES_MAX), _id(root, "root")))
    if len({part.name for part in found}) != len(found):
        raise DecodeError("parts: a section twice")
    if sum(part.count for part in found) > LEAVES_MAX:
        raise DecodeError("parts: too many leaves")
    return tuple(found)


def read_hashes(data: bytes) -> tuple[bytes, ...]:
    """The hashes of leaves in an answer, at least one. Raises DecodeError."""
    if not data or len(data) % HASH_BYTES or len(data) > HASHES_MAX * HASH_BYTES:
        raise DecodeError("hashes: not of 32 bytes each")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def fitting(leaves: Sequence[bytes]) -> list[bytes]:
    """The first of these leaves that fit into one answer: one at least."""
    found: list[bytes] = []
    room = LEAVES_BYTES_MAX
    for leaf in leaves:
        room -= len(leaf) + _ITEM_BYTES
        if room < 0 and found:
            break
        found.append(leaf)
    return found


def decode_leaves(data: bytes) -> tuple[bytes, ...]:
    """Read the leaves of an answer, at least one. Raises DecodeError; whether they are right is not checked."""
    size_max = LEAF_BYTES_MAX + 16
    items = as_array(decode(data, size_max=size_max, depth_max=1), "leaves", length_max=ASKED_LEAVES_MAX)
    if not items:
        raise DecodeError("leaves: none")
    return tuple(as_bytes(item, "leaf", size_max=LEAF_BYTES_MAX) for item in items)


def _id(value: Value, name: str) -> bytes:
    return as_bytes(value, name, size=32)


def _section(value: Value) -> str:
    return as_text(value, "section", SECTION_CHARS_MAX)


def _index(value: Value) -> int:
    return as_uint(value, "index", _INDEX_MAX)
