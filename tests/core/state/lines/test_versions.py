"""Versions in the fold: their statuses, who may release and recall them, and who serves which."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.manifest import Calibration
from p2pverify.core.state.lines.take import VERSIONS_MAX
from p2pverify.core.state.lines.versions import (
    Status,
    contract_at,
    contract_of,
    contract_with,
    current_in,
    is_behind,
    is_tainted,
    notes_of,
)
from p2pverify.core.state.view import scores
from p2pverify.testnet.world.peer.engine import ACROSS
from tests.support.lines import NOTICE, OVERLAP, PUBLISHERS, RECALL, LineStory, manifest_of, publishers_of
from tests.support.networks import MANIFEST

ANNOUNCED, CURRENT, OVERLAPPING, RETIRED, RECALLED = Status


def test_a_version_starts_overlaps_and_ends_by_epochs() -> None:
    """Notice, then it is current and the one before is served beside it, then that one is retired."""
    story = LineStory()
    story.release(1)
    story.steps.step()
    seen = [tuple(story.statuses())]
    seen += [tuple(story.statuses()) for _ in range(NOTICE + OVERLAP) if story.steps.step()]
    assert seen == ([(CURRENT, ANNOUNCED)] * NOTICE + [(OVERLAPPING, CURRENT)] * OVERLAP + [(RETIRED, CURRENT)])


def test_a_recall_goes_back() -> None:
    """The version before is current at once, also if it was retired. A recalled one never returns."""
    story = LineStory()
    story.release(1)
    story.steps.run(NOTICE + OVERLAP + 2)
    assert story.statuses() == [RETIRED, CURRENT]
    story.recall(1)
    story.steps.step()
    assert story.statuses() == [CURRENT, RECALLED]
    story.release(2)
    story.steps.run(NOTICE + 1)
    story.release(1)
    story.steps.step()
    assert story.statuses() == [OVERLAPPING, RECALLED, CURRENT]
    assert story.refusals("release") == {"the number is taken": 1}


def test_a_recall_can_go_back_further() -> None:
    """With a version go all above the one to which the recall goes back."""
    story = LineStory()
    for number in (1, 2, 3):
        story.release(number)
        story.steps.run(NOTICE)
    story.recall(3, 1)
    story.steps.step()
    assert story.statuses() == [RETIRED, CURRENT, RECALLED, RECALLED]
    story.recall(1)
    story.recall(3, 2)
    story.steps.step()
    assert story.statuses()[:2] == [CURRENT, RECALLED]
    assert story.refusals("recall") == {"the version is recalled": 1}


@pytest.mark.parametrize(
    ("number", "by", "reason"),
    [
        (1, PUBLISHERS[:1], "too few publishers signed"),
        (1, [bytes([9]) * 32, bytes([8]) * 32], "too few publishers signed"),
        (2, PUBLISHERS[:2], "not the next number"),
    ],
)
def test_a_release_that_does_not_count(number: int, by: list[bytes], reason: str) -> None:
    """Strangers and one publisher of two release nothing, and no number is left out."""
    story = LineStory()
    story.release(number, by=by)
    story.steps.step()
    assert story.statuses() == [CURRENT]
    assert story.refusals("release") == {reason: 1}


def test_a_known_manifest_is_no_new_version() -> None:
    """The names of versions are manifests, so no two share one."""
    story = LineStory()
    story.release(1, manifest=MANIFEST.encode(), parents=(bytes(32),))
    story.steps.step()
    story.release(1)
    story.release(2, manifest=manifest_of(1).encode())
    story.steps.step()
    assert story.refusals("release") == {"the manifest is that of another version": 2}


def test_two_bodies_void_the_number_and_strike_the_keys() -> None:
    """In one cut neither counts. The next number is for those publishers that are left."""
    story = LineStory()
    story.release(1, body="one", author=1)
    story.release(1, body="other")
    story.steps.step()
    notes = notes_of(story.network, story.state, 0)
    assert (notes.versions, notes.newest) == ((), 1)
    assert notes.struck == set(publishers_of(PUBLISHERS[:2], 1).keys)
    story.release(2)
    story.steps.step()
    assert story.refusals("release") == {"too few publishers signed": 1}


def test_a_second_body_later_recalls_the_first() -> None:
    story = LineStory()
    story.release(1)
    story.steps.step()
    story.release(1, body="other")
    story.steps.step()
    assert story.statuses() == [CURRENT, RECALLED]


def test_the_thief_of_one_key_voids_nothing() -> None:
    """Its second body is one signature short. The key is struck, and the version stays."""
    for together in (True, False):
        story = LineStory()
        story.release(1)
        if not together:
            story.steps.step()
        story.release(1, by=PUBLISHERS[:1], body="of the thief", author=2)
        story.steps.step()
        assert story.statuses() == [CURRENT, ANNOUNCED]
        assert notes_of(story.network, story.state, 0).struck == set(publishers_of(PUBLISHERS[:1], 1).keys)
        story.release(2, by=PUBLISHERS[1:])
        story.steps.step()
        assert len(story.statuses()) == 3


def test_signatures_of_strangers_are_not_remembered() -> None:
    """Otherwise the records of one cut could fill a version's notes with keys that sign for nobody."""
    story = LineStory()
    for number in range(3):
        story.release(1, by=[*PUBLISHERS[:2], bytes([40 + number]) * 32], author=number)
    story.steps.step()
    (version,) = notes_of(story.network, story.state, 0).versions
    assert version.signers == set(publishers_of(PUBLISHERS[:2], 1).keys)


