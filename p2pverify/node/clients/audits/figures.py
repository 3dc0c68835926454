"""A client's own figures beside the network's, as a document."""

from collections.abc import Mapping, Sequence

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.odds import TestSteps
from p2pverify.core.contract.pool import MILLION
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.treatment import Rescored, Treatment, chance_of_worse, together, treatment
from p2pverify.core.state import view
from p2pverify.core.state.score import interval_ppm
from p2pverify.core.state.transition import across_steps, class_steps
from p2pverify.node.clients.audits.book import KeptAudit
from p2pverify.node.reports.documents.me import MeDocument, OwnFigures, PeerFigures


def me_document(
    network: Network, own: bytes, own_class: int, scores: Sequence[view.Score], audits: Sequence[KeptAudit], rate: float
) -> MeDocument:
    """The figures of the node `own` (32 B), whose class is `own_class`. `scores` are those of the newest final view."""
    by_peer: dict[bytes, list[KeptAudit]] = {}
    for audit in audits:
        by_peer.setdefault(audit.peer, []).append(audit)
    seen = {score.peer: score for score in scores}
    treated = {peer: treatment(_judged(network, own_class, found)) for peer, found in by_peer.items()}
    return MeDocument(
        schema="p2pverify/me/1",
        peer_id=peer_id(own),
        audit_rate=rate,
        all=_all(treated, seen),
        peers=tuple(_peer(peer, treated[peer], seen.get(peer)) for peer in sorted(treated)),
    )


def _judged(network: Network, own_class: int, audits: Sequence[KeptAudit]) -> list[tuple[Rescored, TestSteps]]:
    """The audits of a peer, each with the test of its class: by digests in the own class, else by the referee."""
    within = class_steps(network)
    found = []
    for audit in audits:
        if audit.class_index >= len(network.classes):
            continue  # of another network, whose home this was
        by_digest = audit.class_index == own_class and not network.classes[own_class].is_any
        is_judged = by_digest or network.classes[audit.class_index].across is not None
        steps = within[audit.class_index] if by_digest or not is_judged else across_steps(network, audit.class_index)
        found.append((audit.found, steps))
    return found


def _peer(peer: bytes, own: Treatment, score: view.Score | None) -> PeerFigures:
    right, wrong = (0, 0) if score is None else (score.agreements, score.dissents)
    return PeerFigures(
        peer_id=peer_id(peer),
        standing=None if score is None else score.standing.value,
        figures=_figures(own, right, wrong),
    )


def _all(treated: Mapping[bytes, Treatment], seen: Mapping[bytes, view.Score]) -> OwnFigures:
    scores = [seen[peer] for peer in treated if peer in seen]
    right, wrong = sum(score.agreements for score in scores), sum(score.dissents for score in scores)
    return _figures(together(treated.values()), right, wrong)


def _figures(own: Treatment, right: int, wrong: int) -> OwnFigures:
    """Own audits beside the network's `right` and `wrong` answers."""
    low, high = interval_ppm(right, wrong)
    chance = chance_of_worse(own.wrong, own.audits, wrong, right + wrong)
    return OwnFigures(
        network_low=low / MILLION,
        network_high=high / MILLION,
        network_audits=right + wrong,
        network_wrong=wrong,
        audits=own.audits,
        wrong=own.wrong,
        unclear=own.unclear,
        at_most=own.at_most_ppm / MILLION,
        value=own.value,
        accused=own.is_accused,
        accused_after=own.accused_after,
        chance=chance.numerator / chance.denominator,
    )
