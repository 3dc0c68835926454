"""Records: the signed envelope, and the payload of each kind.

    header = [ "p2pverify/1", network, author, epoch, seq, prev, kind, body ]
    record = [ header, signature, payload ]      SHA-256(payload) = body, but see `body_of`
    id     = SHA-256(canonical header)           never over the signature

Decoding is strict and needs no context. `records/judge` and the fold decide which records may be said, and when.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, decode, digest, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.fast_path import RecordParts, header_bytes, split_record

DOMAIN = "p2pverify/1"
RECORD_BYTES_MAX = 65_536
PAYLOAD_BYTES_MAX = 61_440
EPOCH_MAX = 2**40
SEQ_MAX = 2**40
NO_PREV = bytes(32)
_CUT_FIELDS, _CUT_HEADS = 8, 4


class Kind(IntEnum):
    """Record kinds on the wire."""

    NETWORK = 1
    MANIFEST = 2
    JOIN = 3
    LEAVE = 4
    AUDIT = 5
    DUTY = 6
    VOTE_COMMIT = 7
    VOTE = 8
    CUT = 9
    CUT_SIGNATURE = 10
    CONFLICT = 11
    SPONSOR = 12
    OBJECTION = 13
    REPORT = 14
    RELEASE = 15
    RECALL = 16
    SERVE = 17
    DATASET = 18
    ERASURE = 19
    STATEMENT = 20
    ROTATION = 21
    UPDATE_SEAL = 22
    UPDATE = 23
    ROUND_COMMIT = 24
    ROUND_VOTE = 25
    PLEDGE = 26
    CHEQUE = 27
    PAYMENT = 28
    LOSS_SEAL = 31
    LOSS_REPORT = 32
    AMENDMENT = 34
    APPROVAL = 35
    HANDOVER = 36
    OBJECT = 37
    REKEY = 38


@dataclass(frozen=True, slots=True)
class Header:
    """The signed part of a record. `prev` is the id of the author's previous record, or zeroes for the first."""

    network: bytes
    author: bytes
    epoch: int
    seq: int
    prev: bytes
    kind: int
    body: bytes

    def to_value(self) -> list[object]:
        return [DOMAIN, self.network, self.author, self.epoch, self.seq, self.prev, int(self.kind), self.body]

    def encode(self) -> bytes:
        return encode(self.to_value())


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose bytes are canonical and whose payload has the digest in the header.

    `data` is the whole record as it travels; the signature is checked by `is_signed`.
    """

    header: Header
    signature: bytes
    payload: bytes
    id: bytes
    data: bytes

    @property
    def author(self) -> bytes:
        return self.header.author

    @property
    def seq(self) -> int:
        return self.header.seq

    @property
    def epoch(self) -> int:
        return self.header.epoch

    @property
    def kind(self) -> int:
        return self.header.kind

    def is_signed(self) -> bool:
        return sign.verify(self.header.author, header_bytes(self.data, self.payload), self.signature)


def body_of(kind: int, payload: bytes) -> bytes:
    """The body of a header: SHA-256 of the payload.

    The heads of a cut are first replaced by their SHA-256. So the id of a cut can be computed from a few fields, and a
    proof of its view needs no heads. Raises DecodeError for a payload of a cut without heads.
    """
    if kind != Kind.CUT:
        return sha256(payload)
    fields = list(read_fields(payload, "cut", _CUT_FIELDS))
    heads = as_array(fields[_CUT_HEADS], "heads")
    fields[_CUT_HEADS] = digest(list(heads))
    return digest(fields)


def make_record(
    seed: bytes,
    author: bytes,
    network: bytes,
    *,
    epoch: int,
    seq: int,
    prev: bytes,
    kind: Kind,
    payload: bytes,
) -> Record:
    """Sign a payload as the author's next record."""
    header = Header(network, author, epoch, seq, prev, int(kind), body_of(kind, payload))
    head = header.encode()
    signature = sign.sign(seed, head)
    data = encode([header.to_value(), signature, payload])
    return Record(header, signature, payload, sha256(head), data)


def decode_record(data: bytes, parts: RecordParts | None = None) -> Record:
    """Read one record strictly. Raises DecodeError; the signature is not checked here.

    `parts` is what `split_record` found in these bytes, if it was asked before.
    """
    signature: Value
    if parts is None:
        parts = split_record(data)
    if parts is not None and len(parts[2]) <= PAYLOAD_BYTES_MAX:
        header, signature, payload = Header(*parts[0]), parts[1], parts[2]
        _check_prev(header)
    else:
        top = as_array(decode(data, size_max=RECORD_BYTES_MAX, depth_max=4), "record", length=3)
        header, signature = header_from_value(top[0]), top[1]
        payload = as_bytes(top[2], "payload", size_max=PAYLOAD_BYTES_MAX)
    if body_of(header.kind, payload) != header.body:
        raise DecodeError("the payload is not the one that was signed")
    signature = as_bytes(signature, "signature", size=64)
    return Record(header, signature, payload, sha256(header_bytes(data, payload)), data)


def header_from_value(value: Value) -> Header:
    """Read a decoded header. Raises DecodeError."""
    top = as_array(value, "header", length=8)
    if top[0] != DOMAIN:
        raise DecodeError("not a p2pverify/1 record")
    header = Header(
        as_bytes(top[1], "network", size=32),
        as_bytes(top[2], "author", size=32),
        as_uint(top[3], "epoch", EPOCH_MAX),
        as_uint(top[4], "seq", SEQ_MAX),
        as_bytes(top[5], "prev", size=32),
        as_uint(top[6], "kind", 255),
        as_bytes(top[7], "body", size=32),
    )
    _check_prev(header)
    return header


def _check_prev(header: Header) -> None:
    if (header.seq == 0) != (header.prev == NO_PREV):
        raise DecodeError("prev is zero exactly for seq 0")


# ---------------------------------------------------------------- payloads
# Judgement reads a payload, and the fold reads it again soon after; so decoded payloads are cached.


def read_fields(payload: bytes, name: str, count: int) -> Sequence[Value]:
    """The items of a payload that is an array of `count` items. Raises DecodeError."""
    return as_array(decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=8), name, length=count)
