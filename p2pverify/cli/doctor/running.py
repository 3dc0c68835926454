"""Whether a running node does its work: it answers, knows others, follows the cuts, and is asked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from p2pverify.cli.doctor.findings import HealthFinding, fault, ok, skipped, warning

if TYPE_CHECKING:
    from p2pverify.node.reports.documents.status import StatusDocument

NEIGHBOURS_WANTED = 3  # fewer can all be one operator's, or all fail together
LATE_EPOCHS = 16  # a member that nobody has audited for so long is not reached, or its network audits seldom
AVAILABILITY_MIN = 0.9  # of the questions of others; weight needs as much
CLOCKS_WANTED = 3  # fewer can all be wrong, or lie
CLOCK_WARNING_S = 2.0
CLOCK_NOISE_S = 0.5  # the way of a message, and a busy machine
CLOCK_EPOCH_SHARE = 0.25  # of an epoch: others then refuse records as dated ahead, or cuts come too late for us
LATE_JOBS_MAX = 0.1  # share of the engine's jobs
PATIENCE_EPOCHS = 3  # a cut is final two epochs after its own, and a node needs one to begin


def look_at(found: "StatusDocument") -> Iterator[HealthFinding]:
    """The findings in the status of a running node."""
    yield _neighbours(found)
    yield _reach(found)
    yield _clock(found)
    yield _cuts(found)
    yield _readiness(found)
    yield _asked(found)
    yield _engine(found)


def _neighbours(found: "StatusDocument") -> HealthFinding:
    text = f"{found.neighbours} connected"
    if found.neighbours >= NEIGHBOURS_WANTED:
        return ok("neighbours", text)
    if found.neighbours:
        return warning("neighbours", text, "name more peers with --bootstrap: so few can fail together")
    # A network of one peer certifies its cuts alone.
    worse = warning if _is_young(found) or _is_fresh(found) else fault
    return worse("neighbours", text, "check --bootstrap, the network file and the firewall")


def _reach(found: "StatusDocument") -> HealthFinding:
    reach = found.reach
    if reach.state == "unreachable":
        return fault("reached", reach.why, reach.advice)
    if reach.state == "relayed":
        return warning("reached", reach.why, reach.advice)
    return ok("reached", reach.why) if reach.state == "direct" else skipped("reached", reach.why, reach.advice)


def _clock(found: "StatusDocument") -> HealthFinding:
    peers, ahead_ms = found.clock.peers, found.clock.ahead_ms
    if ahead_ms is None:
        return skipped("clock", "no peer has told its time lately", "it is asked for when others try to dial this node")
    apart_s = abs(ahead_ms) / 1000
    others = "1 other" if peers == 1 else f"the median of {peers} others"
    text = f"{apart_s:.1f} s {'behind' if ahead_ms > 0 else 'ahead of'} {others}"
    is_beyond = apart_s > max(CLOCK_NOISE_S, CLOCK_EPOCH_SHARE * found.epoch_s)
    if not is_beyond and apart_s <= CLOCK_WARNING_S:
        return ok("clock", text)
    worse = fault if is_beyond and peers >= CLOCKS_WANTED else warning
    return worse("clock", text, "set this machine's clock by a time service, such as chrony or systemd-timesyncd")


def _cuts(found: "StatusDocument") -> HealthFinding:
    if found.final is None:
        worse, text = (warning if _is_young(found) else fault), "none is final yet"
    else:
        worse, text = fault, f"that of epoch {found.final.epoch} is final, {found.final_age_s} s old"
    if _is_fresh(found):
        return ok("cuts", text)
    return worse("cuts", text, "the network stands still, or this node does not hear of it: see the reasons below")


def _readiness(found: "StatusDocument") -> HealthFinding:
    if found.ready:
        return ok("ready", "yes")
    worse = warning if _is_young(found) else fault
    return worse("ready", "; ".join(found.reasons), "wait for it with 'p2pverify wait --ready'")


def _is_young(found: "StatusDocument") -> bool:
    """Whether the node has just started, so that nothing need be wrong."""
    return found.uptime_s <= PATIENCE_EPOCHS * found.epoch_s


def _is_fresh(found: "StatusDocument") -> bool:
    """Whether the newest final cut is as new as it should be."""
    return found.final_age_s is not None and found.final_age_s <= PATIENCE_EPOCHS * found.epoch_s + 1


def _asked(found: "StatusDocument") -> HealthFinding:
    own = found.own
    if own is None or found.final is None:
        return skipped("asked", "it is not a member in the newest final view yet")
    if own.standing == "convicted":
        return fault("asked", f"this peer is convicted: {own.conviction}", "'p2pverify audits' explains each dispute")
    if own.last_audit_epoch is None:
        return warning("asked", "nobody has audited it yet", "wait some epochs; then look whether others can reach it")
    since = found.final.epoch - own.last_audit_epoch
    share = own.availability
    text = f"last in epoch {own.last_audit_epoch}, {since} epochs ago; answered " + (
        "none" if share is None else f"{100 * share:.0f} %"
    )
    if since > LATE_EPOCHS:
        return warning("asked", text, "look whether other peers can reach this node at its addresses")
    if share is not None and share < AVAILABILITY_MIN:
        return warning("asked", text, "look at the link and at late jobs: weight needs nine of ten answers")
    return ok("asked", text)


def _engine(found: "StatusDocument") -> HealthFinding:
    jobs = found.jobs
    late = jobs.jobs_late + jobs.jobs_dropped
    done = jobs.jobs_done + jobs.jobs_dropped
    text = f"{jobs.jobs_done} jobs, {late} late or dropped, {jobs.jobs_failed} failed"
    if jobs.jobs_failed:
        return warning("engine", text, "the log says why; 'p2pverify model selftest' runs the model alone")
    if done and late > LATE_JOBS_MAX * done:
        return warning("engine", text, "this machine is too slow or too busy; see 'lanes' in config.toml")
    return ok("engine", text)
