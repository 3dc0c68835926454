"""Weight, 0 or 1: members with weight certify cuts and vote.

It changes slowly, so that the quorums of nearby cuts intersect, and so that nobody can buy a majority in a short time.
A cut changes weight only by what its base shows. So all cuts on one base change it alike, and the quorums on top of
these cuts intersect like those on top of one cut.
"""

from dataclasses import dataclass

from p2pverify.core.contract.network import Params
from p2pverify.core.encoding.canon import digest
from p2pverify.core.state import sponsors
from p2pverify.core.state.score import AVAILABILITY_TRUST_PPM, availability_ppm
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.view_bytes import WEIGHTED_MAX

ADMIT = "p2pverify/admit/1"
#: If fewer members than this have weight, agreement with one or two of them is easy. A newcomer must then also have
#: answered ANSWERS_MIN of their requests.
FEW_WEIGHTED = 3
ANSWERS_MIN = 10


def spacing(params: Params, weighted: int, *, share: int = 1) -> int:
    """Epochs between two admissions: ceil(growth_epochs / share / weighted).

    So the weight of all grows at most by the factor e in `growth_epochs` (or in a `share` of it), whatever is spent.
    """
    return sponsors.share_of(params, share * max(1, weighted))


def update(state: State, params: Params) -> None:
    """Take weight from members that lost it, give it back, put silent weight to rest, and admit newcomers.

    The state is the beginning of a step: it has the members, the epoch and the beacon of the base. All changes stay
    within `weight_changes_per_cut`. The last member with weight keeps it, because otherwise no cut could ever be
    certified again.
    """
    left = params.weight_changes_per_cut
    for change in (_lose, _regain, _rest, _admit):
        left -= change(state, params, left)


def weighted_peers(state: State) -> list[bytes]:
    """The peers with weight."""
    return [peer for peer, member in state.members.items() if member.weight]


def _lose(state: State, _params: Params, left: int) -> int:
    before = weighted_peers(state)
    losing = sorted(
        (max(m.convicted_epoch, 0), peer) for peer in before if loses_weight(m := state.members[peer], state)
    )
    taken = losing[: min(left, len(before) - 1)]
    for _, peer in taken:
        state.change(peer, weight=0, lost_weight_index=state.index)
    return len(taken)


def loses_weight(member: Member, state: State) -> bool:
    """Whether a member loses its weight. A founder that has not joined yet did not leave."""
    has_left = not member.active and member.joined_index > 0
    return member.is_convicted or state.epoch <= max(member.fork_until, member.suspended_until) or has_left


def _regain(state: State, _params: Params, left: int) -> int:
    """Give weight back after a penalty: to founders whose log forked, and to sponsors."""
    back = [peer for peer, member in sorted(state.members.items()) if _regains(member, state.epoch)][:left]
    for peer in back:
        _give(state, peer, suspended_until=-1)
    return len(back)


def _regains(member: Member, epoch: int) -> bool:
    if not _may_have_weight(member, epoch):
        return False
    return member.suspended_until >= 0 or (member.founder and member.fork_until >= 0 and member.rests_from < 0)


def _may_have_weight(member: Member, epoch: int) -> bool:
    """Whether a member without weight is active and under no penalty."""
    is_punished = member.is_convicted or epoch <= max(member.fork_until, member.suspended_until)
    return member.active and not member.weight and not is_punished


def _give(state: State, peer: bytes, **changes: object) -> None:
    state.change(peer, weight=1, credits=frozenset(), rests_from=-1, **changes)


def _rest(state: State, params: Params, left: int) -> int:
    """Put the weight of one silent member to rest, or end the rest of one that met a duty again.

    Both go at the pace of admissions, so that quorums change slowly.
    """
    weighted = weighted_peers(state)
    if not left or state.epoch < state.rested_epoch + spacing(params, len(weighted)):
        return 0
    members = state.members
    back = [peer for peer, m in members.items() if _ends_rest(m, state.epoch)]
    silent = [peer for peer in weighted if state.index - members[peer].seen_index >= params.rest_epochs]
    if back and len(weighted) < WEIGHTED_MAX:
        _give(state, min(back, key=lambda peer: (members[peer].lost_weight_index, peer)))
    elif silent and len(weighted) > 1:
        peer = min(silent, key=lambda peer: (members[peer].seen_index, peer))
        state.change(peer, weight=0, lost_weight_index=state.index, rests_from=members[peer].duties_met)
    else:
        return 0
    state.rested_epoch = state.epoch
    return 1


