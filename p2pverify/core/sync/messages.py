"""The messages by which two peers make their sets of records equal: requests, and an answer to each.

    request  = [ "common", network, [ *64 id ] ]    answer = [ "common", null / id, null / cut ]
             / [ "between", id, number ]                   / [ "records", [ *512 record ] ]
             / [ "reconcile", id, message ]                / [ "reconcile", message ]
             / [ "fetch", [ 1*512 id ] ]                   / [ "records", [ *512 record ] ]
             / [ "final" ]                                 / [ "final", null / cut ]
             / [ "digests", id, epoch ]                    / [ "digests", [ *1024 [ epoch, digest ] ], more ]
             / [ "list", id, epoch, id ]                   / [ "ids", [ *2000 id ] ]

This module has only bytes and their limits (see `protocol/sync.md`). `session` decides which requests are sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from p2pverify.core.encoding.canon import Value, as_array, as_bool, as_bytes, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX, RECORD_BYTES_MAX
from p2pverify.core.sync.negentropy import MESSAGE_BYTES_MAX

REQUEST_BYTES_MAX = MESSAGE_BYTES_MAX + 64
ANSWER_BYTES_MAX = 524_288
COMMON_IDS_MAX = 64
FETCH_IDS_MAX = 512
DIGESTS_MAX = 1_024
LIST_IDS_MAX = 2_000
RECORD_ITEM_BYTES_MAX = RECORD_BYTES_MAX + 5  # with its length before it
_INDEX_MAX = _SKIP_MAX = 2**40
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AskCommon:
    """Asks for the first of these cuts that the answerer knows. The network's id stands for the beginning."""

    network: bytes
    cuts: tuple[bytes, ...]

    def encode(self) -> bytes:
        return encode(["common", self.network, list(self.cuts)])


@dataclass(frozen=True, slots=True)
class Between:
    """Asks for the records from a cut to the newest one, in the order of the cuts, without the first `skip`."""

    cut: bytes
    skip: int

    def encode(self) -> bytes:
        return encode(["between", self.cut, self.skip])


@dataclass(frozen=True, slots=True)
class Reconcile:
    """A negentropy message about the asker's set above a cut."""

    cut: bytes
    message: bytes

    def encode(self) -> bytes:
        return encode(["reconcile", self.cut, self.message])


@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks for records by their ids, which are distinct."""

    ids: tuple[bytes, ...]

    def encode(self) -> bytes:
        return encode(["fetch", list(self.ids)])


@dataclass(frozen=True, slots=True)
class AskFinal:
    """Asks for the newest certified cut."""

    def encode(self) -> bytes:
        return encode(["final"])


@dataclass(frozen=True, slots=True)
class AskDigests:
    """Asks for the digests of all epochs with records above a cut, from `epoch` on."""

    cut: bytes
    epoch: int

    def encode(self) -> bytes:
        return encode(["digests", self.cut, self.epoch])


@dataclass(frozen=True, slots=True)
class AskIds:
    """Asks for the ids of one epoch above a cut that are greater than `after`."""

    cut: bytes
    epoch: int
    after: bytes

    def encode(self) -> bytes:
        return encode(["list", self.cut, self.epoch, self.after])


Request = AskCommon | Between | Reconcile | Fetch | AskFinal | AskDigests | AskIds


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A negentropy message about the answerer's set."""

    message: bytes

    def encode(self) -> bytes:
        return encode(["reconcile", self.message])


@dataclass(frozen=True, slots=True)
class Records:
    """The requested records that the answerer holds; fewer only if the next one has no room."""

    records: tuple[bytes, ...]

    def encode(self) -> bytes:
        return encode(["records", list(self.records)])


@dataclass(frozen=True, slots=True)
class FinalCut:
    """A certified cut: its id, its place on the path of cuts, and its two roots."""

    cut: bytes
    index: int
    ledger_root: bytes
    view_root: bytes


@dataclass(frozen=True, slots=True)
class Final:
    """The newest certified cut, or None before the first."""

    cut: FinalCut | None

    def encode(self) -> bytes:
        return encode(["final", _final_fields(self.cut)])


@dataclass(frozen=True, slots=True)
class Common:
    """The common cut, None if there is none, and the newest certified cut."""

    cut: bytes | None
    final: FinalCut | None

    def encode(self) -> bytes:
        return encode(["common", self.cut, _final_fields(self.final)])


def _final_fields(cut: FinalCut | None) -> list[object] | None:
    return None if cut is None else [cut.cut, cut.index, cut.ledger_root, cut.view_root]


@dataclass(frozen=True, slots=True)
class Digests:
    """(epoch, digest) of the first epochs, in order, and whether there are more. If there are, it is not empty."""

    digests: tuple[tuple[int, bytes], ...]
    more: bool

    def encode(self) -> bytes:
        return encode(["digests", [list(each) for each in self.digests], self.more])


@dataclass(frozen=True, slots=True)
class Ids:
    """The first ids of an epoch, in order. There may be more if their number is LIST_IDS_MAX."""

    ids: tuple[bytes, ...]

    def encode(self) -> bytes:
        return encode(["ids", list(self.ids)])


Answer = Common | Reconciled | Records | Final | Digests | Ids

