"""The bounds of the small parts of a row, and of conflicts of keys that have not joined."""

from dataclasses import replace

import pytest

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import AskedPeer
from p2pverify.core.state import memory
from p2pverify.core.state.memory import (
    AUDITORS_MAX,
    CONTACTS_MAX,
    CREDITS_MAX,
    EARLY_CONFLICTS_MAX,
    FORKS_MAX,
    LOSSES_MAX,
    NEAR_CARRY,
    RECENT_IDS_MAX,
    memory_cuts,
)
from p2pverify.core.state.past.notes import id_at
from p2pverify.core.state.process import _test
from p2pverify.core.state.state import Contact, State, genesis
from p2pverify.core.state.transition import Frame, Transition, class_steps
from p2pverify.core.state.verdicts.duties import _count_contacts, credit
from tests.core.state.bounds.authors import audit_of, conflict_of, founded, network
from tests.support.steps import Steps, key

PEER = key("peer")
NETWORK = network(4)


def step_of(state: State) -> Transition:
    frame = Frame(lambda cuts: [None] * len(cuts))
    return Transition(NETWORK, NETWORK.id, genesis(NETWORK), state, frame, class_steps(NETWORK))


def state_of(*peers: bytes, **changes: object) -> State:
    """A state under construction with some active members without weight."""
    steps = founded(others=peers)
    state = steps.latest.successor(bytes(32), steps.latest.epoch + 1, steps.latest.heads)
    for peer in peers:
        state.change(peer, **changes)
    return state


# ------------------------------------------------------------ contacts and auditors


def test_the_contact_whose_audit_came_first_makes_room() -> None:
    """A challenger that asks again keeps its place, with its counts."""
    state = state_of(PEER)
    challengers = [key(f"challenger {number}") for number in range(CONTACTS_MAX + 1)]
    for number, challenger in enumerate(challengers[:-1]):
        state.index = 10 + number
        _ask(state, challenger)
    state.index += 1
    _ask(state, challengers[0])
    _ask(state, challengers[-1])
    contacts = state.members[PEER].contacts
    assert contacts.keys() == set(challengers) - {challengers[1]}
    assert contacts[challengers[0]].asked == 2
    assert contacts[challengers[-1]].asked == 1


def test_of_contacts_of_one_cut_the_lowest_key_makes_room() -> None:
    known = {key(f"{number}"): Contact(1, 1, since=5) for number in range(CONTACTS_MAX)}
    found = memory.with_contact(known, b"\xff" * 32, Contact(1, 1, since=5))
    assert known.keys() - found.keys() == {min(known)}


def _ask(state: State, challenger: bytes) -> None:
    asked = (AskedPeer(PEER, bytes(32), None),)
    _count_contacts(state, replace(audit_of(challenger, 1, 0), asked=asked))


def test_auditors_are_a_few() -> None:
    """The first ones stay. More are no longer told apart."""
    state = state_of(PEER)
    step = step_of(state)
    for number in range(AUDITORS_MAX + 30):
        step.agree(PEER, audit_of(key(f"challenger {number}"), 1, 0), is_long=False)
    member = state.members[PEER]
    assert member.agreements == AUDITORS_MAX + 30
    assert member.auditors == {key(f"challenger {number}") for number in range(AUDITORS_MAX)}


# ------------------------------------------------------------ credits


def test_credits_of_challengers_without_weight_make_room() -> None:
    """They lost their weight after they gave the credit. A third of all possible weight is room enough."""
    state = state_of(PEER)
    founder = NETWORK.founders[0]
    gone = frozenset(key(f"gone {number}") for number in range(CREDITS_MAX - 1))
    full = memory.with_credit(state, gone, founder)
    assert len(full) == CREDITS_MAX
    assert memory.with_credit(state, full, NETWORK.founders[1]) == set(NETWORK.founders[:2])


def test_more_credits_than_a_third_are_not_noted() -> None:
    state = state_of(*(key(f"{number}") for number in range(CREDITS_MAX + 1)), weight=1)
    known: frozenset[bytes] = frozenset()
    for number in range(CREDITS_MAX + 1):
        known = memory.with_credit(state, known, key(f"{number}"))
    assert len(known) == CREDITS_MAX


@pytest.mark.parametrize(("asker", "responder", "given"), [(1, 0, True), (0, 0, False), (1, 1, False)])
def test_only_weight_gives_credit_and_only_without_weight_one_gets_it(asker: int, responder: int, given: bool) -> None:
    challenger, peer, *others = (key(f"{number}") for number in range(4))
    state = state_of(challenger, peer, *others, weight=1)
    state.change(challenger, weight=asker)
    state.change(peer, weight=responder)
    credit(state, challenger, [challenger, peer, *others])
    assert bool(state.members[peer].credits) == given


