"""A dispute as a report for people: the outputs, their voters, and the losers. Its effects are decided in the fold."""

from collections.abc import Iterator

from p2pverify.core.blind import rounds
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.compare import Measures, Verdict
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.vote import UNDERIVABLE
from p2pverify.core.state.lines.versions import contract_about
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts import cross_class
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.node.reports.documents.audits import AnyDispute
from p2pverify.node.reports.documents.explained import OutputDocument, VoterDocument, WholeDispute


def any_dispute(network: Network, dispute: Dispute) -> AnyDispute:
    """What is shown of every dispute."""
    decision = dispute.decision
    return AnyDispute(
        challenger=peer_id(dispute.key.challenger),
        epoch=dispute.key.epoch,
        slot=dispute.key.slot,
        status="open" if decision is None else "decided",
        opened_epoch=dispute.opened_epoch,
        electorate=len(dispute.electorate),
        commits=len(dispute.commits),
        votes=len(dispute.votes),
        decision=None if decision is None else decision.hex(),
        losers=tuple(peer_id(peer) for peer in losers(network, dispute)),
    )


def whole_dispute(network: Network, state: State, dispute: Dispute, own: bytes | None) -> WholeDispute:
    """All of a dispute. `own` is the output that this node would vote for, None if it does not know."""
    network = contract_told(network, state, dispute)
    outputs = sorted({vote.output for vote in dispute.votes.values()} | {dispute.decision or b""} - {b""})
    return WholeDispute(
        **vars(any_dispute(network, dispute)),
        stage=f"committee {dispute.round.stage}" if dispute.round.is_committee else "everyone",
        outputs=tuple(_output(network, dispute, output, own) for output in outputs),
        voters=tuple(_voter(network, state, dispute, peer) for peer in _voters(dispute)),
    )


def contract_told(network: Network, state: State, dispute: Dispute) -> Network:
    """The contract among the peers that serve the version that a dispute is about, as a state knows it."""
    receipt = next((asked.receipt for asked in dispute.audit.asked if asked.receipt is not None), None)
    return network if receipt is None else contract_about(network, state, receipt.class_index, dispute)


def losers(network: Network, dispute: Dispute) -> list[bytes]:
    """The peers that a decision goes against, sorted: voters, asked peers or the challenger. Empty if undecided."""
    return [] if dispute.decision is None else sorted(set(_losers(network, dispute, dispute.decision)))


def _losers(network: Network, dispute: Dispute, decision: bytes) -> Iterator[bytes]:
    yield from (voter for voter in dispute.votes if rounds.has_lost(dispute, voter))
    if decision == UNDERIVABLE:
        yield dispute.audit.challenger
        return
    for peer, verdict in verdicts_by(network, dispute, decision).items():
        if verdict is Verdict.MISMATCH:
            yield peer
        elif dispute.is_report:
            yield dispute.audit.challenger


def verdicts_by(network: Network, dispute: Dispute, output: bytes) -> dict[bytes, Verdict]:
    """The verdict of an output on each asked peer that answered."""
    audit = dispute.audit
    if output == UNDERIVABLE:
        return {}
    if audit.is_across:
        return _judged(network, audit, dispute.measures.get(output, ()))
    return {
        asked.responder: Verdict.MATCH if audit.matches(asked.receipt, output) else Verdict.MISMATCH
        for asked in audit.asked
        if asked.receipt is not None
    }


def _judged(network: Network, audit: Audit, measures: Measures) -> dict[bytes, Verdict]:
    if not cross_class.fits(audit, measures):
        return {}
    return {one.responder: one.verdict for one in cross_class.verdicts(network, audit.asked, measures)}


def _output(network: Network, dispute: Dispute, output: bytes, own: bytes | None) -> OutputDocument:
    return OutputDocument(
        output=output.hex(),
        votes=sum(vote.output == output for vote in dispute.votes.values()),
        decided=output == dispute.decision,
        underivable=output == UNDERIVABLE,
        own=None if own is None else output == own,
        verdicts={peer_id(peer): found.value for peer, found in verdicts_by(network, dispute, output).items()},
    )


def _voters(dispute: Dispute) -> list[bytes]:
    """The challenger first, then the voters that took part, then the rest of the electorate. A reporter has no vote."""
    took_part = dispute.votes.keys() | dispute.commits.keys()
    if dispute.is_report:
        return [*sorted(took_part), *sorted(dispute.electorate - took_part)]
    others = (dispute.electorate | took_part) - {dispute.key.challenger}
    return [dispute.key.challenger, *sorted(others & took_part), *sorted(others - took_part)]


def _has_seat(dispute: Dispute, peer: bytes) -> bool | None:
    """Whether a peer has a seat; None if everybody votes."""
    if dispute.is_report:
        return peer in dispute.electorate
    return peer in dispute.round.seats or peer in dispute.heard if dispute.round.is_committee else None


def _voter(network: Network, state: State, dispute: Dispute, peer: bytes) -> VoterDocument:
    member, vote = state.members.get(peer), dispute.votes.get(peer)
    is_judged = dispute.decision is not None and vote is not None
    return VoterDocument(
        peer_id=peer_id(peer),
        class_=None if member is None else network.classes[member.class_index].name,
        challenger=peer == dispute.key.challenger,
        asked=any(asked.responder == peer for asked in dispute.audit.asked),
        sealed=peer in dispute.commits or peer == dispute.key.challenger,
        seat=_has_seat(dispute, peer),
        output=None if vote is None else vote.output.hex(),
        lost=is_judged and rounds.has_lost(dispute, peer),
    )