# ---------------------------------------------------------------- reading


def decode_request(data: bytes) -> Request:
    """Read one request. Raises DecodeError."""
    return _named(decode(data, size_max=REQUEST_BYTES_MAX, depth_max=2), "request", _REQUESTS)


def decode_answer(data: bytes) -> Answer:
    """Read one answer. Raises DecodeError."""
    return _named(decode(data, size_max=ANSWER_BYTES_MAX, depth_max=3), "answer", _ANSWERS)


def _named(value: Value, what: str, readers: Mapping[str, tuple[int, Callable[[Sequence[Value]], _T]]]) -> _T:
    """Read an array; its first word selects the reader."""
    top = as_array(value, what)
    found = readers.get(top[0]) if top and isinstance(top[0], str) else None
    if found is None:
        raise DecodeError(f"unknown {what}")
    length, reader = found
    return reader(as_array(value, what, length=length)[1:])


def _ask_common(fields: Sequence[Value]) -> Request:
    return AskCommon(as_bytes(fields[0], "network", size=32), _ids(fields[1], COMMON_IDS_MAX))


def _ask_between(fields: Sequence[Value]) -> Request:
    return Between(as_bytes(fields[0], "cut", size=32), as_uint(fields[1], "number", _SKIP_MAX))


def _reconcile(fields: Sequence[Value]) -> Request:
    cut, message = fields
    return Reconcile(as_bytes(cut, "cut", size=32), as_bytes(message, "message", size_max=MESSAGE_BYTES_MAX))


def _fetch(fields: Sequence[Value]) -> Request:
    ids = _ids(fields[0], FETCH_IDS_MAX)
    if not ids:
        raise DecodeError("nothing to fetch")
    if len(set(ids)) != len(ids):
        raise DecodeError("an id twice")
    return Fetch(ids)


def _ask_final(_fields: Sequence[Value]) -> Request:
    return AskFinal()


def _ask_digests(fields: Sequence[Value]) -> Request:
    return AskDigests(as_bytes(fields[0], "cut", size=32), as_uint(fields[1], "epoch", EPOCH_MAX))


def _ask_ids(fields: Sequence[Value]) -> Request:
    cut, epoch, after = fields
    return AskIds(as_bytes(cut, "cut", size=32), as_uint(epoch, "epoch", EPOCH_MAX), as_bytes(after, "id", size=32))


def _reconciled(fields: Sequence[Value]) -> Answer:
    return Reconciled(as_bytes(fields[0], "message", size_max=MESSAGE_BYTES_MAX))


def _records(fields: Sequence[Value]) -> Answer:
    records = as_array(fields[0], "records", length_max=FETCH_IDS_MAX)
    return Records(tuple(as_bytes(item, "record", size_max=RECORD_BYTES_MAX) for item in records))


def _common(fields: Sequence[Value]) -> Answer:
    cut = None if fields[0] is None else as_bytes(fields[0], "cut", size=32)
    return Common(cut, _final_cut(fields[1]))


def _final(fields: Sequence[Value]) -> Answer:
    return Final(_final_cut(fields[0]))


def _final_cut(value: Value) -> FinalCut | None:
    if value is None:
        return None
    cut, index, ledger_root, view_root = as_array(value, "cut", length=4)
    return FinalCut(
        as_bytes(cut, "cut", size=32),
        as_uint(index, "index", _INDEX_MAX),
        as_bytes(ledger_root, "ledger root", size=32),
        as_bytes(view_root, "view root", size=32),
    )


def _digests(fields: Sequence[Value]) -> Answer:
    found = []
    for item in as_array(fields[0], "digests", length_max=DIGESTS_MAX):
        epoch, digest = as_array(item, "digest", length=2)
        found.append((as_uint(epoch, "epoch", EPOCH_MAX), as_bytes(digest, "digest", size=32)))
    epochs = [each[0] for each in found]
    if epochs != sorted(set(epochs)):
        raise DecodeError("epochs out of order")
    more = as_bool(fields[1], "more")
    if more and not found:
        raise DecodeError("more of nothing")
    return Digests(tuple(found), more)


def _listed(fields: Sequence[Value]) -> Answer:
    ids = _ids(fields[0], LIST_IDS_MAX)
    if list(ids) != sorted(set(ids)):
        raise DecodeError("ids out of order")
    return Ids(ids)


def _ids(value: Value, length_max: int) -> tuple[bytes, ...]:
    return tuple(as_bytes(item, "id", size=32) for item in as_array(value, "ids", length_max=length_max))


_REQUESTS: dict[str, tuple[int, Callable[[Sequence[Value]], Request]]] = {
    "common": (3, _ask_common),
    "between": (3, _ask_between),
    "reconcile": (3, _reconcile),
    "fetch": (2, _fetch),
    "final": (1, _ask_final),
    "digests": (3, _ask_digests),
    "list": (4, _ask_ids),
}
_ANSWERS: dict[str, tuple[int, Callable[[Sequence[Value]], Answer]]] = {
    "common": (3, _common),
    "reconcile": (2, _reconciled),
    "records": (2, _records),
    "final": (2, _final),
    "digests": (3, _digests),
    "ids": (2, _listed),
}
