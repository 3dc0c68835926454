"""Attacks on lines: late statements, members that hide behind versions, and publishers with bad thresholds."""

from dataclasses import replace

import pytest

from p2pverify.core.contract import sortition
from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.manifest import Calibration
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state.lines.take import referee_bounds
from p2pverify.core.state.lines.versions import Status, contract_at, is_behind, notes_of
from p2pverify.core.state.state import LOST_DISPUTES, Loss, State
from p2pverify.core.state.verdicts.notes import Panel
from p2pverify.core.state.verdicts.targets import make_panel
from p2pverify.core.state.weights import weighted_peers
from p2pverify.testnet.world.peer.engine import ACROSS
from tests.support.lines import NOTICE, OVERLAP, RECALL, LineStory, manifest_of, publishers_of, with_line
from tests.support.networks import MANIFEST, make_network, seeds

BETA = sha256(b"beta") * 2
INSIDE = sortition.Slot(0, solo=False, greedy=False, across=False, drawn_from=b"")
REFEREE = "toy-exact/1"


def panel_of(story: LineStory, member: int, *, across: bool = False) -> Panel:
    slot = replace(INSIDE, across=across)
    return make_panel(story.network, story.state, story.keys[member], BETA, slot)


def upgraded(count: int = 8, movers: int = 4) -> LineStory:
    """Half of the members have moved to version 1, which is current."""
    story = LineStory(count, panel_size=31)
    first = story.release(1)
    story.steps.run(NOTICE)
    for member in range(movers):
        story.serve(member, first)
    story.steps.step()
    return story


# ---------------------------------------------------------------- what was held back


def test_a_statement_that_was_held_back_begins_when_it_comes() -> None:
    """The epoch that its carrier claims has no part in it, so nobody shortens the notice."""
    early, late = LineStory(), LineStory()
    for each in (early, late):
        each.steps.run(10)
    early.release(1)
    late.release(1)
    header = late.steps.waiting[0].header
    late.steps.waiting[0] = replace(late.steps.waiting[0], header=replace(header, epoch=1))
    for each in (early, late):
        each.steps.step()
        assert each.statuses() == [Status.CURRENT, Status.ANNOUNCED]
        each.steps.run(NOTICE)
        assert each.statuses() == [Status.OVERLAP, Status.CURRENT]


def test_a_recall_that_was_held_back_is_refused_for_new_keys() -> None:
    """A statement of publishers that were replaced counts no more."""
    story = LineStory()
    story.release(1)
    story.steps.step()
    story.rotate(1, publishers_of((bytes([7]) * 32,), 1))
    story.steps.step()
    story.recall(1)
    story.steps.step()
    assert Status.RECALLED not in story.statuses()
    assert story.refusals("recall") == {"too few publishers signed": 1}


# ---------------------------------------------------------------- who is asked


def test_each_version_is_audited_by_its_own_members() -> None:
    """While two are served side by side, and each with its own manifest in the question."""
    story = upgraded()
    new, old = set(story.keys[:4]), set(story.keys[4:])
    for member in range(8):
        panel = panel_of(story, member)
        own = new if member < 4 else old
        assert set(panel.targets) == own - {story.keys[member]}
        manifest = panel.contract.classes[0].manifest
        assert manifest == (manifest_of(1).digest if member < 4 else MANIFEST.digest)


@pytest.mark.parametrize("is_recalled", [False, True])
def test_members_that_are_behind_are_not_drawn(is_recalled: bool) -> None:
    """They ask nobody, and nobody asks them. They lose neither weight nor standing."""
    story = upgraded()
    late = range(4) if is_recalled else range(4, 8)
    if is_recalled:
        story.recall(1)
        story.steps.run(RECALL + 1)
    else:
        story.steps.run(OVERLAP)
    for member, peer in enumerate(story.keys):
        panel = panel_of(story, member)
        assert is_behind(story.network, story.state, peer) == (member in late)
        assert bool(panel.targets) == (member not in late)
        assert not {story.keys[each] for each in late} & set(panel.targets)
    assert weighted_peers(story.state) == sorted(story.keys)
    assert not story.state.convicted


