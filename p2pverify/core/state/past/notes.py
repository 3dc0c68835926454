"""What a state keeps of an earlier cut. These are values only; they share all that did not change between two cuts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from p2pverify.core.blind.rounds import turns_of
from p2pverify.core.blind.values import VoteTurns
from p2pverify.core.contract.network import Network
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state.lines.notes import LineNotes, ServedVersion
from p2pverify.core.state.past.roster import PANELS_KEPT, PanelsDrawn, Roster, RosterRow
from p2pverify.core.state.rounds.notes import OpenRound, TrainingPhase
from p2pverify.core.state.rules.notes import NumberedRules
from p2pverify.core.state.verdicts.notes import Dispute

K = TypeVar("K")
V = TypeVar("V")


class PastRow(NamedTuple):
    """What draws and votes ask of a member at an earlier cut. Only members that are active or have weight have one."""

    active: bool
    class_index: int
    vrf_key: bytes
    weight: int
    fork_until: int
    is_convicted: bool

    def may_vote(self, epoch: int) -> bool:
        """As for a `Member`."""
        return self.active and self.weight > 0 and not self.is_convicted and epoch > self.fork_until


class PastRound(NamedTuple):
    """An open training round at an earlier cut: its number, its phase, and its vote, if one was open."""

    number: int
    phase: TrainingPhase
    vote: VoteTurns | None


@dataclass(slots=True)
class PastCut(Roster):
    """What later cuts ask of a cut. It never changes, apart from memories of what was computed."""

    epoch: int
    index: int
    beacon: bytes
    members: Mapping[bytes, PastRow]
    served: Mapping[bytes, ServedVersion]
    lines: Mapping[int, LineNotes]
    disputes: Mapping[DisputeKey, VoteTurns]
    rounds: Mapping[int, PastRound]  # by line
    rules: NumberedRules
    contracts: dict[tuple[int, bytes], Network] = field(default_factory=dict, compare=False)
    panels: PanelsDrawn = field(default_factory=lambda: BoundedDict(PANELS_KEPT), compare=False)
    _total_weight: int = field(default=-1, compare=False)
    _active_count: int = field(default=-1, compare=False)
    _by_classes: dict[tuple[tuple[int, ...], int], list[bytes]] = field(default_factory=dict, compare=False)
    _voters: dict[tuple[int, int], int] = field(default_factory=dict, compare=False)


#: Before the first cut.
NOTHING_PAST = PastCut(0, 0, b"", {}, {}, {}, {}, {}, {})


def past_rows(members: Mapping[bytes, RosterRow], fork_until: Mapping[bytes, int]) -> dict[bytes, PastRow]:
    """The rows of an earlier cut."""
    return {
        peer: PastRow(m.active, m.class_index, m.vrf_key, m.weight, fork_until.get(peer, -1), m.is_convicted)
        for peer, m in members.items()
        if m.active or m.weight
    }


def past_disputes(disputes: Mapping[DisputeKey, Dispute]) -> dict[DisputeKey, VoteTurns]:
    return {key: turns_of(dispute) for key, dispute in disputes.items()}


def past_rounds(rounds: Iterable[tuple[int, OpenRound | None]]) -> dict[int, PastRound]:
    """The open rounds of lines, by line."""
    return {
        line: PastRound(one.number, one.phase, None if one.vote is None else turns_of(one.vote))
        for line, one in rounds
        if one is not None
    }


def shared(before: Mapping[K, V], after: Mapping[K, V]) -> Mapping[K, V]:
    """The mapping `after`, with the objects of `before` where they are equal, and `before` itself if all are."""
    if before == after:
        return before
    return {key: before[key] if before.get(key) == value else value for key, value in after.items()}


#: The records of a cut by author: the number of the first one, and the ids from there on.
CutIds = Mapping[bytes, tuple[int, tuple[bytes, ...]]]


def ids_of(records: Iterable[Record]) -> CutIds:
    """The ids of the records that a cut adds. Those of each author have numbers without a gap."""
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for record in records:
        found.setdefault(record.author, []).append((record.seq, record.id))
    return {author: (min(ids)[0], tuple(each for _, each in sorted(ids))) for author, ids in found.items()}


def id_at(recent: Iterable[CutIds], author: bytes, seq: int) -> bytes | None:
    """The id of an author's record with a number, if it is a recent one."""
    for ids in recent:
        first, found = ids.get(author, (0, ()))
        if first <= seq < first + len(found):
            return found[seq - first]
    return None
