"""The needs of plans, and fitting plans to a machine, by calculation without measuring."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.testnet.capacity.load import EPOCH_MS_MAX, MeasuredMachine, check_memory, fit, memory_mb, need, start_ms
from p2pverify.testnet.cheats import parse_cheats
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.scenario import PEERS_MAX, load_scenario

TWO_CORES = MeasuredMachine(2.0, token_s=0.011)
PRUNE4 = parse_cheats(["prune*4"])


def plan_of(scenario="default", peers=None, cheats=None, **options):
    return make_plan(load_scenario(scenario), peers=peers, cheats=cheats, **options)


def needed_ms(plan, machine):
    return need(plan, machine, len(plan.peers)).epoch_ms


def test_a_machine_with_room_plays_the_scenario_as_it_is():
    """On many cores the plan does not change, even with more peers than in the scenario."""
    large = MeasuredMachine(64.0, token_s=0.011)
    for plan in (plan_of(), plan_of(peers=12, cheats=PRUNE4), plan_of("survival"), plan_of("toy", peers=20)):
        assert fit(plan, large) is plan


def test_epochs_get_as_long_as_the_machine_needs():
    """The work of an epoch then fits into the time of the cores. More cheaters mean more disputes and longer epochs."""
    plan = plan_of(peers=12, cheats=PRUNE4)
    fitted = fit(plan, TWO_CORES)
    needed = need(plan, TWO_CORES, 12)
    cores = TWO_CORES.capacity(12)
    assert fitted.epoch_ms > plan.epoch_ms
    assert needed.per_epoch_s + needed.per_second * fitted.epoch_ms / 1000 <= cores * fitted.epoch_ms / 1000
    assert fitted.timeout_s / plan.timeout_s == fitted.epoch_ms / plan.epoch_ms
    assert fitted.epoch_ms > fit(plan_of(peers=12, cheats=()), TWO_CORES).epoch_ms


@settings(deadline=None)
@given(
    peers=st.integers(4, 40),
    token_s=st.floats(0.0001, 0.1),
    slowness=st.floats(0.2, 20),
    others=st.floats(0, 30),
    cores=st.floats(0.5, 64),
)
def test_whatever_slows_a_machine_makes_epochs_longer(peers, token_s, slowness, others, cores):
    """Slower tokens, slower Python, busier programs beside it, fewer cores and more peers do."""
    plan = plan_of(peers=peers, cheats=parse_cheats(["prune"]))
    machine = MeasuredMachine(cores, token_s, slowness, others)
    worse = [
        MeasuredMachine(cores, 2 * token_s, slowness, others),
        MeasuredMachine(cores, token_s, 2 * slowness, others),
        MeasuredMachine(cores, token_s, slowness, others + 1),
        MeasuredMachine(cores / 2, token_s, slowness, others),
    ]
    base = needed_ms(plan, machine)
    assert all(needed_ms(plan, each) >= base for each in worse)
    assert machine.capacity(peers) <= cores


@pytest.mark.parametrize(
    ("options", "machine"),
    [
        ({"scenario": "toy", "peers": 64}, MeasuredMachine(1.0, slowness=1.5)),
        ({"peers": 64}, TWO_CORES),
        ({"peers": 24}, MeasuredMachine(2.0, token_s=0.2)),
        ({"peers": 60, "cheats": parse_cheats(["canned*20"])}, TWO_CORES),
    ],
)
def test_what_no_epoch_can_hold_is_refused_with_figures(options, machine):
    """The message also gives a number of peers that would fit, and this number is right."""
    plan = plan_of(**options)
    with pytest.raises(PlanError) as caught:
        fit(plan, machine)
    assert re.search(r"\d+ peers need about \d+ s of CPU in each epoch and [\d.]+ cores", caught.value.reason)
    assert "--epoch-ms" in caught.value.hint
    (fewer,) = map(int, re.findall(r"--peers (\d+)", caught.value.hint)) if "--peers" in caught.value.hint else (0,)
    if fewer:
        assert need(plan, machine, fewer).epoch_ms <= EPOCH_MS_MAX < need(plan, machine, fewer + 1).epoch_ms
        assert fewer > 2 * len(plan.cheaters)


def test_a_machine_that_is_hopeless_is_told_so():
    """The message advises no number of peers if none fits."""
    with pytest.raises(PlanError, match="larger machine"):
        fit(plan_of(), MeasuredMachine(0.1, token_s=10.0))


@settings(deadline=None)  # plans sign, and the machine may be busy
@given(available_mb=st.floats(0, 8000), count=st.integers(3, PEERS_MAX))
def test_memory_is_refused_with_figures(available_mb, count):
    """The message says how much the peers need, how much is available, and how many peers would fit."""
    plan = plan_of("toy", peers=count)
    if memory_mb(plan, count) <= available_mb:
        check_memory(plan, available_mb)
        return
    with pytest.raises(PlanError) as caught:
        check_memory(plan, available_mb)
    gigabytes = re.findall(r"([\d.]+) GB", caught.value.reason)
    assert [float(each) for each in gigabytes] == pytest.approx(
        [memory_mb(plan, count) / 1000, available_mb / 1000], abs=0.051
    )
    for fewer in map(int, re.findall(r"--peers (\d+)", caught.value.hint)):
        assert memory_mb(plan, fewer) <= available_mb < memory_mb(plan, fewer + 1)


def test_the_start_grows_with_connections():
    """Every peer connects to every other, so twice the peers need four times the connections."""
    short, long = (start_ms(plan_of("toy", peers=peers), TWO_CORES, is_tested=False) for peers in (20, 40))
    assert long > 2.5 * short
    assert start_ms(plan_of("toy"), TWO_CORES, is_tested=True) > start_ms(plan_of("toy"), TWO_CORES, is_tested=False)


def test_a_second_version_needs_memory_in_every_peer():
    """Without the upgrade only the cheaters have a second model."""
    plan = plan_of("upgrade")
    alone = replace(plan, upgrade=None)
    second = memory_mb(plan, 8) - memory_mb(alone, 8)
    assert second > 2 * (memory_mb(alone, 8) - memory_mb(replace(alone, peers=alone.honest), 8)) > 0
