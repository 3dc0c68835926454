"""Peer scores alone: each of P1 to P7, their decay, and how long they are retained."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.gossip.params import ScoreParams
from p2pverify.core.gossip.score import COUNTER_MAX, ONE, PeerScores, ScoreParts, decayed, ip_group

PARAMS = ScoreParams()
ALICE, BOB = b"a" * 32, b"b" * 32
STRICT = replace(PARAMS, delivery_weight=-1_000, failure_weight=-500)  # P3 and P3b are on


class Bench:
    """Scores of Alice, and a clock. Each step lets decay intervals pass."""

    def __init__(self, params: ScoreParams = PARAMS) -> None:
        self.scores = PeerScores(params)
        self.now_ms = 0
        self.scores.decay(0)
        self.scores.add(ALICE, "", 0)

    def wait(self, intervals: int) -> None:
        self.now_ms += 1_000 * intervals
        self.scores.decay(self.now_ms)

    def graft(self) -> None:
        self.scores.grafted(ALICE, "t", self.now_ms)

    @property
    def parts(self) -> ScoreParts:
        return self.scores.all_parts()[ALICE]


def test_p1_time_in_mesh() -> None:
    """Each quantum in the mesh counts up to the cap. Nothing counts after leaving."""
    bench = Bench()
    bench.graft()
    found = []
    for intervals in (14, 1, 15, 1_000):
        bench.wait(intervals)
        found.append(bench.parts.time_in_mesh)
    assert found == [0, 50, 100, 1_000]
    bench.scores.left(ALICE, "t")
    assert bench.parts.total == 0


def test_p2_first_deliveries() -> None:
    """Each first delivery counts up to the cap, inside the mesh or not, and decays."""
    bench = Bench()
    for count in (1, 3, 100):
        for _ in range(count):
            bench.scores.delivered_first(ALICE, "t")
        bench.scores.decay(bench.now_ms)
    assert bench.parts.first_deliveries == 20 * 250
    bench.wait(1)
    assert bench.parts.first_deliveries == 4_950
    bench.wait(1_000)
    assert bench.parts.first_deliveries == 0


def test_p3_delivery_deficit() -> None:
    """An active member that delivers too little pays the square of the deficit."""
    bench = Bench(STRICT)
    bench.graft()
    bench.wait(30)
    assert bench.parts.delivery_deficit == 0  # not yet active
    bench.wait(1)
    assert bench.parts.delivery_deficit == -16_000
    bench.scores.delivered_first(ALICE, "t")
    bench.scores.delivered_near_first(ALICE, "t")
    bench.scores.delivered_near_first(ALICE, "t")
    assert bench.parts.delivery_deficit == -1_000
    bench.scores.delivered_near_first(ALICE, "t")
    assert bench.parts.delivery_deficit == 0
    bench.wait(1)
    assert bench.parts.delivery_deficit == -14  # 4 * 0.97 = 3.88, and 0.12 squared


def test_p3b_failures_stick() -> None:
    """A deficit at the time of leaving becomes a failure that decays slowly, if the member was active."""
    bench = Bench(STRICT)
    bench.graft()
    bench.wait(10)
    bench.scores.left(ALICE, "t")
    assert bench.parts.delivery_failures == 0
    bench.graft()
    bench.wait(31)
    bench.scores.left(ALICE, "t")
    assert (bench.parts.delivery_deficit, bench.parts.delivery_failures) == (0, -8_000)
    bench.wait(1)
    assert bench.parts.delivery_failures == -7_920


def test_p3_is_off_by_default() -> None:
    """In a silent network, a peer that delivers nothing is not blamed."""
    bench = Bench()
    bench.graft()
    bench.wait(100_000)
    bench.scores.left(ALICE, "t")
    assert bench.parts.total == 0


def test_p4_invalid_messages() -> None:
    """Rejected messages count squared, separately for each topic."""
    bench = Bench()
    found = []
    for topic in ("t", "t", "t", "u"):
        bench.scores.delivered_invalid(ALICE, topic)
        found.append(bench.parts.invalid_messages)
    assert found == [-2_000, -8_000, -18_000, -20_000]
    bench.wait(1)
    assert bench.parts.invalid_messages == -2 * 8_820 - 2 * 980


def test_p5_application() -> None:
    """The application's score counts unchanged, before and after the peer connects."""
    bench = Bench()
    bench.scores.appraise(ALICE, -70)
    bench.scores.appraise(BOB, 30)
    assert (bench.scores.score(ALICE), bench.scores.score(BOB)) == (-70, 30)
    bench.scores.add(BOB, "", 0)
    assert bench.scores.score(BOB) == 30
    bench.wait(1_000)
    assert bench.scores.score(ALICE) == -70


def test_p6_colocation() -> None:
    """Peers above the threshold at one address all pay the square of the surplus."""
    scores = PeerScores(replace(PARAMS, colocation_threshold=2))
    found = []
    for number in range(5):
        scores.add(bytes([number]) * 32, f"2001:db8::{number:x}", 0)
        found.append(scores.score(bytes(32)))
    assert found == [0, 0, -1_000, -4_000, -9_000]
    scores.remove(bytes([4]) * 32, 0)
    assert scores.score(bytes(32)) == -4_000


