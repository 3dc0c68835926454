"""Weight, 0 or 1: who may certify cuts and vote. It changes slowly, so that quorums of nearby cuts keep meeting."""

from p2pverify.core.canon import digest
from p2pverify.core.score import AVAILABILITY_TRUST_PPM, availability_ppm
from p2pverify.core.state import Member, State
from p2pverify.core.step import Step

ADMIT = "p2pverify/admit/1"
#: Nobody earns weight beside so many who have it: a cut must hold the heads of all who signed its base.
WEIGHTED_MAX = 512


def update(step: Step) -> None:
    """Take weight from the convicted and the forked, give it to one newcomer that earned it; all within the cap."""
    state, params = step.state, step.network.params
    left = params.weight_changes_per_cut
    losing = [
        (max(m.convicted_epoch, 0), peer)
        for peer, m in state.members.items()
        if m.weight and (m.is_convicted or state.epoch <= m.fork_until)
    ]
    for _, peer in sorted(losing)[:left]:
        state.change(peer, weight=0)
        left -= 1
    for peer, member in sorted(state.members.items()):
        if left and _regains(member, state.epoch):
            state.change(peer, weight=1)
            left -= 1
    if left and state.epoch >= state.admitted_epoch + params.admission_epochs:
        weighted = frozenset(peer for peer, m in state.members.items() if m.weight)
        earned = [peer for peer, m in state.members.items() if has_earned_weight(state, m, weighted)]
        if earned and len(weighted) < WEIGHTED_MAX:
            chosen = min(earned, key=lambda peer: digest([ADMIT, state.beacon, peer]))
            state.change(chosen, weight=1)
            state.admitted_epoch = state.epoch


def _regains(member: Member, epoch: int) -> bool:
    """A founder whose log forked gets its weight back after the penalty."""
    ended = member.fork_until >= 0 and epoch > member.fork_until
    return member.founder and not member.weight and ended and not member.is_convicted


def has_earned_weight(state: State, member: Member, weighted: frozenset[bytes]) -> bool:
    """Agreement with two other weighted members, by challengers of more than a third of the weight; duties met.

    `weighted` are the members with weight, which is 1 each.
    """
    if member.weight or not member.active or member.is_convicted or state.epoch <= member.fork_until:
        return False
    if 3 * len(member.credits & weighted) <= len(weighted):
        return False
    available = availability_ppm(member, weighted)
    if available is None or available < AVAILABILITY_TRUST_PPM:
        return False
    duties_due = state.index - member.joined_index - 4
    shown = member.slots_owed - member.no_shows
    return 10 * member.duties_met >= 9 * duties_due and 10 * shown >= 9 * member.slots_owed
