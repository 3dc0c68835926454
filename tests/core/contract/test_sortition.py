"""The draw is a function of the VRF output alone, and it is fair on average."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import PARAM_BOUNDS, Params
from p2pverify.core.encoding.canon import sha256
from tests.support.networks import LOWEST

PARAMS = replace(
    Params(**LOWEST),
    slots_milli=2500,
    panel_size=3,
    greedy_percent=25,
    across_percent=30,
)
CROWD = tuple(sorted(sha256(bytes([number])) for number in range(30)))

SLOTS_MILLI = next((low, high) for name, low, high in PARAM_BOUNDS if name == "slots_milli")
betas = st.binary(min_size=64, max_size=64)


def _betas(count: int) -> list[bytes]:
    return [sha256(number.to_bytes(4, "big")) * 2 for number in range(count)]


@given(betas, st.permutations(CROWD))
@settings(deadline=None, max_examples=50)
def test_order_of_candidates_is_irrelevant(beta: bytes, shuffled: list[bytes]) -> None:
    """The targets are distinct candidates, as many as the slot asks. The order of the candidates has no effect."""
    for slot in sortition.slots(beta, PARAMS):
        found = sortition.targets(beta, slot, shuffled, PARAMS)
        assert found == sortition.targets(beta, slot, CROWD, PARAMS)
        assert len(set(found)) == len(found) == (1 if slot.solo else 3)
        assert set(found) <= set(CROWD)


@given(betas, st.sampled_from(CROWD))
@settings(deadline=None, max_examples=50)
def test_a_candidate_more_displaces_at_most_one(beta: bytes, newcomer: bytes) -> None:
    """A newcomer changes the targets only by becoming one of them, so no newcomer can choose between other targets."""
    others = [key for key in CROWD if key != newcomer]
    for slot in sortition.slots(beta, PARAMS):
        before = sortition.targets(beta, slot, others, PARAMS)
        after = sortition.targets(beta, slot, CROWD, PARAMS)
        assert [key for key in after if key != newcomer] == list(before[: len(before) - (newcomer in after)])


@given(betas, st.integers(*SLOTS_MILLI))
@settings(deadline=None, max_examples=100)
def test_number_of_slots(beta: bytes, slots_milli: int) -> None:
    """A peer owes the average number rounded down or up. Slots are numbered from 0 and lie in the first half of the
    epoch."""
    found = sortition.slots(beta, replace(PARAMS, slots_milli=slots_milli))
    assert slots_milli // 1000 <= len(found) <= -(-slots_milli // 1000)
    assert [slot.index for slot in found] == list(range(len(found)))
    assert all(0 <= slot.at_permille < 1000 for slot in found)
    assert all(len(slot.prompt_seed) == len(slot.sample_seed) == 16 for slot in found)


def test_averages() -> None:
    """Over a thousand outputs, the numbers of slots, solo slots and greedy slots are near their rates."""
    slots = [sortition.slots(beta, PARAMS) for beta in _betas(1000)]
    every = [slot for each in slots for slot in each]
    assert abs(len(every) / 1000 - 2.5) < 0.06
    assert abs(sum(slot.solo for slot in every) / len(every) - 0.5) < 0.05
    assert abs(sum(slot.greedy for slot in every) / len(every) - 0.25) < 0.04
    assert abs(sum(slot.across for slot in every) / len(every) - 0.3) < 0.04
    assert len({slot.prompt_seed for slot in every}) == len({slot.sample_seed for slot in every}) == len(every)


def test_targets_are_spread() -> None:
    """Over a thousand draws of one slot, all candidates are asked about equally often."""
    counts = dict.fromkeys(CROWD, 0)
    panel = sortition.Slot(0, solo=False, greedy=False, across=False, drawn_from=b"")
    for beta in _betas(1000):
        for key in sortition.targets(beta, panel, CROWD, PARAMS):
            counts[key] += 1
    assert all(60 < count < 140 for count in counts.values())


def test_extremes() -> None:
    """Without candidates there are no targets. With fewer candidates than the panel, all are targets. Rates of 0 and
    100 percent are exact."""
    beta = sha256(b"beta") * 2
    panel = sortition.Slot(0, solo=False, greedy=False, across=False, drawn_from=b"")
    assert sortition.targets(beta, panel, (), PARAMS) == ()
    assert set(sortition.targets(beta, panel, CROWD[:2], PARAMS)) == set(CROWD[:2])
    assert not any(slot.greedy for slot in sortition.slots(beta, replace(PARAMS, greedy_percent=0)))
    assert all(slot.greedy for slot in sortition.slots(beta, replace(PARAMS, greedy_percent=100)))
    assert not any(slot.across for slot in sortition.slots(beta, replace(PARAMS, across_percent=0)))
    assert all(slot.across for slot in sortition.slots(beta, replace(PARAMS, across_percent=100)))


def test_spot_checks_come_at_their_rate() -> None:
    """About 5 % of the audits are voted on at 50 permille, all at 1000, and none at 0."""
    chosen = [sortition.is_spot_check(beta, CROWD[0], 7, 1, 50) for beta in _betas(4000)]
    assert 140 < sum(chosen) < 260
    assert all(sortition.is_spot_check(beta, CROWD[0], 7, 1, 1000) for beta in _betas(50))
    assert not any(sortition.is_spot_check(beta, CROWD[0], 7, 1, 0) for beta in _betas(50))


def test_inputs_of_the_vrf_are_apart() -> None:
    """Duty and proposal, another network, another epoch and another beacon give different inputs."""
    one, two = sha256(b"1"), sha256(b"2")
    inputs = {
        sortition.duty_alpha(one, 5, two),
        sortition.propose_alpha(one, 5, two),
        sortition.duty_alpha(two, 5, two),
        sortition.duty_alpha(one, 6, two),
        sortition.duty_alpha(one, 5, one),
    }
    assert len(inputs) == 5


def test_beacons_chain() -> None:
    """A beacon depends on the one before and on the proposer's output, and differs between networks."""
    first = sortition.first_beacon(sha256(b"network"))
    beacons = {
        first,
        sortition.first_beacon(sha256(b"other")),
        sortition.next_beacon(first, bytes(64)),
        sortition.next_beacon(first, b"\1" * 64),
        sortition.next_beacon(sortition.next_beacon(first, bytes(64)), bytes(64)),
    }
    assert len(beacons) == 5


