"""Range-based set reconciliation: negentropy protocol v1, with epochs as the timestamps and records' ids as the ids.

The initiator cuts its set into ranges and sends a fingerprint of each. Where its own fingerprint differs, the responder
answers with smaller ranges, down to lists of ids. This goes on until the initiator knows every id in which the two sets
differ. The responder keeps nothing between two messages. The specification is docs/negentropy-protocol-v1.md of
github.com/hoytech/negentropy; comments cite its section names. Streams and frames are left to other modules.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError, RemoteProtocolError
from p2pverify.core.sync.index import Key, RecordIndex

VERSION = 0x61
VERSIONS = range(0x60, 0x70)
MESSAGE_BYTES_MAX = 98_304
RANGES_MAX = 8_192  # in one message
FINGERPRINTS_MAX = 2_048  # in one message
MESSAGE_BYTES_MIN = 4_096  # as in the reference implementation
_ROOM = 1_200  # more than a split range (31 ids and two bounds) and the fingerprint of the rest need
BUCKETS = 16
INFINITY = 2**64 - 1
ID_BYTES = 32
FINGERPRINT_BYTES = 16
SKIP, FINGERPRINT, ID_LIST = 0, 1, 2
_END: Key = (INFINITY, b"")


class Range(NamedTuple):
    """One range of a message: it ends before `bound`, and begins where the previous one ended."""

    bound: Key
    mode: int
    fingerprint: bytes = b""
    ids: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Differences:
    """The result of one message for the initiator: ids that only we have, and ids that only they have, in order."""

    have: tuple[bytes, ...]
    need: tuple[bytes, ...]


# ---------------------------------------------------------------- bytes


def encode_varint(number: int) -> bytes:
    """Base-128 digits, most significant first ("Varint")."""
    out = [number & 0x7F]
    while number := number >> 7:
        out.append(number & 0x7F | 0x80)
    return bytes(reversed(out))


def fingerprint(index: RecordIndex, begin: int, end: int) -> bytes:
    """Fingerprint (16 bytes) of the ids from position `begin` up to `end` ("Fingerprint Algorithm")."""
    total = index.total(begin, end).to_bytes(ID_BYTES, "little")
    return sha256(total + encode_varint(end - begin))[:FINGERPRINT_BYTES]


class _Reader:
    """Reads a message's ranges strictly. Raises DecodeError."""

    def __init__(self, message: bytes) -> None:
        self._data = message
        self._at = 1
        self._fingerprints = 0

    def ranges(self) -> Iterator[Range]:
        """The ranges in order; none ends before the previous one."""
        epoch, padded = 0, bytes(ID_BYTES)
        count = 0
        while self._at < len(self._data):
            count += 1
            if count > RANGES_MAX:
                raise DecodeError("too many ranges")
            if epoch == INFINITY:
                raise DecodeError("a range after the last")
            epoch_before, padded_before = epoch, padded
            offset = self._varint()
            epoch = INFINITY if offset == 0 else epoch + offset - 1
            length = self._varint()
            if length > ID_BYTES:
                raise DecodeError("a bound longer than an id")
            if epoch > INFINITY or (epoch == INFINITY and (offset or length)):
                raise DecodeError("a bound beyond the last")
            prefix = self._take(length)
            padded = prefix.ljust(ID_BYTES, b"\0")
            if (epoch, padded) < (epoch_before, padded_before):
                raise DecodeError("ranges out of order")
            yield self._payload((epoch, prefix))

    def _payload(self, bound: Key) -> Range:
        mode = self._varint()
        if mode == SKIP:
            return Range(bound, mode)
        if mode == FINGERPRINT:
            self._fingerprints += 1
            if self._fingerprints > FINGERPRINTS_MAX:
                raise DecodeError("too many fingerprints")
            return Range(bound, mode, self._take(FINGERPRINT_BYTES))
        if mode != ID_LIST:
            raise DecodeError("unknown mode of a range")
        count = self._varint()
        data = self._take(count * ID_BYTES)
        ids = tuple([data[at : at + ID_BYTES] for at in range(0, len(data), ID_BYTES)])
        if len(set(ids)) != count:
            raise DecodeError("an id twice in a list")
        return Range(bound, mode, ids=ids)

    def _varint(self) -> int:
        at = self._at
        if at < len(self._data) and self._data[at] < 0x80:  # nearly all numbers have one digit
            self._at = at + 1
            return self._data[at]
        number = 0
        while True:
            digit = self._take(1)[0]
            if number == 0 and digit == 0x80:
                raise DecodeError("a number not in shortest form")
            number = number << 7 | digit & 0x7F
            if number > INFINITY:
                raise DecodeError("a number beyond 64 bits")
            if digit < 0x80:
                return number

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise DecodeError("truncated")
        found = self._data[self._at : end]
        self._at = end
        return found


def read_ranges(message: bytes) -> tuple[Range, ...]:
    """All ranges of a message of version 1. Raises DecodeError."""
    if not message:
        raise DecodeError("truncated")
    if message[0] != VERSION:
        raise DecodeError("not negentropy version 1")
    return tuple(_Reader(message).ranges())


class _Writer:
    """Writes a message, range by range."""

    def __init__(self) -> None:
        self.data = bytearray((VERSION,))
        self._epoch = 0

    def bound(self, key: Key, mode: int) -> None:
        epoch, prefix = key
        if epoch == INFINITY:
            self.data.append(0)
        else:
            self.data += encode_varint(epoch - self._epoch + 1)
            self._epoch = epoch
        self.data.append(len(prefix))
        self.data += prefix
        self.data.append(mode)

    def skip(self, bound: Key) -> None:
        self.bound(bound, SKIP)

    def fingerprint(self, bound: Key, value: bytes) -> None:
        self.bound(bound, FINGERPRINT)
        self.data += value

    def ids(self, bound: Key, ids: Iterable[bytes], count: int) -> None:
        self.bound(bound, ID_LIST)
        self.data += encode_varint(count)
        self.data += b"".join(ids)


