"""Weight, 0 or 1: members with weight certify cuts and vote.

It changes slowly, so that the quorums of nearby cuts intersect.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import digest
from p2pverify.core.state.score import AVAILABILITY_TRUST_PPM, availability_ppm
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.transition import Transition

ADMIT = "p2pverify/admit/1"
#: The most members with weight, because a cut must hold the heads of all signers of its base.
WEIGHTED_MAX = 512
#: If fewer members than this have weight, agreement with one or two of them is easy. A newcomer must then also have
#: answered ANSWERS_MIN of their requests.
FEW_WEIGHTED = 3
ANSWERS_MIN = 10


def update(step: Transition) -> None:
    """Take weight from members that were convicted, forked or left; give it to one newcomer that earned it.

    All changes stay within `weight_changes_per_cut`. The last member with weight keeps it, because otherwise no cut
    could ever be certified again.
    """
    state, params = step.state, step.network.params
    left = params.weight_changes_per_cut
    before = [peer for peer, m in state.members.items() if m.weight]
    losing = sorted((max(m.convicted_epoch, 0), peer) for peer in before if _loses(m := state.members[peer], state))
    for _, peer in losing[: min(left, len(before) - 1)]:
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


def _loses(member: Member, state: State) -> bool:
    """Whether a member loses its weight. A founder that has not joined yet did not leave."""
    has_left = not member.active and member.joined_index > 0
    return member.is_convicted or state.epoch <= member.fork_until or has_left


def _regains(member: Member, epoch: int) -> bool:
    """Whether a founder regains weight: the penalty for its forked log is over, and it did not leave."""
    ended = member.fork_until >= 0 and epoch > member.fork_until
    return member.founder and member.active and not member.weight and ended and not member.is_convicted


@dataclass(frozen=True, slots=True)
class Lack:
    """A condition of weight that a member does not meet: it `has` less than it `needs`.

    `what` is "membership" or "no conviction" (0 of 1), "end of the fork's penalty" (epoch), "agreement" (challengers
    with weight that found it right), "answers" (to challengers with weight), "availability" (parts per million),
    "duties" (epochs) or "slots shown".
    """

    what: str
    has: int
    needs: int


def has_earned_weight(state: State, member: Member, weighted: frozenset[bytes]) -> bool:
    """Whether a member without weight lacks nothing. `weighted` are the members with weight (1 each)."""
    return not member.weight and not lacking(state, member, weighted)


def lacking(state: State, member: Member, weighted: frozenset[bytes]) -> tuple[Lack, ...]:
    """The conditions of weight that a member does not meet, such as agreement with more than a third of the weight.

    A peer that is not a member lacks membership first. A member that lacks nothing waits for its turn: see `update`.
    """
    if not member.active:
        return (Lack("membership", 0, 1),)
    duties_due = state.index - member.joined_index - 4
    answers_due = ANSWERS_MIN if len(weighted) < FEW_WEIGHTED else 0
    answers = sum(contact.answered for peer, contact in member.contacts.items() if peer in weighted)
    conditions = (
        Lack("no conviction", int(not member.is_convicted), 1),
        Lack("end of the fork's penalty", state.epoch, member.fork_until + 1),
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
