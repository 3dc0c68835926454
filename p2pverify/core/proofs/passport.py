"""A passport: one peer's row of a certified view, with all that a reader needs who has only the network's definition.

It holds the view's head, the row with its Merkle path, the cut without its heads, the keys of all peers with weight,
and signatures of the cut. `issuing` makes it from a ledger, and `exchange` sends several of one cut together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bytes,
    as_uint,
    check_sorted,
    decode,
    digest,
    encode,
    sha256,
)
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX, SEQ_MAX, Header, Kind
from p2pverify.core.records.payloads.cut import CutSignature
from p2pverify.core.state.view_bytes import (
    ROW_BYTES_MAX,
    WEIGHTED_MAX,
    ScoreProof,
    ShownRow,
    ViewHead,
    read_score_row,
    read_view_head,
    weighted_digest,
)

DOMAIN = "p2pverify/passport/1"
#: The first bytes of every passport.
PASSPORT_HEAD = b"\x88" + encode(DOMAIN)
PASSPORT_BYTES_MAX = 131_072
PATH_MAX = 40


class Refuted(Exception):
    """A proof does not hold. `reason` says what fails."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CutStub:
    """A cut record without its heads and signature. Its epoch and its other roots are those of the view."""

    author: bytes
    seq: int
    prev: bytes
    base: bytes
    vrf_key: bytes
    proof: bytes
    heads: bytes  # SHA-256 of the canonical heads
    state_root: bytes

    def id(self, head: ViewHead) -> bytes:
        """The id of the cut that names a view."""
        roots = (head.ledger_root, head.root, self.state_root)
        fields = [head.epoch, self.base, self.vrf_key, self.proof, self.heads, *roots]
        header = Header(head.network, self.author, head.epoch, self.seq, self.prev, int(Kind.CUT), digest(fields))
        return sha256(header.encode())

    def to_value(self) -> list[object]:
        return [self.author, self.seq, self.prev, self.base, self.vrf_key, self.proof, self.heads, self.state_root]


@dataclass(frozen=True, slots=True)
class SignatureStub:
    """A signature of the cut without what all of them share. `place` is its author's among the keys with weight."""

    place: int
    epoch: int
    seq: int
    prev: bytes
    signature: bytes

    def holds(self, network: bytes, author: bytes, cut_id: bytes) -> bool:
        """Whether the author signed a cut."""
        body = sha256(CutSignature(cut_id).encode())
        header = Header(network, author, self.epoch, self.seq, self.prev, int(Kind.CUT_SIGNATURE), body)
        return sign.verify(author, header.encode(), self.signature)

    def to_value(self) -> list[object]:
        return [self.place, self.epoch, self.seq, self.prev, self.signature]