# ---------------------------------------------------------------- both sides


class _Message:
    """One unfinished message: our answers to the other side's ranges, within a size."""

    def __init__(self, index: RecordIndex, bytes_max: int) -> None:
        assert bytes_max >= MESSAGE_BYTES_MIN
        self._index = index
        self._writer = _Writer()
        self._size_max = bytes_max - _ROOM
        self._skipped: Key | None = None  # the bound of the last ranges that need no answer
        self._buckets_left = FINGERPRINTS_MAX // BUCKETS - 1  # how many more ranges can be split
        self.is_full = False

    @property
    def is_empty(self) -> bool:
        return len(self._writer.data) == 1

    def finish(self) -> bytes:
        return bytes(self._writer.data)

    def skip(self, bound: Key) -> None:
        self._skipped = bound

    def split(self, begin: int, end: int, bound: Key) -> None:
        """Write a range: its ids if they are few, else the fingerprints of its parts."""
        self._flush()
        count = end - begin
        if len(self._writer.data) > self._size_max or not self._buckets_left:
            self._rest(begin)
        elif count < 2 * BUCKETS:
            self._writer.ids(bound, [key[1] for key in self._index.keys(begin, end)], count)
        else:
            self._write_buckets(begin, end, bound)

    def _write_buckets(self, begin: int, end: int, bound: Key) -> None:
        self._buckets_left -= 1
        size, larger = divmod(end - begin, BUCKETS)
        at = begin
        for bucket in range(BUCKETS):
            first, at = at, at + size + (bucket < larger)
            between = bound if at == end else _bound_between(self._index.key(at - 1), self._index.key(at))
            self._writer.fingerprint(between, fingerprint(self._index, first, at))

    def list_ids(self, begin: int, end: int, bound: Key) -> None:
        """Write the ids of a range, as many as have room."""
        self._flush()
        room = (self._size_max - len(self._writer.data)) // ID_BYTES
        if room < 0:
            self._rest(begin)
        elif end - begin <= room:
            self._writer.ids(bound, [key[1] for key in self._index.keys(begin, end)], end - begin)
        else:
            cut = begin + room
            if room:
                ids = [key[1] for key in self._index.keys(begin, cut)]
                self._writer.ids(self._index.key(cut), ids, room)
            self._rest(cut)

    def _flush(self) -> None:
        if self._skipped is not None:
            self._writer.skip(self._skipped)
            self._skipped = None

    def _rest(self, begin: int) -> None:
        """The message is full: one fingerprint covers the rest, and the other side continues from there."""
        self.is_full = True
        self._writer.fingerprint(_END, fingerprint(self._index, begin, len(self._index)))


def _bound_between(before: Key, after: Key) -> Key:
    """The shortest bound between two neighbours ("Bound")."""
    if before[0] != after[0]:
        return (after[0], b"")
    one, two = before[1], after[1]
    shared = 0
    while one[shared] == two[shared]:
        shared += 1
    return (after[0], two[: shared + 1])


class Initiator:
    """The side that wants to know the differences of the two sets."""

    def __init__(self, index: RecordIndex, *, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._index = index
        self._bytes_max = bytes_max

    def initiate(self) -> bytes:
        """The first message."""
        message = _Message(self._index, self._bytes_max)
        message.split(0, len(self._index), _END)
        return message.finish()

    def reconcile(self, answer: bytes) -> tuple[bytes | None, Differences]:
        """Read an answer: the next message (None if all differences are known), and the differences in this answer.

        The set may have changed since the last message. Raises DecodeError, and RemoteProtocolError if
        the other side does not speak version 1.
        """
        if answer and answer[0] != VERSION and answer[0] in VERSIONS:
            raise RemoteProtocolError(f"negentropy version {answer[0] - 0x60} is not spoken here")
        index = self._index
        message = _Message(index, self._bytes_max)
        have: list[bytes] = []
        need: list[bytes] = []
        begin = 0
        for each in read_ranges(answer):
            end = max(begin, index.place(each.bound))
            if each.mode == ID_LIST:
                ours = [key[1] for key in index.keys(begin, end)]
                theirs, own = set(each.ids), set(ours)
                have += [found for found in ours if found not in theirs]
                need += [found for found in each.ids if found not in own]
            if each.mode == FINGERPRINT and each.fingerprint != fingerprint(index, begin, end):
                message.split(begin, end, each.bound)
            else:
                message.skip(each.bound)
            if message.is_full:
                break
            begin = end
        found = Differences(tuple(have), tuple(need))
        return (None if message.is_empty else message.finish()), found


class RangeResponder:
    """The side that answers. It keeps nothing between messages."""

    def __init__(self, index: RecordIndex, *, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._index = index
        self._bytes_max = bytes_max

    def answer(self, query: bytes) -> bytes:
        """The answer to a message. For a message of another version it is the byte of our version.

        Raises DecodeError.
        """
        if query and query[0] != VERSION and query[0] in VERSIONS:
            return bytes((VERSION,))
        index = self._index
        message = _Message(index, self._bytes_max)
        begin = 0
        for each in read_ranges(query):
            end = max(begin, index.place(each.bound))
            if each.mode == ID_LIST:
                message.list_ids(begin, end, each.bound)
            elif each.mode == FINGERPRINT and each.fingerprint != fingerprint(index, begin, end):
                message.split(begin, end, each.bound)
            else:
                message.skip(each.bound)
            if message.is_full:
                break
            begin = end
        return message.finish()
