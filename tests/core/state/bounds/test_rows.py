"""Rows: what free keys cost, which row yields its place, and who comes back."""

from collections.abc import Mapping

import pytest

from p2pverify.core.replica.states import NEW_AUTHORS_MAX
from p2pverify.core.state import rows, view
from p2pverify.core.state.memory import NEAR_CUTS, memory_cuts
from p2pverify.core.state.rows import PLACE_CUTS, SEEN_STEP, SILENT_CUTS, TOMBSTONE_CUTS, WEIGHTLESS_MAX
from p2pverify.core.state.verdicts.notes import AuditNote
from p2pverify.core.state.view import view_root
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

NETWORK = make_network(seeds(4, "rows"))
FOUNDERS = NETWORK.founders
PLACES = 80
FORGOTTEN_AFTER = memory_cuts(NETWORK.params) + NEAR_CUTS


def founded() -> Steps:
    steps = Steps(NETWORK)
    for founder in FOUNDERS:
        steps.join(founder)
    steps.step()
    return steps


def weightless(steps: Steps) -> list[bytes]:
    return [peer for peer, member in steps.latest.members.items() if not member.was_weighted]


def crowd(steps: Steps, cuts: int, name: str = "crowd", *, per_cut: int = NEW_AUTHORS_MAX) -> None:
    """New keys join, as many as a cut takes in, and fall silent."""
    for _ in range(cuts):
        for number in range(per_cut):
            steps.join(key(f"{name} {steps.latest.index} {number}"))
        if per_cut > NEW_AUTHORS_MAX:
            steps.step()
        else:
            steps.certify(FOUNDERS[0], FOUNDERS)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """A smaller table without a free place. All of its rows are old."""
    monkeypatch.setattr(rows, "WEIGHTLESS_MAX", PLACES)
    steps = founded()
    crowd(steps, 1, per_cut=PLACES)
    steps.run(PLACE_CUTS)
    assert len(weightless(steps)) == PLACES
    return steps


@pytest.fixture(scope="module")
def after_days() -> Steps:
    """5 days of joins in epochs of a minute: 115,200 keys, 16 a cut.

    The table is filled in one step. Then the newest cuts are played, of which heads are still kept.
    """
    steps = founded()
    crowd(steps, 1, per_cut=WEIGHTLESS_MAX)
    steps.latest.index += 115_200 // NEW_AUTHORS_MAX - 120
    for member in steps.latest.members.values():
        member.seen_index = steps.latest.index
    crowd(steps, 120, "later")
    return steps


def test_days_of_joins_leave_a_table_and_some_heads(after_days: Steps) -> None:
    """Rows and heads stay bounded. The heads are those of the rows, and those of the last dropped authors."""
    state = after_days.latest
    assert len(weightless(after_days)) == WEIGHTLESS_MAX
    assert len(state.members) == WEIGHTLESS_MAX + len(FOUNDERS)
    assert len(state.dropped) <= NEW_AUTHORS_MAX * (FORGOTTEN_AFTER + 1)
    assert state.heads.keys() == state.members.keys() | state.dropped.keys()


def test_after_days_of_joins_a_cut_encodes_only_the_rows_that_changed(
    after_days: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of 16 newcomers and of the founders are encoded for the view root, not those of all 4,096 keys.

    The founders miss duties here. Silent keys without weight miss none, because their rows would change with every cut.
    """
    view_root(NETWORK, after_days.latest)
    encoded: list[bytes] = []
    row = view._Table.row
    monkeypatch.setattr(view._Table, "row", lambda table, peer: encoded.append(peer) or row(table, peer))
    crowd(after_days, 1, "last")
    view_root(NETWORK, after_days.latest)
    assert len(encoded) == NEW_AUTHORS_MAX + len(FOUNDERS)
    assert sum(member.missed_duties > 0 for member in after_days.latest.members.values()) == len(FOUNDERS)


def test_the_place_of_a_row_without_agreements_goes_to_the_newcomer(full: Steps) -> None:
    """A place that lasts costs agreements. Of rows that have equally few, the one that began first yields."""
    steps = full
    honest, *_, last = sorted(weightless(steps))
    for peer in weightless(steps):
        if peer != last:
            steps.latest.members[peer].agreements = 2
    steps.latest.members[honest].agreements = 3
    newcomer = key("newcomer")
    steps.join(newcomer)
    steps.step()
    assert last not in steps.latest.members
    assert {honest, newcomer} <= steps.latest.members.keys()
    assert len(weightless(steps)) == PLACES


def test_a_newcomer_has_some_time_to_earn_an_agreement(full: Steps) -> None:
    """A row that began less than 64 cuts ago yields to nobody, although it has no agreements."""
    steps = full
    for peer in weightless(steps):
        steps.latest.members[peer].agreements = 1
    newcomer = key("newcomer")
    steps.join(newcomer)
    steps.step()
    for cut in range(PLACE_CUTS):
        assert newcomer in steps.latest.members, cut
        steps.join(key(f"other {cut}"))
        steps.step()
    assert newcomer not in steps.latest.members


def test_leaving_and_joining_again_does_not_make_a_row_young(full: Steps) -> None:
    """Otherwise the keys of a full table could keep every newcomer out, without one answer."""
    steps = full
    for peer in weightless(steps):
        steps.leave(peer)
        steps.join(peer)
    steps.step()
    steps.join(key("newcomer"))
    steps.step()
    assert key("newcomer") in steps.latest.members


def test_keys_that_come_back_all_at_once_do_not_keep_newcomers_out(full: Steps) -> None:
    """Only the number of new keys of a cut is limited. So a row of a key that comes back is never young."""
    steps = full
    crowd(steps, 1, "second", per_cut=PLACES)
    steps.run(PLACE_CUTS)
    for peer in [peer for peer in steps.latest.dropped if peer not in steps.latest.members]:
        steps.join(peer)
    steps.step()
    assert len(weightless(steps)) == PLACES
    steps.join(key("newcomer"))
    steps.step()
    assert key("newcomer") in steps.latest.members


def test_a_join_without_a_place_leaves_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head is kept as long as that of a dropped author."""
    monkeypatch.setattr(rows, "WEIGHTLESS_MAX", PLACES)
    steps = founded()
    crowd(steps, 1, per_cut=PLACES + 1)
    (refused,) = steps.latest.heads.keys() - steps.latest.members.keys()
    steps.run(FORGOTTEN_AFTER)
    assert refused in steps.latest.heads
    steps.step()
    assert refused not in steps.latest.heads
    assert not steps.latest.dropped


def test_the_challenger_of_an_open_dispute_keeps_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "WEIGHTLESS_MAX", 2)
    steps = founded()
    disputing, other = sorted((key("a"), key("b")))
    for peer in (disputing, other):
        steps.join(peer)
    steps.run(1 + PLACE_CUTS)
    places = rows._Places(steps.latest)
    assert places._find()[-1] == disputing  # the lowest key would go first
    steps.latest.disputes[_Named(disputing)] = None  # type: ignore[index, assignment]
    assert places._find() == [other]