@dataclass(frozen=True, slots=True)
class Passport:
    """One row of a view, its proof, and the signatures of the cut. `weighted` is sorted; signatures are by place."""

    score: ScoreProof
    cut: CutStub
    weighted: tuple[bytes, ...]
    signatures: tuple[SignatureStub, ...]

    def encode(self) -> bytes:
        score = self.score
        return encode(
            [
                DOMAIN,
                score.head.to_value(),
                score.row,
                score.position,
                list(score.path),
                self.cut.to_value(),
                list(self.weighted),
                [each.to_value() for each in self.signatures],
            ]
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """What all passports of one cut share: the view's head, the cut, the keys with weight, and the signatures."""

    head: ViewHead
    cut: CutStub
    weighted: tuple[bytes, ...]
    signatures: tuple[SignatureStub, ...]

    @property
    def signers(self) -> frozenset[bytes]:
        return frozenset(self.weighted[each.place] for each in self.signatures)


@dataclass(frozen=True, slots=True)
class PassportFacts:
    """What a passport shows: the row, the cut, and how many of the peers with weight signed it.

    `founders_signed` of the network's `founders` are among the signers. A reader who knows only the founders believes
    that the others with weight got it by the rules.
    """

    row: ShownRow
    cut_id: bytes
    epoch: int
    index: int
    signed: int
    weighted: int
    founders_signed: int
    founders: int


def decode_passport(data: bytes) -> Passport:
    """Read a passport strictly. Raises DecodeError; whether it holds is not checked."""
    top = as_array(decode(data, size_max=PASSPORT_BYTES_MAX, depth_max=5), "passport", length=8)
    if top[0] != DOMAIN:
        raise DecodeError("not a p2pverify/passport/1")
    _, head, row, position, path, cut, weighted, signatures = top
    found = read_certificate(head, cut, weighted, signatures)
    return Passport(read_row_proof(found.head, row, position, path), found.cut, found.weighted, found.signatures)


def read_certificate(head: Value, cut: Value, weighted: Value, signatures: Value) -> Certificate:
    """Read what all passports of one cut share. Raises DecodeError."""
    keys = tuple(as_bytes(key, "key", size=32) for key in as_array(weighted, "weighted", length_max=WEIGHTED_MAX))
    check_sorted(keys, "weighted")
    stubs = tuple(_signature(item) for item in as_array(signatures, "signatures", length_max=WEIGHTED_MAX))
    check_sorted([each.place for each in stubs], "signatures")
    if stubs and stubs[-1].place >= len(keys):
        raise DecodeError("a signature of no key with weight")
    return Certificate(read_view_head(head), _cut(cut), keys, stubs)


def read_row_proof(head: ViewHead, row: Value, position: Value, path: Value) -> ScoreProof:
    """Read the part of a passport that is its peer's alone. Raises DecodeError."""
    hashes = as_array(path, "path", length_max=PATH_MAX)
    return ScoreProof(
        head,
        as_bytes(row, "row", size_max=ROW_BYTES_MAX),
        as_uint(position, "position"),
        tuple(as_bytes(item, "path", size=32) for item in hashes),
    )


def check_passport(network: Network, passport: Passport) -> PassportFacts:
    """What a passport shows about a peer of a network. Raises Refuted, DecodeError.

    It holds if the row is in the view, the view is that of the cut, and two thirds of the peers that have weight in the
    view signed the cut.
    """
    score = passport.score
    found = Certificate(score.head, passport.cut, passport.weighted, passport.signatures)
    return check_passports(network, found, [score])[0]


def check_passports(network: Network, certificate: Certificate, scores: Sequence[ScoreProof]) -> list[PassportFacts]:
    """What several passports of one cut show. The signatures are checked once. Raises Refuted, DecodeError."""
    head, weighted = certificate.head, certificate.weighted
    if not all(score.holds(head.root) for score in scores):
        raise Refuted("the row is not in the view")
    cut_id = check_certificate(network, certificate)
    signers = certificate.signers
    counts_of = (len(signers), len(weighted), len(signers.intersection(network.founders)), len(network.founders))
    return [PassportFacts(read_score_row(score.row), cut_id, head.epoch, head.index, *counts_of) for score in scores]


def check_certificate(network: Network, certificate: Certificate) -> bytes:
    """The id of the cut that two thirds of the weight of its own view signed. Raises Refuted.

    That the weight is real does not follow: a reader holds the signers against keys that it knows.
    """
    weighted, cut_id = certificate.weighted, check_weights(network, certificate)
    if not weighted or 3 * len(certificate.signatures) < 2 * len(weighted):
        counts = f"{len(certificate.signatures)} of {len(weighted)}"
        raise Refuted(f"{counts} peers with weight signed: fewer than two thirds")
    for each in certificate.signatures:
        if not each.holds(network.id, weighted[each.place], cut_id):
            raise Refuted("a signature does not hold")
    return cut_id


def check_weights(network: Network, certificate: Certificate) -> bytes:
    """The id of the cut whose view these are, with these keys with weight. Raises Refuted. Signatures are not read."""
    if certificate.head.network != network.id:
        raise Refuted("it is of another network")
    if weighted_digest(certificate.weighted) != certificate.head.weighted:
        raise Refuted("the keys are not those with weight in the view")
    return certificate.cut.id(certificate.head)


def _cut(value: Value) -> CutStub:
    author, seq, prev, base, vrf_key, proof, heads, state_root = as_array(value, "cut", length=8)
    return CutStub(
        as_bytes(author, "author", size=32),
        as_uint(seq, "seq", SEQ_MAX),
        as_bytes(prev, "prev", size=32),
        as_bytes(base, "base", size=32),
        as_bytes(vrf_key, "VRF key", size=32),
        as_bytes(proof, "VRF proof", size=80),
        as_bytes(heads, "heads", size=32),
        as_bytes(state_root, "state root", size=32),
    )


def _signature(value: Value) -> SignatureStub:
    place, epoch, seq, prev, signature = as_array(value, "signature", length=5)
    return SignatureStub(
        as_uint(place, "place", WEIGHTED_MAX - 1),
        as_uint(epoch, "epoch", EPOCH_MAX),
        as_uint(seq, "seq", SEQ_MAX),
        as_bytes(prev, "prev", size=32),
        as_bytes(signature, "signature", size=64),
    )