# ------------------------------------------------------------ losses


def test_the_oldest_losses_are_forgotten_first_and_all_at_zero() -> None:
    state = state_of(PEER)
    step = step_of(state)
    for epoch in range(LOSSES_MAX + 4):
        step.dissent(PEER, audit_of(key("challenger"), epoch, 0), is_long=True)
    losses = state.members[PEER].losses
    assert [loss.dispute.epoch for loss in losses] == list(range(4, LOSSES_MAX + 4))
    assert state.members[PEER].dissents == LOSSES_MAX + 4
    step.evidence = {PEER: -(10**9)}
    _test(step)
    assert state.members[PEER].losses == ()


# ------------------------------------------------------------ forks and conflicts


def report(steps: Steps, accused: bytes, *seqs: int) -> None:
    for seq in seqs:
        steps.say(NETWORK.founders[0], Kind.CONFLICT, conflict_of(NETWORK.id, accused, seq))
    steps.step()


def test_the_lowest_forks_are_remembered() -> None:
    """A log that forks at every number is known by 16 of them, and each of them prolongs the penalty once."""
    steps = founded(others=[PEER])
    report(steps, PEER, *range(100, 140))
    assert steps.latest.members[PEER].forks == set(range(100, 100 + FORKS_MAX))
    report(steps, PEER, 7)
    member = steps.latest.members[PEER]
    assert member.forks == {7, *range(100, 99 + FORKS_MAX)}
    assert member.fork_until == steps.latest.epoch + NETWORK.params.fork_epochs
    assert steps.latest.is_forked(PEER, 10**6)
    assert not steps.latest.is_forked(PEER, 6)


def test_an_old_conflict_that_is_repeated_does_not_prolong_the_penalty() -> None:
    """Neither does one that was forgotten for lower ones."""
    steps = founded(others=[PEER])
    report(steps, PEER, *range(2, FORKS_MAX + 2))
    report(steps, PEER, 1)
    until, count = steps.latest.members[PEER].fork_until, steps.latest.totals["forks"]
    assert count == FORKS_MAX + 1
    steps.run(5)
    report(steps, PEER, *range(1, FORKS_MAX + 2))
    assert steps.latest.members[PEER].fork_until == until
    assert steps.latest.totals["forks"] == count


def test_the_newest_conflicts_of_keys_that_have_not_joined_are_remembered() -> None:
    """The newest ones count with the join. The others are forgotten first, and all with the memory."""
    steps = founded()
    for start in range(0, 2 * EARLY_CONFLICTS_MAX, 512):
        for number in range(start, start + 512):
            steps.say(NETWORK.founders[0], Kind.CONFLICT, conflict_of(NETWORK.id, key(f"{number}"), 3))
        steps.step()
    newest = {key(f"{number}") for number in range(EARLY_CONFLICTS_MAX, 2 * EARLY_CONFLICTS_MAX)}
    assert steps.latest.early_conflicts.keys() == newest
    for number in (0, 2 * EARLY_CONFLICTS_MAX - 1):
        steps.join(key(f"{number}"))
    steps.step()
    assert steps.latest.members[key("0")].forks == frozenset()
    assert steps.latest.members[key(f"{2 * EARLY_CONFLICTS_MAX - 1}")].forks == {3}
    steps.run(memory_cuts(NETWORK.params))
    assert not steps.latest.early_conflicts


def test_long_logs_swell_no_state() -> None:
    """Of each author and cut the newest ids are remembered, with their numbers."""
    steps = founded()
    author = steps.network.founders[0]
    for _ in range(RECENT_IDS_MAX + 5):
        steps.sign(author, bytes(32))
    waiting = [record.id for record in steps.waiting if record.author == author]
    last = steps.waiting[-1].seq
    state = steps.step()
    assert id_at(state.recent, author, last) == waiting[-1]
    assert id_at(state.recent, author, last - RECENT_IDS_MAX + 1) == waiting[-RECENT_IDS_MAX]
    assert id_at(state.recent, author, last - RECENT_IDS_MAX) is None
    for _ in range(NEAR_CARRY - 1):
        assert id_at(steps.latest.recent, author, last) == waiting[-1]
        steps.step()
    assert id_at(steps.latest.recent, author, last) is None
