"""Liars to clients, as the clients see them: after how many own audits `me` flags each, beside the exact chain.

The flag is the sequential test over one node's own audits. `processes.conviction` has its exact chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from p2pverify.core.contract.odds import TestSteps, test_steps
from p2pverify.node.reports.documents.me import MeDocument, OwnFigures
from p2pverify.testnet.plan import TO_CLIENTS, PeerPlan, Plan
from p2pverify.testnet.processes.conviction import Chances, audits_for, mean_audits

#: The flag is late if the chain reaches it within fewer audits with this probability.
CERTAINTY = 0.999


@dataclass(frozen=True, slots=True)
class NodeFlag:
    """What `me` of one node says of a peer: of `audits` answers `wrong` were wrong, and the audit number `after` raised
    the flag. None if there is no flag.
    """

    node: str
    audits: int
    wrong: int
    after: int | None


@dataclass(frozen=True, slots=True)
class LiarFlags:
    """A liar to clients, with the flags of all nodes that have clients.

    `expected` is the mean number of audits until the flag by the exact chain, and `latest` its 99.9 % quantile. Both
    are None for a rate at which the test does not grow.
    """

    peer: PeerPlan
    expected: float | None
    latest: int | None
    nodes: tuple[NodeFlag, ...]

    @property
    def is_flagged(self) -> bool:
        return any(one.after is not None for one in self.nodes)

    @property
    def late(self) -> tuple[NodeFlag, ...]:
        """The nodes that flagged it later than the chain's quantile, or have made so many audits without a flag."""
        if self.latest is None:
            return ()
        return tuple(
            one for one in self.nodes if (one.audits >= self.latest if one.after is None else one.after > self.latest)
        )

    def document(self) -> dict[str, object]:
        """The part of a run's JSON report."""
        return {
            "expected_audits": None if self.expected is None else round(self.expected, 1),
            "latest_audits": self.latest,
            "nodes": [
                {"name": one.node, "audits": one.audits, "wrong": one.wrong, "flagged_after_audits": one.after}
                for one in self.nodes
            ],
        }

    def summary(self) -> list[str]:
        """A line for each node that has flagged it."""
        predicted = "" if self.expected is None else f"; the exact chain: {self.expected:.0f}, at 99.9 % {self.latest}"
        return [
            f"{self.peer.label}: 'me' of {one.node} flags it after {one.after} audits{predicted}"
            for one in self.nodes
            if one.after is not None
        ]


def find_flags(plan: Plan, found: Mapping[str, MeDocument]) -> tuple[LiarFlags, ...]:
    """The flags of all liars to clients. `found` has the newest figures by node. Empty if nobody audits."""
    if plan.clients is None or not plan.clients.audit_rate:
        return ()
    return tuple(
        LiarFlags(peer, *_predicted(plan, peer.cheat.rate), _nodes(plan, peer, found))
        for peer in plan.cheaters
        if peer.cheat is not None and peer.cheat.kind == TO_CLIENTS
    )


def wrongly_flagged(plan: Plan, found: Mapping[str, MeDocument]) -> list[str]:
    """A sentence for each honest peer that an honest node flags."""
    return [
        f"'me' of {node.name} flags {peer.name}, which answers honestly"
        for node in plan.askers
        for peer in plan.honest
        if (figures := _figures(found, node, peer)) is not None and figures.accused
    ]


def steps_of(plan: Plan) -> TestSteps:
    """The steps of the test over own audits, within a class."""
    return test_steps(plan.honest_ppm, plan.rules["cheat_ppm"], plan.rules["conviction_odds"])


def _predicted(plan: Plan, rate: float) -> tuple[float | None, int | None]:
    """The mean and the quantile. Each false answer differs in the digest of its logits, so each is found."""
    steps, chances = steps_of(plan), Chances(rate, 1 - rate)
    expected = mean_audits(steps, chances)
    return expected, None if expected is None else audits_for(steps, chances, CERTAINTY)


def _nodes(plan: Plan, peer: PeerPlan, found: Mapping[str, MeDocument]) -> tuple[NodeFlag, ...]:
    figures = [(node.name, _figures(found, node, peer)) for node in plan.askers]
    return tuple(
        NodeFlag(name, each.audits, each.wrong, each.accused_after) for name, each in figures if each is not None
    )


def _figures(found: Mapping[str, MeDocument], node: PeerPlan, peer: PeerPlan) -> OwnFigures | None:
    """The figures of a node about a peer that it has audited."""
    if node.name not in found:
        return None
    return next((each.figures for each in found[node.name].peers if each.peer_id == peer.peer_id), None)
