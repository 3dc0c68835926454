"""Forks of a network: what the first state of the new network takes along, and what it leaves behind."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import encode_state
from p2pverify.core.state.fork import first_state, fork, forked_network, read_start, write_start
from p2pverify.core.state.lines.versions import contract_of, notes_of
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import LOST_DISPUTES, Contact, Loss, State
from p2pverify.core.state.transition import class_steps
from p2pverify.core.state.view import scores, view_root
from p2pverify.core.state.weights import lacking, weighted_peers
from tests.support.lines import NOTICE, PUBLISHERS, LineStory, publishers_of
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

NETWORK = make_network(seeds(6, "fork"), growth_epochs=0)
ONE, TWO, THREE, LIAR, CONVICT, LEAVER = NETWORK.founders
NEWCOMER = key("newcomer")
UP = class_steps(NETWORK)[0].up
CUT = key("the cut")


def lost(number: int) -> DisputeKey:
    return DisputeKey(ONE, number, 0)


def told() -> State:
    """Six founders after some cuts: one is convicted, one has left, and a newcomer has earned nothing yet."""
    steps = Steps(NETWORK)
    for peer in (*NETWORK.founders, NEWCOMER):
        steps.join(peer)
    steps.run(4)
    state = steps.latest
    for peer in NETWORK.founders:
        state.change(peer, agreements=40, duties_met=4, slots_owed=4)
    state.convict(CONVICT, LOST_DISPUTES)
    steps.leave(LEAVER)
    return replace(steps.step(), id=CUT)


def begun(state: State, *without: bytes) -> tuple[Network, State]:
    """The network that goes on from a state, and its first state as other peers read it."""
    start = fork(state, without)
    network = forked_network(NETWORK, state.id, start)
    return decode_network(network.encode()), read_start(network, write_start(network, start))


def test_the_peers_that_are_left_behind_have_no_weight_and_the_others_keep_theirs() -> None:
    state = told()
    _, start = begun(state, LIAR)
    assert weighted_peers(start) == [ONE, TWO, THREE]
    assert not {LIAR, CONVICT, LEAVER} & set(weighted_peers(start))
    row = start.members[LIAR]
    assert (row.agreements, row.was_weighted, row.lost_weight_index) == (40, True, state.index)
    assert start.convicted == {CONVICT}
    assert start.members[CONVICT].conviction == LOST_DISPUTES


def test_epochs_and_indices_go_on_and_logs_begin_anew() -> None:
    state = told()
    state.change(TWO, forks=frozenset((3,)), fork_until=state.epoch + 9)
    network, start = begun(state, LIAR)
    assert (start.epoch, start.index, start.beacon) == (state.epoch, state.index, state.beacon)
    assert (start.heads, start.cuts, start.audits, start.signatures) == ({}, {}, {}, {})
    assert start.members[TWO].forks == frozenset()
    assert start.members[TWO].fork_until == state.epoch + 9
    assert not any(member.active for member in start.members.values())
    assert first_state(network, start).path == (network.id,)
    assert network.params == NETWORK.params


def test_a_member_that_joins_again_has_its_scores_and_is_asked_again() -> None:
    state = told()
    network, start = begun(state, LIAR)
    steps = Steps(network, start)
    for peer in (ONE, TWO, LIAR, NEWCOMER):
        steps.join(peer)
    latest = steps.step()
    found = {score.peer: score for score in scores(network, latest)}
    assert (found[ONE].standing, found[ONE].agreements, found[ONE].weight) == (Standing.TRUSTED, 40, 1)
    assert (found[LIAR].standing, found[LIAR].agreements, found[LIAR].weight) == (Standing.PROBATION, 40, 0)
    assert (found[THREE].standing, found[THREE].agreements, found[THREE].weight) == (Standing.NEWCOMER, 40, 1)
    assert found[LEAVER].standing == Standing.GONE
    assert found[CONVICT].standing == Standing.CONVICTED
    assert latest.candidates(THREE, (0,)) == sorted((ONE, TWO, LIAR, NEWCOMER))
    assert (latest.index, latest.epoch) == (state.index + 1, state.epoch + 1)


@pytest.mark.parametrize("way", ["fork_until", "suspended_until", "rests_from", ""])
def test_weight_that_was_left_behind_does_not_come_back(way: str) -> None:
    """Neither the weight of a founder after a penalty, nor of a sponsor, nor resting weight, nor earned weight.

    A newcomer that has earned the same is admitted, unless it was left behind too.
    """
    state = told()
    for each in (LIAR, NEWCOMER):
        earned = frozenset((ONE, TWO))
        state.change(each, credits=earned, duties_met=90, slots_owed=90, contacts={ONE: Contact(10, 10)})
    if way:
        state.change(LIAR, **{way: 0 if way == "rests_from" else state.epoch})
    for without, admitted in (((LIAR,), {NEWCOMER}), ((LIAR, NEWCOMER), set())):
        network, start = begun(state, *without)
        steps = Steps(network, start)
        for each in (ONE, TWO, LIAR, NEWCOMER):
            steps.join(each)
        steps.run(8)
        assert set(weighted_peers(steps.latest)) == {ONE, TWO, THREE} | admitted
    lacks = lacking(steps.latest, network.params, steps.latest.members[NEWCOMER], frozenset((ONE, TWO)))
    assert [each.what for each in lacks] == ["end of the penalty"]


def test_the_weight_of_members_that_are_away_rests_until_they_meet_a_duty() -> None:
    """They need not come along at once, and are not left behind."""
    state = told()
    start = fork(state, (LIAR,), (TWO, THREE, LEAVER, LIAR))
    assert weighted_peers(start) == [ONE]
    assert [start.members[peer].rests_from for peer in (ONE, TWO, LIAR, LEAVER)] == [-1, 4, -1, -1]
    network = forked_network(NETWORK, CUT, start)
    steps = Steps(network, start)
    for peer in (ONE, TWO, THREE, LIAR):
        steps.join(peer)
    steps.run(4)
    assert weighted_peers(steps.latest) == [ONE]
    steps.latest.change(TWO, duties_met=5)
    steps.run(2)
    assert set(weighted_peers(steps.latest)) == {ONE, TWO}
    with pytest.raises(ValueError, match="no member keeps its weight"):
        fork(state, (LIAR,), (ONE, TWO, THREE))


def test_who_has_left_or_is_convicted_keeps_no_weight() -> None:
    state = told()
    state.change(LEAVER, weight=1)
    state.change(CONVICT, weight=1)
    _, start = begun(state)
    assert weighted_peers(start) == [ONE, TWO, THREE, LIAR]


def test_without_anybodys_weight_there_is_no_fork() -> None:
    with pytest.raises(ValueError, match="no member keeps its weight"):
        fork(told(), NETWORK.founders)


# ---------------------------------------------------------------- contested losses


def contested(objectors: dict[int, frozenset[bytes]], *, losses: int = 3) -> State:
    """A founder has lost disputes; some members object to some of the decisions."""
    state = told()
    state.change(
        TWO,
        cusum=losses * UP + 100,
        losses=tuple(Loss(lost(number), UP) for number in range(losses)),
        dissents=losses + 1,
        disputes_lost=losses + 1,
    )
    state.contested = {lost(number): by for number, by in objectors.items()}
    return state


def test_losses_that_a_member_contests_are_taken_back() -> None:
    _, start = begun(contested({0: frozenset((ONE,)), 2: frozenset((ONE, LIAR))}), LIAR)
    row = start.members[TWO]
    assert (row.cusum, row.dissents, row.disputes_lost, row.losses) == (UP + 100, 2, 2, (Loss(lost(1), UP),))
    assert start.contested == {}


def test_only_members_that_keep_their_weight_take_losses_back() -> None:
    """Otherwise the peers that are left behind could clear each other."""
    state = contested({0: frozenset((LIAR,)), 1: frozenset((NEWCOMER,))})
    _, start = begun(state, LIAR)
    assert start.members[TWO] == replace(state.members[TWO], active=False, joined_index=0)


def test_a_test_without_losses_begins_anew() -> None:
    _, start = begun(contested({number: frozenset((ONE,)) for number in range(3)}), LIAR)
    assert (start.members[TWO].cusum, start.members[TWO].losses, start.members[TWO].dissents) == (100, (), 1)
    state = contested({0: frozenset((ONE,)), 1: frozenset((ONE,))})
    state.change(TWO, cusum=UP)
    row = fork(state, (LIAR,)).members[TWO]
    assert (row.cusum, row.losses, row.dissents) == (0, (), 2)


def test_losses_of_every_test_are_taken_back() -> None:
    """Of the pooled test and of the test over long answers as well, each by the steps of its own losses."""
    state = contested({0: frozenset((ONE,)), 7: frozenset((ONE,)), 8: frozenset((LIAR,))})
    long, far = (tuple(Loss(lost(number), 9_000 + number) for number in numbers) for numbers in ((0, 1, 7), (0, 7, 8)))
    state.change(TWO, long_cusum=30_000, long_losses=long, capital=40_000, far=far)
    row = fork(state, (LIAR,)).members[TWO]
    assert (row.long_cusum, row.long_losses) == (30_000 - 9_000 - 9_007, (long[1],))
    assert (row.capital, row.far) == (40_000 - 9_000 - 9_007, (far[2],))
    assert (row.cusum, row.losses) == (2 * UP + 100, (Loss(lost(1), UP), Loss(lost(2), UP)))
    # Loss 7 is no longer one of the test over all answers, and is a dissent all the same.
    assert (row.dissents, row.disputes_lost) == (2, 2)


def test_only_the_pooled_test_can_have_a_contested_answer() -> None:
    """An answer that is far off need not be a mismatch, so no dissent is taken back with it."""
    state = contested({5: frozenset((ONE,))})
    state.change(TWO, capital=-200, far=(Loss(lost(5), 1_600),))
    row = fork(state, (LIAR,)).members[TWO]
    assert (row.capital, row.far) == (-1_800, ())
    assert (row.dissents, row.cusum, len(row.losses)) == (4, 3 * UP + 100, 3)


def test_a_long_test_without_losses_begins_anew() -> None:
    state = contested({0: frozenset((ONE,))})
    state.change(TWO, long_cusum=500, long_losses=(Loss(lost(0), UP),))
    row = fork(state, (LIAR,)).members[TWO]
    assert (row.long_cusum, row.long_losses, row.dissents) == (0, (), 3)


def test_no_conviction_is_undone() -> None:
    state = contested({number: frozenset((ONE,)) for number in range(3)})
    state.convict(TWO, LOST_DISPUTES)
    row = fork(state, (LIAR,)).members[TWO]
    assert (row.is_convicted, row.dissents, row.weight) == (True, 4, 0)


# ---------------------------------------------------------------- the definition and the bytes


def test_equal_states_give_one_network_whatever_the_order() -> None:
    state = told()
    other = replace(state, members=dict(reversed(state.members.items())), totals=dict(reversed(state.totals.items())))
    one, two = begun(state, LIAR, NEWCOMER), begun(other, NEWCOMER, LIAR)
    assert one[0].id == two[0].id
    assert one[0].id != begun(state, LIAR, ONE)[0].id != NETWORK.id
    assert view_root(one[0], first_state(*one)) == view_root(two[0], first_state(*two))


def test_a_network_begins_only_with_its_own_state() -> None:
    state = told()
    network, start = begun(state, LIAR)
    other = write_start(network, fork(state))
    with pytest.raises(DecodeError, match="not the state that the network definition names"):
        read_start(network, other)
    with pytest.raises(DecodeError, match="not the state that the network definition names"):
        read_start(network, encode_state(NETWORK.id[::-1], start))
    with pytest.raises(DecodeError, match="truncated"):
        read_start(network, write_start(network, start)[:-1])
    with pytest.raises(DecodeError, match="begins with its founders"):
        read_start(NETWORK, other)
    with pytest.raises(ValueError, match="is missing"):
        Fold(network, Ledger())
    assert write_start(NETWORK, start) == b""
    assert first_state(NETWORK).members.keys() == set(NETWORK.founders)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"heads": {ONE: (ONE, 0, CUT)}}, "cannot begin with open parts"),
        ({"contested": {lost(1): frozenset((ONE,))}}, "cannot begin with open parts"),
        ({"path": (CUT, CUT)}, "cannot begin with open parts"),
        ({"active": True}, "a row that is active or of no class"),
        ({"class_index": 1}, "a row that is active or of no class"),
        ({"weight": 0}, "nobody has weight"),
    ],
)
def test_a_first_state_that_no_fork_makes_is_refused(change: dict, reason: str) -> None:
    """The root only says that a state is the one that was meant, not that a network can begin with it."""
    start = fork(told(), (ONE, TWO))
    for name, value in change.items():
        if name in {"heads", "contested", "path"}:
            setattr(start, name, value)
        else:
            for member in start.members.values():
                setattr(member, name, value)
    network = forked_network(NETWORK, CUT, start)
    assert network.origin.state == state_root(NETWORK.id, start)
    with pytest.raises(DecodeError, match=reason):
        read_start(network, write_start(network, start))


def test_a_definition_has_founders_or_an_origin() -> None:
    network, _ = begun(told())
    assert decode_network(network.encode()) == network
    assert network.founders == ()
    with pytest.raises(DecodeError, match="needs founders and a class"):
        decode_network(replace(network, origin=None).encode())


def test_versions_and_publishers_go_on() -> None:
    """A recall and a rotation stand, and a member still serves its version after it has joined again."""
    story = LineStory()
    first = story.release(1)
    story.steps.run(NOTICE)
    story.serve(0, first)
    story.release(2)
    story.steps.step()
    story.recall(2)
    story.rotate(1, publishers_of(PUBLISHERS[:1], 1))
    state = replace(story.steps.step(), id=CUT)
    start = fork(state)
    network = forked_network(story.network, CUT, start)
    steps = Steps(network, read_start(network, write_start(network, start)))
    steps.join(story.keys[0])
    read = steps.step()
    assert notes_of(network, read, 0) == notes_of(story.network, state, 0)
    assert read.version_of(story.keys[0]) == 1
    assert contract_of(network, read, story.keys[0]).classes[0].manifest == first


def test_versions_of_another_definition_are_refused() -> None:
    """The definition comes from the same stranger as the state, so they need not fit together."""
    story = LineStory(classes=2)
    story.release(1)
    start = fork(replace(story.steps.step(), id=CUT))
    made = forked_network(story.network, CUT, start)
    for network in (replace(made, lines=()), replace(made, classes=made.classes[:1])):
        with pytest.raises(DecodeError) as refused:
            read_start(network, write_start(made, start))
        assert refused.value.reason == "a network begins with versions of a model that has no line"
