"""Forks of a network: the state with which another network begins that goes on from a cut of this one.

Protocol page: protocol/fork.md. Epochs and indices go on, so nothing in a row is counted anew. Logs, and all that waits
for records of them, begin anew: a member joins before others ask it again.
"""

from collections.abc import Collection
from dataclasses import replace

from p2pverify.core.contract.network import Network, Origin
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.rules import carried
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import decode_state, encode_state, sections_of
from p2pverify.core.state.state import Loss, Member, State, genesis
from p2pverify.core.state.verdicts.objections import objectors_to, rests_on
from p2pverify.core.state.weights import loses_weight

#: The end of the suspension of a peer that was left behind.
FOR_GOOD = EPOCH_MAX
#: The parts of a state that are carried over.
CARRIED = frozenset(("members", "banned", "totals", "lines", "served"))


def fork(state: State, without: Collection[bytes] = (), away: Collection[bytes] = ()) -> State:
    """The first state of a network that goes on from a cut `without` some peers. `State.named` names it.

    Those peers keep their scores, and never have weight in that network, because they would buy a majority again. The
    weight of members that are `away` rests until they meet a duty. Weight that the next cut would take from others is
    gone too. Raises ValueError if no weight is left.
    """
    keep = frozenset(
        peer
        for peer, member in state.members.items()
        if member.weight and peer not in without and not loses_weight(member, state)
    )
    if not keep - set(away):
        raise ValueError("no member keeps its weight")
    rows = {peer: _without_log(_corrected(state, member, keep)) for peer, member in state.members.items()}
    for peer, row in rows.items():
        if row.weight and (peer not in keep or peer in away):
            row.weight, row.lost_weight_index = 0, state.index
        if peer in without:
            row.suspended_until = FOR_GOOD
        elif peer in keep and peer in away:
            row.rests_from = row.duties_met
    return State(
        id=bytes(32),
        epoch=state.epoch,
        index=state.index,
        beacon=state.beacon,
        heads={},
        path=(bytes(32),),
        members=rows,
        banned=dict(state.banned),
        lines=dict(state.lines),
        served=dict(state.served),
        books=carried(state.books),
        totals=dict(state.totals),
        admitted_epoch=state.admitted_epoch,
        sponsored_epoch=state.sponsored_epoch,
        rested_epoch=state.rested_epoch,
        convicted=state.convicted,
    )


def _corrected(state: State, member: Member, keep: frozenset[bytes]) -> Member:
    """A row without the losses to decisions that a member which keeps its weight objects to.

    No conviction is undone: whoever forks takes a cut before those that are contested.
    """
    gone = {loss.dispute for loss in rests_on(member) if objectors_to(state, loss.dispute) & keep}
    if not gone or member.is_convicted:
        return member
    cusum, losses = _without(member.cusum, member.losses, gone)
    long_cusum, long_losses = _without(member.long_cusum, member.long_losses, gone)
    dissents = len({loss.dispute for loss in (*member.losses, *member.long_losses)} & gone)
    return replace(
        member,
        cusum=cusum,
        losses=losses,
        long_cusum=long_cusum,
        long_losses=long_losses,
        capital=member.capital - sum(loss.up for loss in member.far if loss.dispute in gone),
        far=tuple(loss for loss in member.far if loss.dispute not in gone),
        dissents=member.dissents - dissents,
        disputes_lost=member.disputes_lost - dissents,
    )


def _without(value: int, losses: tuple[Loss, ...], gone: Collection[DisputeKey]) -> tuple[int, tuple[Loss, ...]]:
    """The value of a sequential test without some of its losses, and the losses that are left."""
    value = max(0, value - sum(loss.up for loss in losses if loss.dispute in gone))
    return value, tuple(loss for loss in losses if loss.dispute not in gone) if value else ()


def _without_log(member: Member) -> Member:
    """A row whose log has not begun. An active member is like a founder before its join, so it keeps its weight."""
    if not member.active:
        return replace(member, forks=frozenset(), successor=None)
    return replace(member, forks=frozenset(), active=False, joined_index=0)


def forked_network(network: Network, cut_id: bytes, start: State) -> Network:
    """The definition of the network that goes on from a cut of another one with the state `start`.

    `network` has the rules at that cut. Those are the rules with which the new network begins.
    """
    origin = Origin(network.id, cut_id, state_root(network.id, start))
    return replace(network, founders=(), origin=origin, first=None)


def read_start(network: Network, written: bytes) -> State:
    """The state with which a network begins, from its bytes. Raises DecodeError if it is not the origin's."""
    origin = network.origin
    if origin is None:
        raise DecodeError("this network begins with its founders, not with a state")
    found = decode_state(written)
    if (found.root, found.network_id) != (origin.state, origin.network):
        raise DecodeError("not the state that the network definition names")
    state = found.state
    if len(state.path) > 1 or any(
        getattr(state, s.field) for s in sections_of(origin.network) if s.field not in CARRIED
    ):
        raise DecodeError("a network cannot begin with open parts of another one")
    if any(member.active or member.class_index >= len(network.classes) for member in state.members.values()):
        raise DecodeError("a network begins with a row that is active or of no class")
    classes, lines = len(network.classes), len(network.lines)
    if any(
        line >= lines or any(len(version.bounds) > classes for version in notes.versions)
        for line, notes in state.lines.items()
    ):
        raise DecodeError("a network begins with versions of a model that has no line")
    if (state.books is None) != (network.tariff is None) or (state.books is not None and state.books.pledges):
        raise DecodeError("a network begins with accounts exactly if it has a tariff, and without pledges")
    if not state.total_weight:
        raise DecodeError("nobody has weight at the beginning")
    return state


def write_start(network: Network, start: State) -> bytes:
    """The bytes of the state with which a network begins; none if it begins with its founders."""
    return b"" if network.origin is None else encode_state(network.origin.network, start)


def first_state(network: Network, start: State | None = None) -> State:
    """The state before any record. A network with an origin needs the state `start` that the origin names."""
    if network.origin is None:
        return genesis(network)
    if start is None:
        raise ValueError("the state that the network begins with is missing")
    return start.named(network.id)