SHAPES: dict[str, Any] = {
    "prompt_tokens": 32,
    "prompt_spread": 24,
    "answer_tokens": 64,
    "answer_spread": 32,
    "temperature_milli": 800,
    "temperature_spread": 350,
}


def test_questions_have_many_shapes() -> None:
    """Lengths and temperatures fill their ranges evenly and independently. Without ranges there is one shape."""
    params = replace(PARAMS, **SHAPES)
    found = [slot for beta in _betas(2000) for slot in sortition.slots(beta, params)]
    sizes = [slot.prompt_tokens(params) for slot in found]
    lengths = [slot.answer_tokens(params) for slot in found]
    heats = [slot.temperature_milli(params) for slot in found]
    assert (min(sizes), max(sizes), len(set(sizes))) == (8, 32, 25)
    assert (min(lengths), max(lengths), len(set(lengths))) == (32, 64, 33)
    assert set(heats) == {0, 500, 600, 700, 800}
    assert all((heat == 0) is slot.greedy for heat, slot in zip(heats, found, strict=True))
    assert abs(sum(sizes) / len(sizes) - 20) < 0.5
    assert abs(sum(lengths) / len(lengths) - 48) < 0.7
    assert len(set(zip(sizes, lengths, strict=True))) > 700
    plain = replace(params, prompt_spread=0, answer_spread=0, temperature_spread=0)
    assert {(slot.prompt_tokens(plain), slot.answer_tokens(plain)) for slot in found} == {(32, 64)}
    assert {slot.temperature_milli(plain) for slot in found} == {0, 800}
