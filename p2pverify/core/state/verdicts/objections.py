"""Objections in the fold: members whose own result for a dispute differs from its decision.

An objection never frees or convicts the accused. It is shown beside a conviction that rests on the decision, and it is
an appeal against the decision of a committee.
"""

from collections.abc import Container
from dataclasses import replace

from p2pverify.core.contract.network import Network
from p2pverify.core.inference import pooled
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.objection import Objection, decode_objection
from p2pverify.core.state.state import FAR_OFF, LOST_DISPUTES, WRONG_WHEN_LONG, Loss, Member, State
from p2pverify.core.state.transition import Transition, class_steps
from p2pverify.core.state.verdicts import results
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.core.state.verdicts.targets import voting_classes

#: A committee's decision has its effect this many cuts after it, so that there is time for an appeal.
APPEAL_CUTS = 3


def take_objection(step: Transition, record: Record) -> None:
    """Note the result of a member. A second, different one for the same dispute convicts it."""
    state = step.state
    objection = decode_objection(record.payload)
    dispute = state.disputes.get(objection.dispute)
    if dispute is None:
        return
    known = dispute.objections.get(record.author)
    if known is not None:
        if known != objection.output:
            state.convict(record.author, "two objections to one decision")
        return
    refused = refuse_objection(step, dispute, record.author, objection)
    if refused is not None:
        state.count(f"objection: {refused}")
        return
    objections = {**dispute.objections, record.author: objection.output}
    state.disputes[dispute.key] = replace(dispute, objections=objections)
    state.count("objections")


def refuse_objection(step: Transition, dispute: Dispute, author: bytes, objection: Objection) -> str | None:
    """The reason why an objection is not counted, or None."""
    member = step.state.members.get(author)
    if member is None or not member.weight or member.is_convicted:
        return "author has no weight"
    own = step.state.members[dispute.key.challenger].class_index
    if member.class_index not in voting_classes(step.network, own, is_across=dispute.is_across):
        return "author is of another class"
    if dispute.is_report and author not in dispute.electorate:
        return "author has no seat"
    refused = results.refuse_certificate(step, dispute, objection.certificate)
    if refused is not None:
        return refused
    return results.refuse_result(step, dispute, objection.class_index, objection.output, objection.measures)


def objectors(dispute: Dispute) -> frozenset[bytes]:
    """The members whose result differs from the decision; none before the decision."""
    if dispute.decision is None:
        return frozenset()
    return frozenset(peer for peer, output in dispute.objections.items() if output != dispute.decision)


def is_appealed(state: State, dispute: Dispute) -> bool:
    """Whether objectors with more than a third of the electorate's weight appeal against a committee's decision."""
    if not dispute.round.is_committee or has_effect(dispute, state.index):
        return False
    return 3 * state.weight_of(objectors(dispute) & dispute.electorate) > state.weight_of(dispute.electorate)


def has_effect(dispute: Dispute, index: int) -> bool:
    """Whether a decision counts at a path index: at once if everybody voted, later if a committee decided."""
    if dispute.decision is None:
        return False
    return not dispute.round.is_committee or index - dispute.decided_index >= APPEAL_CUTS


def keep_contested(state: State, dispute: Dispute) -> None:
    """Keep the objectors to a dispute that closes, as long as a row rests on its decision."""
    found = objectors(dispute)
    if found:
        state.contested[dispute.key] = found


def forget_contested(state: State) -> None:
    """Forget the objectors to decisions on which no row rests any more."""
    if state.contested:
        named = {loss.dispute for member in state.members.values() for loss in rests_on(member)}
        state.contested = {key: found for key, found in state.contested.items() if key in named}


def contesting(network: Network, state: State, member: Member) -> list[bytes]:
    """The members that contest a conviction, sorted: without the decisions that they object to, it would not stand."""
    against: dict[bytes, set[DisputeKey]] = {}
    for loss in grounds(member):
        for peer in objectors_to(state, loss.dispute):
            against.setdefault(peer, set()).add(loss.dispute)
    return [peer for peer in sorted(against) if not stands_without(network, member, against[peer])]


def objectors_to(state: State, key: DisputeKey) -> frozenset[bytes]:
    """The objectors to the decision of a dispute that is open, or on which a row rests."""
    dispute = state.disputes.get(key)
    return state.contested.get(key, frozenset()) if dispute is None else objectors(dispute)


def rests_on(member: Member) -> tuple[Loss, ...]:
    """The disputed answers on which the values of a member's tests rest."""
    return (*member.losses, *member.long_losses, *member.far)


def grounds(member: Member) -> tuple[Loss, ...]:
    """The disputed answers on which the conviction of a member rests; none if it rests on no dispute."""
    by_test = {LOST_DISPUTES: member.losses, WRONG_WHEN_LONG: member.long_losses, FAR_OFF: member.far}
    return by_test.get(member.conviction, ())


def stands_without(network: Network, member: Member, disputes: Container[DisputeKey]) -> bool:
    """Whether the conviction of a member by a test would stand without some of its grounds.

    Without an answer the test's value is at least its value minus the answer's step. The accused has the benefit.
    """
    without = sum(loss.up for loss in grounds(member) if loss.dispute in disputes)
    if member.conviction == FAR_OFF:
        return member.capital - without >= pooled.threshold(network.params.conviction_odds)
    steps = class_steps(network)[member.class_index]
    if member.conviction == WRONG_WHEN_LONG:
        return member.long_cusum - without >= steps.long_threshold
    return member.cusum - without >= steps.threshold
