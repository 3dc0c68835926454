"""Passports from a ledger: of the newest certified cut whose signatures here are enough for a reader without it."""

from collections.abc import Iterator

from p2pverify.core.encoding.canon import digest
from p2pverify.core.proofs.passport import CutStub, Passport, SignatureStub
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import decode_cut, decode_cut_signature
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State
from p2pverify.core.state.view import prove_score
from p2pverify.core.state.weights import weighted_peers

#: How many cuts before the newest one a passport may be.
CUTS_BACK_MAX = 8


def issue(fold: Fold, peer: bytes) -> Passport | None:
    """The passport of a peer. None if no recent cut has a row of it, and the signatures that its reader counts.

    Two thirds of the weight at its base certify a cut. The reader counts weight at the cut itself. This can be more, so
    the newest cut does not always serve.
    """
    for state in _recent(fold):
        weighted = tuple(sorted(weighted_peers(state)))
        signatures = _signatures(fold, state, weighted)
        score = prove_score(fold.network, state, peer)
        if score is not None and 3 * len(signatures) >= 2 * len(weighted):
            return Passport(score, _stub(fold.ledger, state.id), weighted, signatures)
    return None


def _recent(fold: Fold) -> Iterator[State]:
    """The states of the newest certified cuts, the newest first."""
    for cut_id in fold.latest.path[: -CUTS_BACK_MAX - 1 : -1]:
        if cut_id == fold.network_id:
            return
        state = fold.state(cut_id)
        if state is not None:
            yield state


def _stub(ledger: Ledger, cut_id: bytes) -> CutStub:
    record = ledger.get(cut_id)
    assert record is not None  # it is certified
    cut = decode_cut(record.payload)
    heads = digest([list(head) for head in cut.moved])
    return CutStub(record.author, record.seq, record.header.prev, cut.base, cut.vrf_key, cut.proof, heads)


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
