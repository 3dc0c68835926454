"""Why a node is not ready: one list of checks, shared by `/readyz`, `status` and the metrics.

A check looks at the node and returns a reason, as a sentence for its operator, or None.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.machine import Machine
from p2pverify.core.roles.cut_maker import cut_due_ms
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.weights import weighted_peers
from p2pverify.node import ports
from p2pverify.node.driver import Driver
from p2pverify.node.journal import Journal
from p2pverify.node.reports.signing import standstill

NAMED_MAX = 4  # peers that a reason names
#: The beginning of the reason of a node that signs no cut with a wrong conviction.
REFUSES = "signs no cut that convicts"
FINAL_LAG_MAX = 3  # epochs; if the newest final cut is older, the node is not ready
PACE_EPOCHS = 3  # the number of newest epochs in which late jobs of the engine count


class JobPace:
    """Counts the engine's jobs in the newest epochs: in time, and late or dropped."""

    def __init__(self) -> None:
        self._begins: deque[tuple[int, int, int]] = deque()  # epoch, and jobs in time and late at the first look in it
        self.in_time = 0
        self.late = 0

    def look(self, epoch: int, figures: Mapping[str, int]) -> None:
        """Take the engine's figures since its start. Call this at least once an epoch."""
        late = figures["jobs late"] + figures["jobs dropped"]
        in_time = figures["jobs done"] - figures["jobs late"]
        if not self._begins or self._begins[-1][0] != epoch:
            self._begins.append((epoch, in_time, late))
        while self._begins[0][0] <= epoch - PACE_EPOCHS:
            self._begins.popleft()
        self.in_time = in_time - self._begins[0][1]
        self.late = late - self._begins[0][2]


@dataclass(frozen=True, slots=True)
class Node:
    """What a check may look at."""

    driver: Driver
    network: ports.NetworkPort
    journal: Journal
    pace: JobPace = field(default_factory=JobPace)

    @property
    def machine(self) -> Machine:
        return self.driver.machine

    @property
    def latest(self) -> State:
        """The newest final state."""
        return self.machine.fold.latest

    @property
    def own(self) -> Member | None:
        """This peer in the newest final state."""
        return self.latest.members.get(self.machine.key)

    @property
    def epoch(self) -> int:
        """The epoch by this machine's clock; negative before the network begins."""
        return self.machine.network.params.epoch_at(self.driver.now_ms())

    @property
    def cut_age_ms(self) -> int:
        """Milliseconds since the newest final cut was due, or the first cut if none is final yet; at least 0."""
        due_ms = cut_due_ms(self.machine.network.params, self.latest.epoch)
        return max(0, self.driver.now_ms() - due_ms)


def unready(node: Node) -> list[str]:
    """Why a node is not ready, in the order of the checks; empty if it is."""
    return [reason for check in CHECKS if (reason := check(node)) is not None]


def _is_early(node: Node) -> str | None:
    left_ms = node.machine.network.params.genesis_ms - node.driver.now_ms()
    return f"the network begins in {left_ms // 1000 + 1} s" if node.epoch < 0 else None


def _stands_still(node: Node) -> str | None:
    """Why this peer signs nothing, or will soon sign nothing."""
    return "; ".join(standstill(node.machine, node.driver.now_ms()).values()) or None


def _misses_own_record(node: Node) -> str | None:
    missing = node.machine.context.own_missing
    if missing is None:
        return None
    return (
        f"own record number {missing} is missing on disk: this peer signs nothing until other peers have sent it back"
    )


def _cannot_store(node: Node) -> str | None:
    return node.machine.context.cannot_store or None


def _objects(node: Node) -> str | None:
    """Whether this peer signs no cuts, because they convict peers that it knows to be right."""
    refused = sorted(node.machine.objector.refused)
    if not refused:
        return None
    names = ", ".join(peer_id(peer)[-8:] for peer in refused[:NAMED_MAX]) + (
        ", ..." if len(refused) > NAMED_MAX else ""
    )
    return (
        f"{REFUSES} {len(refused)} peers ({names}): by this node's own results "
        f"{len(node.machine.objector.against)} decisions against them are wrong. A majority of the weight may lie; "
        "'p2pverify audits' shows the disputes, and 'p2pverify network fork' leaves such a majority behind"
    )


def _is_convicted(node: Node) -> str | None:
    own = node.own
    if own is None or not own.is_convicted:
        return None
    return f"convicted in epoch {own.convicted_epoch}: {own.conviction}"


def _is_forked(node: Node) -> str | None:
    """Whether the newest final cut, or records held here, show a fork of the own log."""
    own, machine = node.own, node.machine
    if own is not None and node.latest.epoch <= own.fork_until:
        return f"own log forked: without weight until epoch {own.fork_until}"
    if own is not None and not own.forks and machine.context.ledger.is_forked(machine.key):
        return "own log forked: two records have one number"
    return None


def _is_alone(node: Node) -> str | None:
    begins_alone = weighted_peers(node.machine.fold.genesis) == [node.machine.key]
    return None if node.network.neighbours() or begins_alone else "no neighbours"


def _is_left_behind(node: Node) -> str | None:
    """Neighbours have forgotten all cuts that this peer knows, and it learns of no new one."""
    gone = node.driver.statistics().get("neighbours without a common cut", 0)
    if not gone or has_no_final_cut(node) is None:
        return None
    return (
        f"{gone} neighbours have forgotten all cuts that this home knows: stop this node and start it again, and it "
        "begins with a newer state; without enough first peers, name a cut with --trust"
    )


def _is_behind(node: Node) -> str | None:
    """The engine's oldest job has waited for longer than an epoch, or at least half of the jobs were late."""
    figures = node.driver.engine_statistics()
    oldest_ms, waiting = figures["oldest waiting ms"], figures["jobs waiting"]
    if oldest_ms > node.machine.network.params.epoch_ms:
        return f"the engine is behind: {waiting} jobs wait, the oldest for {oldest_ms // 1000} s"
    late, in_time = node.pace.late, node.pace.in_time
    if late and late >= in_time:
        return f"the engine is behind: {late} of {late + in_time} jobs were late in the last {PACE_EPOCHS} epochs"
    return None


def has_no_final_cut(node: Node, since_ms: int = 0) -> str | None:
    """`since_ms` is a Unix time in ms; a gap before it does not count."""
    age_ms = min(node.cut_age_ms, node.driver.now_ms() - since_ms)
    if age_ms <= FINAL_LAG_MAX * node.machine.network.params.epoch_ms:
        return None
    return f"no final cut in the last {FINAL_LAG_MAX} epochs"


def _is_no_member(node: Node) -> str | None:
    own = node.own
    return "not a member in the newest final cut" if own is None or not own.active else None


def _has_faults(node: Node) -> str | None:
    return "internal faults; see the log" if node.driver.statistics().get("internal faults") else None


#: The checks, in the order of the reasons.
CHECKS: tuple[Callable[[Node], str | None], ...] = (
    _is_early,
    _stands_still,
    _misses_own_record,
    _cannot_store,
    _objects,
    _is_convicted,
    _is_forked,
    _is_alone,
    has_no_final_cut,
    _is_left_behind,
    _is_behind,
    _is_no_member,
    _has_faults,
)