def _ends_rest(member: Member, epoch: int) -> bool:
    return 0 <= member.rests_from < member.duties_met and _may_have_weight(member, epoch)


def _admit(state: State, params: Params, left: int) -> int:
    """Admit one newcomer that has earned weight, if it is time: anybody, or more often a peer with sponsors."""
    weighted = frozenset(weighted_peers(state))
    is_open = state.epoch >= state.admitted_epoch + spacing(params, len(weighted))
    is_open_to_sponsored = state.epoch >= state.sponsored_epoch + spacing(
        params, len(weighted), share=sponsors.SPACING_SHARE
    )
    if not left or len(weighted) >= WEIGHTED_MAX or not (is_open or is_open_to_sponsored):
        return 0
    earned = [peer for peer, m in state.members.items() if has_earned_weight(state, params, m, weighted)]
    if not is_open:
        earned = [peer for peer in earned if is_sponsored(state, state.members[peer], len(weighted))]
    if not earned:
        return 0
    _give(state, min(earned, key=lambda peer: digest([ADMIT, state.beacon, peer])), admitted_epoch=state.epoch)
    if is_open:
        state.admitted_epoch = state.epoch
    else:
        state.sponsored_epoch = state.epoch
    return 1


def is_sponsored(state: State, member: Member, weighted: int) -> bool:
    """Whether a peer has enough sponsors. `weighted` is the number of members with weight."""
    return len(sponsors.valid(state, member)) >= sponsors.needed(weighted)


@dataclass(frozen=True, slots=True)
class Lack:
    """A condition of weight that a member does not meet: it `has` less than it `needs`.

    `what` is "membership" or "no conviction" (0 of 1), "end of the penalty" (epoch), "agreement" (challengers
    with weight that found it right), "answers" (to challengers with weight), "availability" (parts per million),
    "duties" (epochs), "slots shown" or "end of rest" (duties met).
    """

    what: str
    has: int
    needs: int


def has_earned_weight(state: State, params: Params, member: Member, weighted: frozenset[bytes]) -> bool:
    """Whether a member without weight lacks nothing. `weighted` are the members with weight (1 each).

    Credits are looked at first, because thousands of rows have none.
    """
    if member.weight or len(member.credits) <= len(weighted) // 3:
        return False
    return not lacking(state, params, member, weighted)


def lacking(state: State, params: Params, member: Member, weighted: frozenset[bytes]) -> tuple[Lack, ...]:
    """The conditions of weight that a member does not meet, such as agreement with more than a third of the weight.

    A peer that is not a member lacks membership first. A member that lacks nothing waits for its turn: see `update`.
    """
    if not member.active:
        return (Lack("membership", 0, 1),)
    if member.rests_from >= 0:
        return (Lack("end of rest", member.duties_met, member.rests_from + 1),)
    young = 3 + params.period_max  # epochs whose duty need not have counted yet
    duties_due = max(state.index - member.joined_index - young, params.tenure_epochs)
    answers_due = ANSWERS_MIN if len(weighted) < FEW_WEIGHTED else 0
    answers = sum(contact.answered for peer, contact in member.contacts.items() if peer in weighted)
    penalty_until = max(member.fork_until, member.suspended_until)
    conditions = (
        Lack("no conviction", int(not member.is_convicted), 1),
        Lack("end of the penalty", state.epoch, penalty_until + 1),
        Lack("agreement", len(member.credits & weighted), len(weighted) // 3 + 1),
        Lack("answers", answers, answers_due),
        Lack("availability", availability_ppm(member, weighted) or 0, AVAILABILITY_TRUST_PPM),
        Lack("duties", member.duties_met, _nine_tenths(duties_due)),
        Lack("slots shown", member.slots_owed - member.no_shows, _nine_tenths(member.slots_owed)),
    )
    return tuple(each for each in conditions if each.has < each.needs)


def _nine_tenths(number: int) -> int:
    """Nine tenths of a number, rounded up."""
    return -(-9 * number // 10)
