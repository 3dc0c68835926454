"""The pooled test in the fold: the capital of each peer after the judged answers of a step.

`inference.pooled` says why an honest peer is not convicted. Evidence against a peer counts only by a decision, and
evidence for it also on the word of a challenger with weight. So evidence against it comes later, which only helps it.
"""

from p2pverify.core.inference import pooled
from p2pverify.core.state.memory import FAR_MAX
from p2pverify.core.state.state import FAR_OFF, State
from p2pverify.core.state.transition import Transition


def take_bets(step: Transition) -> None:
    """Run the pooled test once per step and peer, so that the order inside a step does not matter."""
    if not step.bets:
        return
    state, threshold = step.state, pooled.threshold(step.network.params.conviction_odds)
    disputed = _disputed(state)
    for peer in sorted(step.bets):
        member, bets = state.members[peer], step.bets[peer]
        if member.conviction == FAR_OFF:
            continue  # its capital and its answers stay those of the conviction
        found = [bet.up for bet in bets]
        start = pooled.begin(member.capital, member.judged, found, is_disputed=peer in disputed)
        capital = start + sum(found)
        known = member.far if start == member.capital else ()
        far = (*known, *(bet for bet in bets if bet.up > 0))[-FAR_MAX:]
        state.change(peer, judged=member.judged + len(bets), capital=capital, far=far)
        if capital >= threshold:
            state.convict(peer, FAR_OFF)


def _disputed(state: State) -> set[bytes]:
    """The peers of which an answer is in a dispute across classes that has no effect yet."""
    return {
        asked.responder
        for dispute in state.disputes.values()
        if dispute.is_across and not dispute.has_effect
        for asked in dispute.audit.asked
    }