class _Named:
    """A dispute's key, of which only the challenger counts here."""

    def __init__(self, challenger: bytes) -> None:
        self.challenger = challenger


def test_a_silent_row_is_dropped_and_its_head_later() -> None:
    """The author comes back with a new join, in a new row."""
    steps = founded()
    peer = key("silent")
    steps.join(peer)
    steps.step()
    steps.latest.members[peer].agreements = 7
    steps.run(SILENT_CUTS)
    assert peer in steps.latest.members
    steps.step()
    assert peer not in steps.latest.members
    assert peer in steps.latest.heads
    steps.run(FORGOTTEN_AFTER)
    assert peer in steps.latest.heads
    steps.step()
    assert peer not in steps.latest.heads
    steps.join(peer)
    steps.step()
    assert steps.latest.members[peer].agreements == 0
    assert steps.latest.members[peer].active


def test_one_record_every_now_and_then_keeps_a_row() -> None:
    """The index of the newest record is noted only every 64 cuts, so a row changes seldom, but it is kept."""
    steps = founded()
    peer = key("rare")
    steps.join(peer)
    steps.step()
    steps.latest.index += SILENT_CUTS - SEEN_STEP
    before = steps.latest.members[peer]
    steps.sign(peer, bytes(32))
    steps.step()
    assert steps.latest.members[peer].seen_index == steps.latest.index
    assert steps.latest.members[peer] is not before
    unchanged = steps.latest.members[peer]
    for _ in range(SEEN_STEP - 1):
        steps.sign(peer, bytes(32))
        steps.step()
    assert steps.latest.members[peer] is unchanged
    steps.sign(peer, bytes(32))
    steps.step()
    assert steps.latest.members[peer] is not unchanged


def test_a_row_that_had_weight_once_lives_longer_and_a_convicted_key_stays_banned() -> None:
    """It cannot shed its conviction by silence: its later joins count for nothing, and their heads are forgotten."""
    steps = founded()
    convicted, other = FOUNDERS[:2]
    steps.latest.convict(convicted, "two audits for one slot")
    steps.leave(other)
    steps.run(2)
    state = steps.latest
    assert (state.members[convicted].weight, state.members[other].weight) == (0, 0)
    seen = state.members[other].seen_index
    state.members[convicted].seen_index = seen
    state.index = seen + TOMBSTONE_CUTS - 1
    steps.step()
    assert {convicted, other} <= steps.latest.members.keys()
    steps.step()
    assert not {convicted, other} & steps.latest.members.keys()
    assert steps.latest.banned == {convicted: "two audits for one slot"}
    assert convicted not in steps.latest.convicted
    steps.run(FORGOTTEN_AFTER + 1)
    for peer in (convicted, other):
        steps.join(peer)
    steps.step()
    assert convicted not in steps.latest.members
    assert steps.latest.members[other].active
    steps.run(FORGOTTEN_AFTER + 1)
    assert convicted not in steps.latest.heads


def test_weight_is_never_dropped() -> None:
    steps = founded()
    steps.latest.index += 2 * TOMBSTONE_CUTS
    steps.step()
    assert set(FOUNDERS) <= steps.latest.members.keys()


def test_a_pause_of_any_length_in_epochs_drops_nothing() -> None:
    """Rows, heads and proposals are forgotten by cuts. Nobody can make a cut while the network pauses."""
    steps = founded()
    steps.join(key("newcomer"))
    steps.propose(FOUNDERS[0])
    steps.step()
    before = steps.latest
    steps.step(epoch=before.epoch + 10**6)
    assert steps.latest.members.keys() == before.members.keys()
    assert steps.latest.heads == before.heads
    assert steps.latest.cuts.keys() == before.cuts.keys()


def test_many_rows_go_in_one_step_without_a_walk_for_each(full: Steps) -> None:
    """What the state holds of dropped rows is cleared once in a step, not once for each row."""
    steps = full
    audits = _Counted({(peer, 0): {} for peer in weightless(steps)})
    steps.latest.audits = audits
    state = steps.latest.successor(bytes(32), 1, dict(steps.latest.heads))
    state.audits = audits
    rows._clear(state, weightless(steps))
    assert audits.walks == 1
    assert not state.audits


class _Counted(dict[tuple[bytes, int], Mapping[int, AuditNote]]):
    """A dictionary that counts how often it is walked through."""

    walks = 0

    def items(self):
        self.walks += 1
        return super().items()
