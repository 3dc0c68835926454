"""The number of disputes that one cut opens, and the number in which one peer can take part."""

from dataclasses import replace

from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.inference.compare import Measures
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Frame, Transition, class_steps
from p2pverify.core.state.verdicts import disputes
from tests.support.across import BAD, CUT_EPOCH, Slotted, Story

MEMBERS = "aaabbb" * 5


def slots(story: Story, count: int, *, apart: bool) -> list[Slotted]:
    """One slot for each of some challengers. With `apart`, no peer takes part in two of them."""
    found: list[Slotted] = []
    seen: set[bytes] = set()
    for seed in story.seeds:
        for slotted in story.slots(seed):
            parties = {public_key(seed), *slotted.panel.targets}
            if slotted.panel.targets and not (apart and parties & seen) and len(found) < count:
                found.append(slotted)
                seen |= parties
                break
    assert len(found) == count
    return found


def open_all(story: Story, chosen: list[Slotted]) -> State:
    """Dispute all of them in one cut."""
    for slotted in chosen:
        measures: Measures = (BAD,) * len(slotted.panel.targets)
        story.publish(story.audit(slotted, measures, differ=True))
    return story.cut(CUT_EPOCH + 2)


def test_a_cut_opens_so_many() -> None:
    """Of six disputes without a common peer, a cut opens as many as the contract says. The others lapse."""
    story = Story(MEMBERS, panel_size=1, disputes_per_cut=4)
    state = open_all(story, slots(story, 6, apart=True))
    assert (len(state.disputes), state.totals["disputes"], state.totals["lapsed disputes"]) == (4, 4, 2)


def test_which_open_is_nobodys_choice() -> None:
    """The disputes with the lowest digests of their names open."""
    story = Story(MEMBERS, panel_size=1, disputes_per_cut=2)
    chosen = slots(story, 6, apart=True)
    ranked = sorted((story.audit(each, (BAD,)) for each in chosen), key=disputes.rank)
    assert set(open_all(story, chosen).disputes) == {audit.key for audit in ranked[:2]}


def test_nobody_is_in_two_that_open_at_once() -> None:
    """Six challengers ask one another. No two of the opened disputes have a common peer."""
    story = Story("aaabbb", panel_size=2, disputes_per_cut=64)
    state = open_all(story, slots(story, 6, apart=False))
    parties = [dispute.audit.parties for dispute in state.disputes.values()]
    assert 1 <= len(parties) <= 3
    assert sum(len(each) for each in parties) == len(set().union(*parties))
    assert state.totals["lapsed disputes"] == 6 - len(parties)


def test_who_could_lose_all_of_it_is_left_alone() -> None:
    """A peer whose open disputes would convict it takes part in no further dispute until some are old."""
    story = Story("ab" * 4, panel_size=1, disputes_per_cut=64)
    state = open_all(story, slots(story, 4, apart=True))
    (first, *_) = (state.disputes[key] for key in sorted(state.disputes, key=lambda k: k.sort_key()))
    accused = next(iter(first.audit.parties - {first.audit.challenger}))
    following = state.successor(bytes(32), state.epoch + 1, state.heads)
    frame = Frame(lambda cuts: [None] * len(cuts))
    step = Transition(story.network, story.network.id, state, following, frame, class_steps(story.network))
    assert accused not in disputes.saturated(step)
    up = disputes._stakes(step, first.audit)[accused]
    threshold = step.steps[step.state.members[accused].class_index].threshold
    step.state.change(accused, cusum=threshold - up - 1)
    assert accused not in disputes.saturated(step)
    step.state.change(accused, cusum=threshold - up)
    assert accused in disputes.saturated(step)
    step.state.index = first.round.began_index + disputes.PENDING_CUTS + 1
    assert accused not in disputes.saturated(step)
    moved = replace(first, round=replace(first.round, stage=EVERYONE, began_index=step.state.index))
    step.state.disputes[first.key] = moved
    assert accused in disputes.saturated(step)
