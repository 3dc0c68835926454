"""Records: the signed envelope, and the payload of each kind.

    header = [ "p2pverify/1", network, author, epoch, seq, prev, kind, body ]
    record = [ header, signature, payload ]      SHA-256(payload) = body
    id     = SHA-256(canonical header)           never over the signature

Decoding is strict and context-free; who may say what, and when, is judged in `rules` and in the fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from p2pverify.core import sign
from p2pverify.core.canon import Value, as_array, as_bytes, as_text, as_uint, decode, encode, sha256
from p2pverify.core.compare import Measures, measures_value, read_measures
from p2pverify.core.errors import DecodeError
from p2pverify.core.hardware import CLAIM_CHARS_MAX, check_claim
from p2pverify.core.layout import header_bytes, split_record
from p2pverify.core.memo import remembered

DOMAIN = "p2pverify/1"
RECORD_BYTES_MAX = 65_536
PAYLOAD_BYTES_MAX = 61_440
EPOCH_MAX = 2**40
SEQ_MAX = 2**40
ASKED_MAX = 31
STAGE_MAX = 2  # of a dispute, in which a committee votes
NO_PREV = bytes(32)


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


@dataclass(frozen=True, slots=True)
class Header:
    """What the author signs. `prev` is the id of the author's record before, or zeroes for the first."""

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
    header = Header(network, author, epoch, seq, prev, int(kind), sha256(payload))
    head = header.encode()
    signature = sign.sign(seed, head)
    data = encode([header.to_value(), signature, payload])
    return Record(header, signature, payload, sha256(head), data)


def decode_record(data: bytes) -> Record:
    """Read one record strictly. Raises DecodeError; the signature is not checked here."""
    signature: Value
    parts = split_record(data)
    if parts is not None and len(parts[2]) <= PAYLOAD_BYTES_MAX:
        header, signature, payload = Header(*parts[0]), parts[1], parts[2]
        _check_prev(header)
    else:
        top = as_array(decode(data, size_max=RECORD_BYTES_MAX, depth_max=4), "record", length=3)
        header, signature = header_from_value(top[0]), top[1]
        payload = as_bytes(top[2], "payload", size_max=PAYLOAD_BYTES_MAX)
    if sha256(payload) != header.body:
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
# Payloads that judgement reads and the fold reads again soon after are remembered for a while.


@dataclass(frozen=True, slots=True)
class Join:
    """The author takes part in a class, with this VRF key, and claims to run on this hardware; "" claims none."""

    class_index: int
    vrf_key: bytes
    hardware: str = ""

    def encode(self) -> bytes:
        return encode([self.class_index, self.vrf_key, self.hardware])


@dataclass(frozen=True, slots=True)
class DisputeKey:
    """A slot that was audited, as the name of the dispute about it."""

    challenger: bytes
    epoch: int
    slot: int

    def to_value(self) -> list[object]:
        return [self.challenger, self.epoch, self.slot]

    def sort_key(self) -> tuple[int, bytes, int]:
        return (self.epoch, self.challenger, self.slot)


@dataclass(frozen=True, slots=True)
class Lot:
    """By what its owner volunteers for a committee: the VRF proof over the dispute, the stage, and that beacon."""

    stage: int
    beacon: bytes
    vrf_key: bytes
    proof: bytes

    def to_value(self) -> list[object]:
        return [self.stage, self.beacon, self.vrf_key, self.proof]


@dataclass(frozen=True, slots=True)
class Commit:
    """A voter's sealed answer to a disputed question. `certificate` holds the audit and the duty.

    `lot` is there where a committee votes.
    """

    dispute: DisputeKey
    certificate: bytes
    commit: bytes
    lot: Lot | None = None

    def encode(self) -> bytes:
        lot = None if self.lot is None else self.lot.to_value()
        return encode([self.dispute.to_value(), self.certificate, self.commit, lot])


@dataclass(frozen=True, slots=True)
class Vote:
    """The opening of a commit, or of the challenger's nonces: then with one salt per asked peer.

    `certificate` holds what is opened. A vote of `UNDERIVABLE` says that the question does not follow from the slot.
    In a dispute across classes `output` is otherwise the digest of `measures`. `shown` is by what whoever sealed after
    others had opened shows that it did not copy them.
    """

    dispute: DisputeKey
    certificate: bytes
    class_index: int
    output: bytes
    salts: tuple[bytes, ...]
    measures: Measures = ()
    shown: bytes | None = None

    def encode(self) -> bytes:
        said = [self.class_index, self.output, list(self.salts), measures_value(self.measures), self.shown]
        return encode([self.dispute.to_value(), self.certificate, *said])


Head = tuple[bytes, int, bytes]  # author, seq, record id


