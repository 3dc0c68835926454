"""Sponsors: two members with weight can stand for a newcomer, which is then admitted sooner.

Their own weight is at stake: if the peer is convicted soon after its admission, its sponsors lose their weight for some
time. All periods follow from the contract's `growth_epochs`.
"""

from p2pverify.core.contract.network import Params
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.sponsor import decode_sponsor
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.transition import Transition

SPONSORS = 2
#: Shares of `growth_epochs`: between the admissions with sponsors, and as long as the sponsors answer for the peer.
SPACING_SHARE = ANSWERS_SHARE = 4
#: Shares of `growth_epochs`: between two peers that one member sponsors, and as long as a sponsor loses its weight.
TERM_SHARE = PENALTY_SHARE = 12


def share_of(params: Params, share: int) -> int:
    """A share of `growth_epochs`, in epochs, rounded up."""
    return -(-params.growth_epochs // share)


def needed(weighted: int) -> int:
    """How many sponsors a peer needs, by the number of members with weight."""
    return max(1, min(SPONSORS, weighted))


def take(step: Transition, record: Record) -> None:
    """Note a sponsor of a peer, if both may be: see `refuse`."""
    peer = decode_sponsor(record.payload).peer
    refused = refuse(step.state, step.network.params, record.author, peer)
    if refused is not None:
        step.state.count(f"sponsor: {refused}")
        return
    member = step.state.members[peer]
    step.state.change(peer, sponsors=member.sponsors | {record.author})
    step.state.change(record.author, sponsored_epoch=step.state.epoch)


def refuse(state: State, params: Params, author: bytes, peer: bytes) -> str | None:
    """Why a member cannot sponsor a peer, or None."""
    sponsor, member = state.members.get(author), state.members.get(peer)
    if not _has_weight(sponsor):
        return "author has no weight"
    assert sponsor is not None
    if sponsor.sponsored_epoch >= 0 and state.epoch < sponsor.sponsored_epoch + share_of(params, TERM_SHARE):
        return "author has sponsored another peer lately"
    if member is None or not member.active or member.weight or member.is_convicted:
        return "no newcomer"
    others = valid(state, member)
    if author in others or len(others) >= SPONSORS:
        return "it has sponsors"
    if not all(_are_apart(state, author, other) for other in others):
        return "sponsors vouched for each other"
    return None


def valid(state: State, member: Member) -> list[bytes]:
    """The sponsors of a peer that still have weight, sorted."""
    return [peer for peer in sorted(member.sponsors) if _has_weight(state.members.get(peer))]


def _has_weight(member: Member | None) -> bool:
    return member is not None and member.weight > 0 and not member.is_convicted


def _are_apart(state: State, one: bytes, other: bytes) -> bool:
    """Whether two members came in by different ways: neither sponsored the other, and nobody sponsored both."""
    first, second = state.members[one].sponsors, state.members[other].sponsors
    return one not in second and other not in first and not first & second


def punish(step: Transition) -> None:
    """Suspend the sponsors of peers that were convicted in this step, soon after their admission."""
    state, params = step.state, step.network.params
    until = state.epoch + share_of(params, PENALTY_SHARE)
    for peer in sorted(state.convicted - step.base.convicted):
        member = state.members[peer]
        if member.admitted_epoch >= 0 and state.epoch <= member.admitted_epoch + share_of(params, ANSWERS_SHARE):
            for sponsor in valid(state, member):
                state.change(sponsor, suspended_until=until)
