"""Forecasts for a member: the next cut, its first score, and its turn to get weight. Nothing here decides anything."""

from dataclasses import dataclass

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.roles.cut_maker import cut_due_ms
from p2pverify.core.state.lines.versions import contract_of, is_behind
from p2pverify.core.state.sponsors import SPACING_SHARE
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.verdicts.targets import compared_classes, judged_classes
from p2pverify.core.state.weights import Lack, has_earned_weight, is_sponsored, lacking, spacing


@dataclass(frozen=True, slots=True)
class Prospect:
    """A member's way to weight.

    `lacks` are the conditions that it does not fulfil. `turn_epoch` is the earliest epoch whose cut gives the next peer
    weight. `earned` is the number of peers that have earned weight and wait for their turn.
    """

    lacks: tuple[Lack, ...]
    turn_epoch: int
    earned: int


def next_cut(params: Params, latest: State, now_ms: int) -> tuple[int, int]:
    """The epoch of the next cut, and the Unix ms from which it may be proposed (in the past if the cut is overdue)."""
    epoch = max(0, params.epoch_at(now_ms))
    if latest.index > 0:
        epoch = max(epoch, latest.epoch + 1)
    return epoch, cut_due_ms(params, epoch)


def first_score_epoch(network: Network, latest: State, key: bytes, class_index: int, now_ms: int) -> int | None:
    """The epoch whose cut should hold a peer's first score; None while no other member could ask a peer of its class.

    Members ask only peers that serve their own version of a model. A peer joins with the first one.

    A draw takes the members of an earlier cut, and an answer counts in a cut of the next epoch. A peer that is asked
    less than once in an epoch waits longer. With `audits_per_epoch` the audits of a period count after it.
    """
    params = network.params
    coming = next_cut(params, latest, now_ms)[0]
    number = latest.version_of(key)
    others = (peer for peer in latest.members if peer != key and latest.version_of(peer) == number)
    if not any(_may_ask(network, latest, other, class_index) for other in others):
        return None
    member = latest.members.get(key)
    joined = member.joined_epoch if member is not None and member.active else coming
    members = max(1, latest.active_count)
    owed_milli = min(params.slots_milli, 1000 * params.audits_per_epoch // members or params.slots_milli)
    asked_milli = owed_milli * (1 + params.panel_size) // 2  # per peer and epoch; half the slots are solo
    wait = -(-1000 // max(1, asked_milli)) + sortition.longest_period(members, params) - 1
    return max(joined + params.anchor_lag + wait, coming)


def _may_ask(network: Network, latest: State, peer: bytes, class_index: int) -> bool:
    """Whether a member could ask peers of a class that serve its version."""
    asker = latest.members[peer]
    if not asker.active or asker.is_convicted or is_behind(network, latest, peer):
        return False
    own, contract = asker.class_index, contract_of(network, latest, peer)
    return class_index in (*compared_classes(contract, own), *judged_classes(contract, own))


def prospect(params: Params, latest: State, key: bytes, now_ms: int) -> Prospect | None:
    """A peer's way to weight by the newest final state; None if it has weight."""
    member = latest.members.get(key, Member())
    if member.weight:
        return None
    weighted = frozenset(peer for peer, m in latest.members.items() if m.weight)
    earned = sum(has_earned_weight(latest, params, m, weighted) for m in latest.members.values())
    turn = latest.admitted_epoch + spacing(params, len(weighted))
    if is_sponsored(latest, member, len(weighted)):
        turn = min(turn, latest.sponsored_epoch + spacing(params, len(weighted), share=SPACING_SHARE))
    turn = max(turn, next_cut(params, latest, now_ms)[0])
    return Prospect(lacking(latest, params, member, weighted), turn, earned)
