"""The conditions for weight, and the number of members with weight."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import digest
from p2pverify.core.records.payloads.cut import HEADS_MAX
from p2pverify.core.state.state import Contact, Member, State, genesis
from p2pverify.core.state.verdicts.duties import credit
from p2pverify.core.state.view_bytes import WEIGHTED_MAX
from p2pverify.core.state.weights import ADMIT, spacing, update
from tests.support.networks import make_network, seeds

NETWORK = make_network(seeds(1, "weights"))
NEWCOMER = b"\xff" * 32


def state_of(weighted: int, **changes: object) -> State:
    """A state with `weighted` members with weight, and one member that has earned it from all of them, except for
    `changes`."""
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    keys = [number.to_bytes(32, "big") for number in range(weighted)]
    state.members = {key: Member(active=True, weight=1) for key in keys}
    state.members[NEWCOMER] = Member(
        active=True,
        duties_met=1,
        slots_owed=1,
        credits=frozenset(keys),
        contacts={key: Contact(1, 1) for key in keys},
    )
    state.change(NEWCOMER, **changes)
    return state


def admitted(state: State, network: Network = NETWORK) -> bool:
    update(state, network.params)
    return state.members[NEWCOMER].weight == 1


def test_no_more_have_weight_than_whose_signatures_a_cut_can_hold() -> None:
    """The last place is given, and then no more. Two thirds of all signatures fit into a cut with room to spare."""
    assert admitted(state_of(WEIGHTED_MAX - 1))
    assert not admitted(state_of(WEIGHTED_MAX))
    assert WEIGHTED_MAX < HEADS_MAX


@pytest.mark.parametrize(
    ("changes", "earned"),
    [
        ({}, True),
        ({"credits": frozenset(number.to_bytes(32, "big") for number in range(4))}, True),
        ({"credits": frozenset(number.to_bytes(32, "big") for number in range(3))}, False),
        ({"credits": frozenset(b"\xee%31d" % number for number in range(9))}, False),
        ({"active": False}, False),
        ({"convicted_epoch": 3}, False),
        ({"fork_until": 20}, False),
        ({"fork_until": 19}, True),
        ({"no_shows": 1}, False),
        ({"contacts": {number.to_bytes(32, "big"): Contact(10, 8) for number in range(9)}}, False),
        ({"contacts": {number.to_bytes(32, "big"): Contact(10, 9) for number in range(9)}}, True),
    ],
)
def test_what_earns_weight(changes: dict[str, object], earned: bool) -> None:
    """It takes credits of more than a third of nine members with weight, availability, fulfilled slots, and no
    offence."""
    assert admitted(state_of(9, **changes)) == earned


def with_others(state: State, count: int) -> list[bytes]:
    """More newcomers that have earned weight like the first one."""
    keys = [bytes([0xFE, number]) + bytes(30) for number in range(count)]
    for key in keys:
        state.members[key] = replace(state.members[NEWCOMER])
    return [NEWCOMER, *keys]


def test_admissions_are_capped() -> None:
    """One newcomer is admitted at a time, drawn by the beacon from all that have earned it. The next follows after some
    epochs."""
    state = state_of(9)
    crowd = with_others(state, 5)
    admitted(state)
    first = [key for key in crowd if state.members[key].weight]
    assert first == [min(crowd, key=lambda key: digest([ADMIT, state.beacon, key]))]
    wait = spacing(NETWORK.params, 10)
    state.epoch += wait - 1
    admitted(state)
    assert [key for key in crowd if state.members[key].weight] == first
    state.epoch += 1
    admitted(state)
    assert sum(state.members[key].weight for key in crowd) == 2


def test_who_leaves_gives_weight_back() -> None:
    """One per cut gives it back, as the limit says, in the order of keys. A founder that has not joined yet keeps its
    weight."""
    state = state_of(9)
    gone = [(number).to_bytes(32, "big") for number in (2, 5)]
    for peer in gone:
        state.change(peer, active=False, joined_index=1)
    state.change((7).to_bytes(32, "big"), founder=True, active=False, joined_index=0)
    for expected in ([0, 1], [0, 0]):
        assert not admitted(state)
        assert [state.members[peer].weight for peer in gone] == expected
    assert admitted(state)
    assert sum(member.weight for member in state.members.values()) == 8


@pytest.mark.parametrize("how", [{"active": False}, {"convicted_epoch": 3}, {"fork_until": 30}])
def test_the_last_one_with_weight_keeps_it(how: dict[str, object]) -> None:
    """This holds for every offence, because without any weight no cut could be certified, or any could."""
    state = state_of(2, active=False)
    first, last = (number.to_bytes(32, "big") for number in range(2))
    for peer in (first, last):
        state.change(peer, joined_index=1, **how)
    for _ in range(3):
        admitted(state)
        assert (state.members[first].weight, state.members[last].weight) == (0, 1)


def test_a_founder_that_left_does_not_get_its_weight_back_with_the_end_of_a_penalty() -> None:
    """Weight that was taken for a fork comes back only to a member."""
    state = state_of(3, active=False)
    founder = (1).to_bytes(32, "big")
    state.change(founder, founder=True, weight=0, fork_until=19, joined_index=1, active=False)
    admitted(state)
    assert not state.members[founder].weight
    state.change(founder, active=True)
    admitted(state)
    assert state.members[founder].weight == 1


@pytest.mark.parametrize(
    ("weighted", "answers", "earned"), [(1, 9, False), (1, 10, True), (2, 4, False), (2, 5, True), (3, 1, True)]
)
def test_while_few_have_weight_ten_answers_are_needed(weighted: int, answers: int, earned: bool) -> None:
    """The total of answers to members with weight counts. Answers to others do not count."""
    keys = [number.to_bytes(32, "big") for number in range(weighted)]
    contacts = {key: Contact(answers, answers) for key in keys} | {bytes([9] * 32): Contact(99, 99)}
    assert admitted(state_of(weighted, contacts=contacts)) == earned


@pytest.mark.parametrize(
    ("weighted", "same", "credited"),
    [
        ("f", "fx", "x"),  # a lone founder vouches
        ("f", "xy", ""),  # only members without weight agree
        ("fg", "fx", ""),  # the other founder could have disagreed
        ("fg", "fgx", "x"),
        ("fg", "fg", ""),  # who has weight needs no credit
        ("gh", "ghx", ""),  # the challenger has no weight
        ("fgh", "fgx", "x"),
        ("fgh", "fxy", ""),
    ],
)
def test_credit_needs_two_others_or_all_that_there_are(weighted: str, same: str, credited: str) -> None:
    """The peers in `same` gave one answer in a slot of the founder f. Letters name the peers."""
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    state.members = {name.encode(): Member(active=True, weight=int(name in weighted)) for name in "fghxy"}
    credit(state, b"f", [name.encode() for name in same])
    assert "".join(peer.decode() for peer, m in sorted(state.members.items()) if b"f" in m.credits) == credited


def test_across_classes_only_a_right_answer_gets_credit() -> None:
    """The voters f, g and h found the same verdict, and x gave the answer that they call right."""
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    state.members = {name.encode(): Member(active=True, weight=int(name in "fgh")) for name in "fghxy"}
    credit(state, b"f", [name.encode() for name in "fghy"], [b"x"])
    assert [peer for peer, m in sorted(state.members.items()) if m.credits] == [b"x"]


def test_taking_weight_comes_before_giving_it() -> None:
    """If a cut may change one weight, a convicted member's weight goes first."""
    state = state_of(9)
    convicted = (3).to_bytes(32, "big")
    state.change(convicted, convicted_epoch=19)
    assert NETWORK.params.weight_changes_per_cut == 1
    assert not admitted(state)
    assert not state.members[convicted].weight
    assert admitted(state)