@pytest.mark.parametrize(
    ("ip", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("127.3.2.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("no address", ""),
    ],
)
def test_address_groups(ip: str, group: str) -> None:
    """IPv4 addresses and IPv6 /64s count. Loopback and unknown addresses do not."""
    assert ip_group(ip, PARAMS.colocation_free) == group


def test_p7_behaviour() -> None:
    """Misbehaviour counts squared above the threshold."""
    bench = Bench()
    found = []
    for _ in range(8):
        bench.scores.misbehaved(ALICE)
        found.append(bench.parts.behaviour)
    assert found == [0] * 6 + [-1_000, -4_000]
    bench.wait(1)
    assert bench.parts.behaviour == -2_822  # 8 * 0.96 - 6 = 1.68


def test_topic_cap() -> None:
    """The positive sum over topics is capped, the negative is not."""
    bench = Bench()
    for topic in ("t", "u", "v"):
        for _ in range(20):
            bench.scores.delivered_first(ALICE, topic)
    bench.scores.appraise(ALICE, 1)
    assert bench.parts.total == PARAMS.topic_cap + 1
    for _ in range(10):
        bench.scores.delivered_invalid(ALICE, "t")
    assert bench.parts.total == 3 * 5_000 - 200_000 + 1


def test_topic_weight() -> None:
    """The weight of topics applies only to P1 to P4."""
    bench = Bench(replace(PARAMS, topic_weight=500))
    bench.scores.delivered_invalid(ALICE, "t")
    bench.scores.appraise(ALICE, -10)
    assert bench.parts.total == -1_010


def test_what_is_retained() -> None:
    """Faults do not decay while the peer is away, and end after their time. Merits end at once."""
    bench = Bench()
    bench.scores.delivered_first(ALICE, "t")
    bench.scores.delivered_invalid(ALICE, "t")
    bench.scores.misbehaved(ALICE, 9 * ONE)
    bench.scores.remove(ALICE, bench.now_ms)
    bench.wait(299)
    assert (bench.scores.score(ALICE), bench.scores.retained) == (-2_000 - 9_000, 1)
    bench.wait(1)
    assert (bench.scores.score(ALICE), bench.scores.retained) == (0, 0)
    bench.scores.add(BOB, "", bench.now_ms)
    bench.scores.delivered_first(BOB, "t")
    bench.scores.remove(BOB, bench.now_ms)
    assert bench.scores.retained == 0


def test_a_late_fault_is_remembered() -> None:
    """A message that is rejected after its sender left counts when the sender returns."""
    bench = Bench()
    bench.scores.remove(ALICE, 0)
    bench.scores.delivered_invalid(ALICE, "t")
    bench.scores.add(ALICE, "", 0)
    assert bench.parts.total == -2_000


def test_the_worst_are_remembered_longest() -> None:
    """Beyond the limit, the least bad peer is forgotten, so new faulty keys do not replace a worse peer."""
    scores = PeerScores(replace(PARAMS, retained_max=2))
    for key, faults in ((ALICE, 3), (BOB, 1), (b"c" * 32, 2), (b"d" * 32, 1)):
        for _ in range(faults):
            scores.delivered_invalid(key, "t")
    assert scores.retained == 2
    assert (scores.score(ALICE), scores.score(b"c" * 32)) == (-18_000, -8_000)


def test_counters_are_bounded() -> None:
    """A peer's counters stay below the limit for any number of faults."""
    bench = Bench()
    bench.scores.misbehaved(ALICE, 10 * COUNTER_MAX)
    assert bench.parts.behaviour == -((COUNTER_MAX - 6 * ONE) ** 2) // ONE


def test_intervals_that_were_missed_count() -> None:
    """Decay depends on the passed time, not on the number of readings."""
    often, seldom = Bench(), Bench()
    for bench in (often, seldom):
        bench.scores.delivered_invalid(ALICE, "t")
    for _ in range(100):
        often.now_ms += 333
        often.scores.decay(often.now_ms)
    seldom.now_ms = 33_300
    seldom.scores.decay(seldom.now_ms)
    assert often.parts == seldom.parts
    assert often.parts.total == -990


@given(st.integers(0, COUNTER_MAX), st.integers(0, 999_999), st.integers(0, 50), st.integers(0, 50))
def test_decay(counter: int, factor: int, one: int, other: int) -> None:
    """Decay never increases a counter, composes, and ends at zero."""
    zero = PARAMS.zero
    first = decayed(counter, factor, one, zero)
    assert 0 <= first <= counter
    assert decayed(first, factor, other, zero) == decayed(counter, factor, one + other, zero)
    assert decayed(counter, factor, 10**9, max(1, zero)) == 0


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda: replace(PARAMS, invalid_weight=1), "weights of 0 or less"),
        (lambda: replace(PARAMS, first_weight=-1), "first_weight is negative"),
        (lambda: replace(PARAMS, invalid_decay=1_000_000), "decay < 1"),
        (lambda: replace(PARAMS, delivery_threshold=30_000), "delivery_cap"),
        (lambda: replace(PARAMS, gossip_threshold=0), "needs disconnect"),
        (lambda: replace(PARAMS, graylist_threshold=-20_000), "needs disconnect"),
        (lambda: replace(PARAMS, opportunistic_graft_threshold=-1), "needs disconnect"),
        (lambda: replace(PARAMS, decay_ms=0), "decay_ms is not positive"),
        (lambda: replace(PARAMS, colocation_threshold=0), "colocation_threshold is not positive"),
    ],
)
def test_contradicting_parameters_are_refused(change: Callable[[], ScoreParams], rule: str) -> None:
    """Numbers that contradict each other say which rule they break."""
    with pytest.raises(ValueError, match=rule):
        change()