@dataclass(frozen=True, slots=True)
class Cut:
    """What a set of author heads adds to a certified cut (or to the network itself), and the view that it gives.

    `moved` are the heads that differ from the base's, sorted by author; all others are as in the base. The roots are
    over the whole set.
    """

    epoch: int
    base: bytes
    vrf_key: bytes
    proof: bytes
    moved: tuple[Head, ...]
    ledger_root: bytes
    view_root: bytes

    def encode(self) -> bytes:
        return encode(
            [
                self.epoch,
                self.base,
                self.vrf_key,
                self.proof,
                [list(head) for head in self.moved],
                self.ledger_root,
                self.view_root,
            ]
        )


@dataclass(frozen=True, slots=True)
class CutSignature:
    """The author holds all of a cut, and its own fold gave the cut's view."""

    cut: bytes

    def encode(self) -> bytes:
        return encode([self.cut])


HEADS_MAX = 700  # a cut fits into one record; who finds no room waits for the next one


def decode_join(payload: bytes) -> Join:
    index, key, hardware = read_fields(payload, "join", 3)
    claim = check_claim(as_text(hardware, "hardware", CLAIM_CHARS_MAX))
    found = Join(as_uint(index, "class", 31), as_bytes(key, "VRF key", size=32), claim)
    if not sign.is_valid_key(found.vrf_key):
        raise DecodeError("the VRF key is not a valid point")
    return found


def decode_leave(payload: bytes) -> None:
    read_fields(payload, "leave", 0)


@remembered(4096)
def decode_commit(payload: bytes) -> Commit:
    key, certificate, commit, lot = read_fields(payload, "vote-commit", 4)
    return Commit(
        dispute_from_value(key),
        as_bytes(certificate, "certificate", size=32),
        as_bytes(commit, "commit", size=32),
        None if lot is None else _lot(lot),
    )


@remembered(4096)
def decode_vote(payload: bytes) -> Vote:
    key, certificate, index, output, salts, measures, shown = read_fields(payload, "vote", 7)
    return Vote(
        dispute_from_value(key),
        as_bytes(certificate, "certificate", size=32),
        as_uint(index, "class", 31),
        as_bytes(output, "output", size=32),
        read_salts(salts),
        read_measures(measures, ASKED_MAX),
        None if shown is None else as_bytes(shown, "shown", size=32),
    )


@lru_cache(maxsize=64)
def decode_cut(payload: bytes) -> Cut:
    epoch, base, key, proof, heads, ledger_root, view_root = read_fields(payload, "cut", 7)
    found = tuple(_head(item) for item in as_array(heads, "heads", length_max=HEADS_MAX))
    authors = [head[0] for head in found]
    if authors != sorted(set(authors)):
        raise DecodeError("heads are not sorted by distinct authors")
    return Cut(
        as_uint(epoch, "epoch", EPOCH_MAX),
        as_bytes(base, "base", size=32),
        as_bytes(key, "VRF key", size=32),
        as_bytes(proof, "VRF proof", size=80),
        found,
        as_bytes(ledger_root, "ledger root", size=32),
        as_bytes(view_root, "view root", size=32),
    )


@remembered(4096)
def decode_cut_signature(payload: bytes) -> CutSignature:
    (cut,) = read_fields(payload, "cut-signature", 1)
    return CutSignature(as_bytes(cut, "cut", size=32))


def _lot(value: Value) -> Lot:
    number, beacon, key, proof = as_array(value, "lot", length=4)
    stage = as_uint(number, "stage", STAGE_MAX)
    if stage == 0:
        raise DecodeError("stages count from 1")
    return Lot(
        stage,
        as_bytes(beacon, "beacon", size=32),
        as_bytes(key, "VRF key", size=32),
        as_bytes(proof, "VRF proof", size=80),
    )


def dispute_from_value(value: Value) -> DisputeKey:
    challenger, epoch, slot = as_array(value, "dispute", length=3)
    return DisputeKey(
        as_bytes(challenger, "challenger", size=32),
        as_uint(epoch, "epoch", EPOCH_MAX),
        as_uint(slot, "slot", 255),
    )


def read_salts(value: Value) -> tuple[bytes, ...]:
    salts = as_array(value, "salts", length_max=ASKED_MAX)
    return tuple(as_bytes(salt, "salt", size=32) for salt in salts)


def read_fields(payload: bytes, name: str, count: int) -> Sequence[Value]:
    """The items of a payload that is an array of `count`. Raises DecodeError."""
    return as_array(decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=8), name, length=count)


def _head(value: Value) -> Head:
    author, seq, record = as_array(value, "head", length=3)
    return (
        as_bytes(author, "author", size=32),
        as_uint(seq, "seq", SEQ_MAX),
        as_bytes(record, "head id", size=32),
    )
