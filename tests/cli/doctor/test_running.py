"""What `doctor` says of a running node, from its status."""

from dataclasses import replace

import pytest

from p2pverify.cli.doctor.findings import Health
from p2pverify.cli.doctor.running import AVAILABILITY_MIN, CLOCKS_WANTED, LATE_EPOCHS, NEIGHBOURS_WANTED, look_at
from p2pverify.node.reports.documents.scores import ScoreDocument
from p2pverify.node.reports.documents.status import ClockDocument, StatusDocument
from tests.support.documents import STATUS

assert STATUS.own is not None
assert STATUS.final is not None
OWN = replace(STATUS.own, standing="trusted", last_audit_epoch=STATUS.final.epoch - 1, availability=1.0)
JOBS = replace(STATUS.jobs, jobs_done=100, jobs_failed=0, jobs_late=0, jobs_dropped=0)
HEALTHY = replace(
    STATUS,
    own=OWN,
    jobs=JOBS,
    ready=True,
    reasons=(),
    neighbours=NEIGHBOURS_WANTED,
    reach=replace(STATUS.reach, state="direct"),
    final_age_s=0,
    uptime_s=int(100 * STATUS.epoch_s) + 100,
)


def healths(status: StatusDocument) -> dict[str, str]:
    return {found.check: found.health.value for found in look_at(status)}


QUARTER_MS = 15_000


def clock(ahead_ms: int | None, peers: int = 3) -> StatusDocument:
    """With epochs of a minute."""
    return replace(HEALTHY, epoch_s=60.0, clock=ClockDocument(peers=peers, ahead_ms=ahead_ms))


def own(**changed: object) -> StatusDocument:
    return replace(HEALTHY, own=replace(OWN, **changed))  # type: ignore[arg-type]


def test_a_healthy_node() -> None:
    assert set(healths(HEALTHY).values()) == {"ok"}


@pytest.mark.parametrize(
    ("status", "check", "health"),
    [
        (replace(HEALTHY, neighbours=0), "neighbours", "warning"),  # a network of one certifies alone
        (replace(HEALTHY, neighbours=0, final_age_s=10**6), "neighbours", "fault"),
        (replace(HEALTHY, neighbours=NEIGHBOURS_WANTED - 1), "neighbours", "warning"),
        (replace(HEALTHY, reach=replace(STATUS.reach, state="relayed")), "reached", "warning"),
        (replace(HEALTHY, reach=replace(STATUS.reach, state="unreachable")), "reached", "fault"),
        (replace(HEALTHY, reach=replace(STATUS.reach, state="unknown", advice="")), "reached", "skipped"),
        (clock(None, 0), "clock", "skipped"),
        (clock(1_900), "clock", "ok"),
        (clock(2_100), "clock", "warning"),
        (clock(-2_100), "clock", "warning"),
        (clock(QUARTER_MS + 1), "clock", "fault"),
        (clock(-QUARTER_MS - 1), "clock", "fault"),
        (clock(QUARTER_MS + 1, CLOCKS_WANTED - 1), "clock", "warning"),
        (replace(clock(700), epoch_s=1.0), "clock", "fault"),
        (replace(clock(400), epoch_s=1.0), "clock", "ok"),
        (replace(HEALTHY, final_age_s=10**6), "cuts", "fault"),
        (replace(HEALTHY, final=None, final_age_s=None), "cuts", "fault"),
        (replace(HEALTHY, final=None, final_age_s=None, uptime_s=0), "cuts", "warning"),
        (replace(HEALTHY, ready=False, reasons=("silent",)), "ready", "fault"),
        (replace(HEALTHY, ready=False, reasons=("silent",), uptime_s=0), "ready", "warning"),
        (replace(HEALTHY, own=None), "asked", "skipped"),
        (own(standing="convicted", conviction="lost disputes"), "asked", "fault"),
        (own(last_audit_epoch=None), "asked", "warning"),
        (own(last_audit_epoch=STATUS.final.epoch - LATE_EPOCHS - 1), "asked", "warning"),
        (own(availability=AVAILABILITY_MIN - 0.01), "asked", "warning"),
        (own(availability=None), "asked", "ok"),
        (replace(HEALTHY, jobs=replace(JOBS, jobs_failed=1)), "engine", "warning"),
        (replace(HEALTHY, jobs=replace(JOBS, jobs_dropped=30)), "engine", "warning"),
    ],
)
def test_each_trouble_is_found_and_says_what_to_do(status: StatusDocument, check: str, health: str) -> None:
    found = next(found for found in look_at(status) if found.check == check)
    assert found.health == Health(health)
    assert bool(found.todo) is (health in ("warning", "fault")) or health == "skipped"
    others = {name: each for name, each in healths(status).items() if name != check}
    assert "fault" not in others.values() or not status.ready or status.final_age_s != 0


def test_own_row_is_of_the_view() -> None:
    """The share of answers is that of the view, which all peers see."""
    assert isinstance(OWN, ScoreDocument)
    text = next(found.text for found in look_at(own(availability=0.95)) if found.check == "asked")
    assert "answered 95 %" in text