def test_members_recall_with_two_thirds_of_the_weight() -> None:
    """So a stolen threshold, or publishers that have vanished, can be answered. A member has one vote."""
    story = LineStory(6)
    story.release(1)
    story.steps.step()
    for member in (0, 1, 2):
        story.recall(1, by=(), author=member)
        story.recall(1, by=(), author=member)
    story.steps.step()
    assert story.statuses() == [CURRENT, ANNOUNCED]
    story.recall(1, by=(), author=3)
    story.steps.step()
    assert story.statuses() == [CURRENT, RECALLED]
    assert not notes_of(story.network, story.state, 0).votes


def test_publishers_hand_over() -> None:
    """The old threshold names the new keys. After that only the new ones release."""
    story = LineStory()
    new = [bytes([7]) * 32]
    story.rotate(2, publishers_of(new, 1))
    story.rotate(1, publishers_of(new, 1), by=PUBLISHERS[:1])
    story.steps.step()
    assert story.refusals("rotation") == {"not the next number": 1, "too few publishers signed": 1}
    story.rotate(1, publishers_of(new, 1))
    story.steps.step()
    story.release(1)
    story.release(1, by=new, body="of the new")
    story.steps.step()
    assert story.refusals("release") == {}
    (version,) = notes_of(story.network, story.state, 0).versions
    assert version.manifest == manifest_of(1, "of the new").digest


def test_members_move_when_a_version_is_current() -> None:
    """Not before and not to a retired one. The version that a member leaves stays noted."""
    story = LineStory()
    first = story.release(1)
    story.steps.step()
    story.serve(0, first)
    story.steps.step()
    assert story.refusals("serve") == {"the version is not current yet": 1}
    story.steps.run(NOTICE - 1)
    story.serve(0, first)
    story.serve(1, bytes(32))
    story.serve(2, MANIFEST.digest)
    story.steps.step()
    state = story.state
    assert [state.version_of(key) for key in story.keys] == [1, 0, 0, 0]
    assert state.serves_or_left(story.keys[0], 0)
    assert not state.serves_or_left(story.keys[1], 1)
    assert state.electorate((0,), 1) == {story.keys[0]}
    assert state.electorate((0,), 0) == set(story.keys)
    assert state.candidates(story.keys[1], (0,)) == sorted(story.keys[2:])
    assert contract_of(story.network, state, story.keys[0]).classes[0].manifest == first
    story.steps.run(OVERLAP)
    story.serve(0, MANIFEST.digest)
    story.steps.step()
    assert story.refusals("serve")["the version is retired"] == 1


def test_who_is_behind() -> None:
    """A member on a retired version at once; on a recalled one after its time to leave it."""
    story = LineStory()
    first = story.release(1)
    story.steps.run(NOTICE + 1)
    story.serve(0, first)
    story.steps.run(OVERLAP)

    def behind() -> list[bool]:
        return [is_behind(story.network, story.state, key) for key in story.keys[:2]]

    assert behind() == [False, True]
    assert [(score.version, score.is_behind) for score in scores(story.network, story.state)].count((0, True)) == 3
    story.recall(1)
    story.steps.step()
    assert behind() == [False, False]
    story.steps.run(RECALL - 1)
    assert behind() == [False, False]
    story.steps.step()
    assert behind() == [True, False]


def test_a_descendant_of_a_recalled_version_is_tainted() -> None:
    story = LineStory()
    parent = story.release(1)
    story.steps.step()
    child = story.release(2, parents=(parent,))
    story.steps.step()
    story.release(3, parents=(child,))
    story.release(4, body="apart")
    story.steps.step()
    story.recall(1)
    story.steps.step()
    notes = notes_of(story.network, story.state, 0)
    assert [is_tainted([notes], version) for version in notes.versions] == [False, True, True, False]


def test_a_version_has_a_contract_of_its_own() -> None:
    """It names the version's manifest, and has thresholds only where the manifest has a calibration."""
    story, bounds = LineStory(classes=2), replace(ACROSS, end_max=ACROSS.end_max + 1)
    measured = Calibration(story.network.referee, "exact", "toy", "path 1", 100, 64, bounds, 1)
    manifest = replace(manifest_of(1), calibrations=(measured,))
    story.release(1, manifest=manifest.encode())
    story.steps.run(NOTICE + 1)
    network, state = story.network, story.state
    found = contract_with(network, state, manifest.digest)
    assert found == contract_at(network, state, 1, 1)
    assert [kind.manifest for kind in found.classes] == [manifest.digest] * 2
    assert [kind.across for kind in found.classes] == [None, bounds]
    assert current_in(network, state, 0) == manifest.digest
    for other in (network.manifests[0], bytes(32)):
        assert contract_with(network, state, other) is network


def test_old_versions_are_forgotten() -> None:
    """A line remembers a bounded number of versions, and one that it forgot is retired."""
    story = LineStory()
    for number in range(1, VERSIONS_MAX + 3):
        story.release(number)
    story.steps.step()
    notes = notes_of(story.network, story.state, 0)
    assert [notes.versions[0].number, notes.versions[-1].number] == [3, VERSIONS_MAX + 2]


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_records_does_not_matter(dice: random.Random) -> None:
    """The records of one cut give the same state in every order."""
    found = set()
    for _ in range(2):
        story = LineStory()
        story.release(1)
        story.steps.run(NOTICE)
        for number, body in ((2, ""), (2, "other"), (3, ""), (4, "")):
            story.release(number, body=body, author=number % 3, by=PUBLISHERS[number % 2 :])
        story.recall(1, author=2)
        story.serve(3, manifest_of(1).digest)
        story.rotate(1, publishers_of(PUBLISHERS, 1))
        dice.shuffle(story.steps.waiting)
        state = story.steps.step()
        found.add(repr((sorted(state.lines.items()), sorted(state.served.items()), sorted(state.totals.items()))))
    assert len(found) == 1
