"""The report of a simulation: a JSON document `p2pverify/simulation-report/1`, a table, and a summary."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pverify.core.state.state import Member
from p2pverify.testnet.world.liars.expectations import FATES
from p2pverify.testnet.world.plan import HONEST

if TYPE_CHECKING:
    from p2pverify.testnet.world.world import World

SCHEMA = "p2pverify/simulation-report/1"
HEADERS = ("KIND", "PEERS", "FATE", "CONVICTED", "MISSED", "AUDITS", "FORKED", "RECORDS")


@dataclass(frozen=True, slots=True)
class KindLine:
    """The outcome for the peers of one kind. `audits` counts audits until each conviction, `records` signed records."""

    kind: str
    peers: int
    fate: str
    convicted: int
    missed: int
    audits: tuple[int, ...]
    forked: int
    records: int


class WorldReport:
    """The outcome of a world that has been played."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.faults = tuple(world.invariants.faults)
        observer = world.honest[0].machine
        state = observer.fold.latest
        kinds = sorted({peer.kind for peer in world.peers} - {HONEST})
        self._counts: dict[bytes, int] = {}
        for record in observer.context.ledger.records():
            self._counts[record.author] = self._counts.get(record.author, 0) + 1
        self.records = sum(self._counts.values())
        missed = world.invariants.missed()
        self.lines = [self._line(kind, state.members, missed) for kind in (HONEST, *kinds)]
        self.jobs_done = sum(peer.jobs_done for peer in world.peers)
        self.jobs_dropped = sum(peer.jobs_dropped for peer in world.peers)
        self.cuts = state.index
        self.epoch = state.epoch
        self.final = state.id

    def _line(self, kind: str, members: dict[bytes, Member], missed: Container[int]) -> KindLine:
        peers = [peer for peer in self.world.peers if peer.kind == kind]
        found = [members[peer.key] for peer in peers if peer.key in members]
        convicted = [member for member in found if member.is_convicted]
        return KindLine(
            kind,
            len(peers),
            "" if kind == HONEST else FATES[kind].fate,
            len(convicted),
            sum(peer.number in missed for peer in peers),
            tuple(sorted(member.convicted_after for member in convicted)),
            sum(bool(member.forks) for member in found),
            sum(self._counts.get(peer.key, 0) for peer in peers),
        )

    @property
    def passes(self) -> bool:
        return not self.faults

    def messages_per_peer_epoch(self) -> tuple[int, int]:
        """Gossip messages per peer and epoch on average: all received copies, and the new messages."""
        counts = [peer.router.statistics() for peer in self.world.peers]
        share = len(counts) * self.world.plan.epochs
        received = sum(count["messages_received"] for count in counts)
        return received // share, sum(count["messages_delivered"] for count in counts) // share

    def rows(self) -> list[Sequence[object]]:
        """The table's rows, with the columns of HEADERS. AUDITS is the median of the audits until conviction."""
        return [
            (
                line.kind,
                line.peers,
                line.fate,
                line.convicted,
                line.missed,
                line.audits[len(line.audits) // 2] if line.audits else None,
                line.forked,
                line.records,
            )
            for line in self.lines
        ]

    def summary(self) -> str:
        """A summary of a few lines, without the table."""
        world = self.world
        copies, new = self.messages_per_peer_epoch()
        plan, links = world.plan, world.links
        lines = [
            f"{plan.peers} peers, {plan.members} of them members; {plan.epochs} epochs, {self.records} records",
            f"{self.cuts} cuts final, the newest of epoch {self.epoch}",
            f"messages per peer and epoch: {copies}, of which {new} new; lost frames {links.lost}, doubled "
            + str(links.duplicated),
            f"engines' jobs: {self.jobs_done} done, {self.jobs_dropped} dropped as too late",
            f"trace {world.trace.digest.hex()} of {world.trace.events} events",
            *(f"broken: {fault}" for fault in self.faults),
        ]
        lines.append("verdict: " + ("pass" if self.passes else f"fail; replay with: {world.plan.command}"))
        return "\n".join(lines)

    def document(self) -> dict[str, object]:
        """The JSON document. Digests are in hex."""
        world = self.world
        copies, new = self.messages_per_peer_epoch()
        return {
            "schema": SCHEMA,
            "command": world.plan.command,
            "seed": world.plan.seed,
            "peers": world.plan.peers,
            "members": world.plan.members,
            "founders": world.plan.founders,
            "epochs": world.plan.epochs,
            "network": world.network.id.hex(),
            "records": self.records,
            "cuts": self.cuts,
            "final_cut": self.final.hex(),
            "final_epoch": self.epoch,
            "epochs_without_cut": world.invariants.stalled_epochs,
            "messages_per_peer_epoch": copies,
            "new_messages_per_peer_epoch": new,
            "frames_lost": world.links.lost,
            "frames_doubled": world.links.duplicated,
            "jobs_done": self.jobs_done,
            "jobs_dropped": self.jobs_dropped,
            "records_lost_in_crashes": sum(peer.lost_records for peer in world.peers),
            "kinds": [
                {
                    "kind": line.kind,
                    "peers": line.peers,
                    "fate": line.fate,
                    "convicted": line.convicted,
                    "missed": line.missed,
                    "audits_until_conviction": list(line.audits),
                    "forked": line.forked,
                    "records": line.records,
                }
                for line in self.lines
            ],
            "events": world.trace.events,
            "trace": world.trace.digest.hex(),
            "broken": list(self.faults),
            "verdict": "pass" if self.passes else "fail",
        }
