"""The cut and its signature: a set of records, named by the heads of their authors, and the view that it gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.encoding.merkle import root
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import EPOCH_MAX, SEQ_MAX, Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import VRF_CHECKS, KindRule, Rules

HEADS_MAX = 700  # so that a cut fits into one record; authors without room wait for the next cut
Head = tuple[bytes, int, bytes]  # author, seq, record id


@dataclass(frozen=True, slots=True)
class Cut:
    """The author heads that moved since a certified cut (or the network itself), and what follows from all heads.

    `moved` are the heads that differ from the base's, sorted by author; all other heads are as in the base. The roots
    are those of all heads, of the view, and of the state.
    """

    epoch: int
    base: bytes
    vrf_key: bytes
    proof: bytes
    moved: tuple[Head, ...]
    ledger_root: bytes
    view_root: bytes
    state_root: bytes

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
                self.state_root,
            ]
        )


@dataclass(frozen=True, slots=True)
class CutSignature:
    """The author holds all records of a cut, and its own fold gave the cut's view."""

    cut: bytes

    def encode(self) -> bytes:
        return encode([self.cut])


@lru_cache(maxsize=64)
def decode_cut(payload: bytes) -> Cut:
    epoch, base, key, proof, heads, ledger_root, view_root, state_root = read_fields(payload, "cut", 8)
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
        as_bytes(state_root, "state root", size=32),
    )


@remembered(4096)
def decode_cut_signature(payload: bytes) -> CutSignature:
    (cut,) = read_fields(payload, "cut-signature", 1)
    return CutSignature(as_bytes(cut, "cut", size=32))


def _head(value: Value) -> Head:
    author, seq, record = as_array(value, "head", length=3)
    return (
        as_bytes(author, "author", size=32),
        as_uint(seq, "seq", SEQ_MAX),
        as_bytes(record, "head id", size=32),
    )


def ledger_root(heads: Iterable[Head]) -> bytes:
    """RFC 6962 Merkle root (32 B) over author heads. Each head's hash links all records before it."""
    return root([encode(list(head)) for head in heads])


def _check_cut(cut: Cut, record: Record, _rules: Rules) -> None:
    # [REJECT] The cut is proposed in the epoch of its record.
    if cut.epoch != record.epoch:
        raise GossipReject("cut of another epoch than its record")


def _check_cut_signature(_signature: CutSignature, _record: Record, _rules: Rules) -> None:
    """Nothing to check: the fold decides whether a signature counts."""


def _claim_of_cut(header: Header, payload: bytes) -> tuple[object, bytes]:
    cut = decode_cut(payload)
    return (cut.epoch, cut.base), header.body


CUT_RULE = KindRule(
    Kind.CUT,
    lambda _header, payload: decode_cut(payload),
    _check_cut,
    claim=_claim_of_cut,
    checks=lambda _size: 1 + VRF_CHECKS,
)
CUT_SIGNATURE_RULE = KindRule(
    Kind.CUT_SIGNATURE, lambda _header, payload: decode_cut_signature(payload), _check_cut_signature
)
