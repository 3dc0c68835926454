"""Passports from a ledger: of the newest certified cut whose signatures here are enough for a reader without it."""

from collections.abc import Iterator
from dataclasses import dataclass

from p2pverify.core.encoding.canon import digest, encode, sha256
from p2pverify.core.proofs.exchange import PASSPORTS_BYTES_MAX, PassportSet, PassportsWanted
from p2pverify.core.proofs.passport import Certificate, CutStub, Passport, SignatureStub
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import decode_cut, decode_cut_signature
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.lines.versions import model_of
from p2pverify.core.state.score import LAST_RANK, rank_of
from p2pverify.core.state.state import State
from p2pverify.core.state.view import Score, ScoreProver, scores, view_head
from p2pverify.core.state.view_bytes import ScoreProof
from p2pverify.core.state.weights import weighted_peers

#: How many cuts before the newest one a passport may be.
CUTS_BACK_MAX = 8


@dataclass(frozen=True, slots=True)
class _Parts:
    """What passports of one cut are made of."""

    state: State
    prover: ScoreProver
    certificate: Certificate
    scores: tuple[Score, ...]


class Issuer:
    """Issues passports of one ledger. It remembers the parts of the cut that it issued last.

    Two thirds of the weight at its base certify a cut. The reader counts weight at the cut itself. This can be more, so
    the newest cut does not always serve.
    """

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._known: tuple[tuple[bytes, int], _Parts | None] = ((b"", 0), None)

    def passport(self, peer: bytes) -> Passport | None:
        """The passport of a peer; None if there is no such cut, or it has no row of the peer."""
        parts = self._parts()
        score = None if parts is None else parts.prover.prove(peer)
        if parts is None or score is None:
            return None
        return Passport(score, parts.certificate.cut, parts.certificate.weighted, parts.certificate.signatures)

    def best(self, wanted: PassportsWanted, asker: bytes) -> PassportSet | None:
        """The passports of the best peers that somebody asks for; None if there is no such cut.

        The manifest with which a line begins stands for all versions of the line. Peers that are behind come last.

        Peers of one standing and one step of the lower end come in an order of the asker's own, so that askers do not
        all choose the same peer.
        """
        parts = self._parts()
        if parts is None:
            return None
        network, state, among = self._fold.network, parts.state, frozenset(wanted.among)

        def serves(score: Score) -> bool:
            first = network.classes[state.members[score.peer].class_index].manifest
            named = {model_of(network, state, score.peer), *(() if score.version is None else (first,))}
            return wanted.manifest in named and (not among or score.peer in among)

        def order(score: Score) -> tuple[bool, tuple[int, int], bytes]:
            rank = rank_of(score.standing, score.low_ppm) or LAST_RANK
            return score.is_behind, rank, sha256(asker + score.peer)

        best = sorted(filter(serves, parts.scores), key=order)[: wanted.count]
        proofs: list[ScoreProof] = []
        room = PASSPORTS_BYTES_MAX - len(PassportSet(parts.certificate, ()).encode())
        for proof in filter(None, (parts.prover.prove(score.peer) for score in best)):
            room -= len(encode([proof.row, proof.position, list(proof.path)]))
            if room < 0:
                break
            proofs.append(proof)
        return PassportSet(parts.certificate, tuple(proofs))

    def _parts(self) -> _Parts | None:
        """Those of the newest cut that serves. They are made again if there is a newer cut, or more signatures."""
        fold = self._fold
        parts = self._known[1]
        if parts is not None and parts.state.id == fold.latest.id:
            return parts
        key = (fold.latest.id, len(fold.ledger))
        if self._known[0] != key:
            self._known = (key, self._find(fold, parts))
        return self._known[1]

    def _find(self, fold: Fold, known: _Parts | None) -> _Parts | None:
        for state in _recent(fold):
            if known is not None and known.state is state:
                return known
            certificate = certify(fold, state)
            if certificate is not None:
                prover = ScoreProver(fold.network, state)
                return _Parts(state, prover, certificate, scores(fold.network, state))
        return None


def certify(fold: Fold, state: State) -> Certificate | None:
    """The certificate of a cut for readers without the ledger; None if fewer than two thirds of its weight signed."""
    weighted = tuple(sorted(weighted_peers(state)))
    signatures = _signatures(fold, state, weighted)
    if not weighted or 3 * len(signatures) < 2 * len(weighted) or state.id not in fold.ledger:
        return None  # the records of the cuts with which a fold begins come later
    return Certificate(view_head(fold.network, state), _stub(fold.ledger, state.id), weighted, signatures)


def issue(fold: Fold, peer: bytes) -> Passport | None:
    """The passport of one peer, without remembering anything: see `Issuer`."""
    return Issuer(fold).passport(peer)


def _recent(fold: Fold) -> Iterator[State]:
    """The states of the newest certified cuts, the newest first."""
    for cut_id in fold.latest.path[: -CUTS_BACK_MAX - 1 : -1]:
        if cut_id == fold.network_id:
            return
        state = fold.kept(cut_id)
        if state is not None and cut_id in fold.ledger:
            yield state


def _stub(ledger: Ledger, cut_id: bytes) -> CutStub:
    record = ledger.get(cut_id)
    assert record is not None  # it is certified
    cut = decode_cut(record.payload)
    heads = digest([list(head) for head in cut.moved])
    return CutStub(
        record.author, record.seq, record.header.prev, cut.base, cut.vrf_key, cut.proof, heads, cut.state_root
    )


def _signatures(fold: Fold, state: State, weighted: tuple[bytes, ...]) -> tuple[SignatureStub, ...]:
    """Signatures of two thirds of the weight, or all that are here.

    Those of founders come first, because a reader of the network's definition knows their keys.
    """
    founders = frozenset(fold.network.founders)
    found: list[SignatureStub] = []
    for place in sorted(range(len(weighted)), key=lambda place: weighted[place] not in founders):
        if 3 * len(found) >= 2 * len(weighted):
            break
        record = _signature(fold.ledger, weighted[place], state)
        if record is not None:
            found.append(SignatureStub(place, record.epoch, record.seq, record.header.prev, record.signature))
    return tuple(sorted(found, key=lambda each: each.place))


def _signature(ledger: Ledger, author: bytes, state: State) -> Record | None:
    """An author's signature of a cut, from the end of its log."""
    head = ledger.head(author)
    for record in () if head is None else ledger.backwards(head, head[1]):
        if record.epoch < state.epoch:
            return None
        if record.kind == Kind.CUT_SIGNATURE and decode_cut_signature(record.payload).cut == state.id:
            return record
    return None