def test_a_new_version_washes_nothing_off() -> None:
    """The tests, the counts and the weight are the peer's, whatever it serves."""
    story = upgraded()
    peer, state = story.keys[5], story.state
    loss = Loss(DisputeKey(story.keys[0], 3, 0), 4_000)
    state.change(peer, agreements=9, dissents=3, disputes_lost=3, cusum=9_000, losses=(loss,), long_cusum=4_000)
    before = state.members[peer]
    story.serve(5, manifest_of(1).digest)
    after = story.steps.step()
    assert after.version_of(peer) == 1
    assert replace(after.members[peer], seen_index=before.seen_index) == before
    after.convict(peer, LOST_DISPUTES)
    story.serve(5, MANIFEST.digest)
    assert story.steps.step().version_of(peer) == 1
    assert story.refusals("serve") == {"author is no active member": 1}


def test_to_move_forth_and_back_is_no_way_out() -> None:
    """Whichever version a member serves at an anchor, it is a candidate of those that serve it, and they can vote."""
    story = upgraded()
    peer = story.keys[0]
    for number in (0, 1, 0):
        story.serve(0, manifest_of(1).digest if number else MANIFEST.digest)
        state: State = story.steps.step()
        others = [key for key in story.keys[1:] if state.version_of(key) == number]
        assert len(others) >= 3
        assert all(peer in state.candidates(other, (0,)) for other in others)
        assert peer in state.electorate((0,), 0) & state.electorate((0,), 1)


# ---------------------------------------------------------------- thresholds of publishers


def judged_network() -> Network:
    """Two classes that a referee judges across, and a line over their model."""
    return with_line(make_network(seeds(8), classes=2))


def calibration(numeric_path: str = "path 0", **changes: object) -> Calibration:
    bounds = replace(ACROSS, match_base=ACROSS.match_base // 2, honest_ppm=1)
    return replace(Calibration(REFEREE, "any", "toy", numeric_path, 400, 9_000, bounds, ACROSS.honest_ppm), **changes)  # type: ignore[arg-type]


def bounds_of(*found: Calibration) -> tuple[Across | None, ...]:
    return referee_bounds(judged_network(), 0, replace(MANIFEST, calibrations=found))


def test_a_version_has_the_thresholds_of_its_manifest_and_the_rate_of_its_class() -> None:
    """Only where the referee of the network measured them, class by class."""
    one, none = bounds_of(calibration())
    assert none is None
    assert one == replace(ACROSS, match_base=ACROSS.match_base // 2)
    assert bounds_of() == (None, None)
    assert bounds_of(calibration(judge_engine="another")) == (None, None)
    assert bounds_of(calibration(engine="another")) == (None, None)
    assert all(bounds_of(calibration(), calibration("path 1")))


def test_thresholds_that_convict_the_honest_do_not_count() -> None:
    """An alarm above the rate of the class: with these thresholds honest members would lose more often than allowed."""
    assert bounds_of(calibration(alarm_ppm=ACROSS.honest_ppm + 1)) == (None, None)
    unjudged = judged_network()
    unjudged = replace(unjudged, classes=tuple(replace(each, across=None) for each in unjudged.classes))
    assert referee_bounds(unjudged, 0, replace(MANIFEST, calibrations=(calibration(),))) == (None, None)


def test_a_version_without_thresholds_is_audited_within_its_class() -> None:
    """No slot asks other classes, however the draw falls; with thresholds of both classes it does."""
    for found, is_across in (((), False), ((calibration(), calibration("path 1")), True)):
        story = LineStory(8, classes=2, panel_size=31)
        for member in range(4, 8):
            story.move_to_class(member, 1)
        manifest = replace(manifest_of(1), calibrations=found)
        story.release(1, manifest=manifest.encode())
        story.steps.run(NOTICE)
        for member in range(8):
            story.serve(member, manifest.digest)
        state = story.steps.step()
        panel = panel_of(story, 0, across=True)
        assert (panel.is_across, set(panel.classes)) == (is_across, {1} if is_across else {0})
        contract = contract_at(story.network, state, 0, 1)
        assert (contract.classes[0].across is not None) == is_across
        assert contract.classes[0].honest_ppm == story.network.classes[0].honest_ppm
        assert notes_of(story.network, state, 0).versions[0].manifest == contract.classes[1].manifest
