"""The state that a fold carries from cut to cut. It holds values only; `process` computes the next state.

A computed state never changes, so that many machines can share it. Disputes and notes are immutable. Members, and the
dictionaries that hold all these, are copied before their first change in a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.sortition import first_beacon
from p2pverify.core.inference.pooled import reserve
from p2pverify.core.inference.speed import Window
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.payloads.cut import Cut, Head, ledger_root
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.books import Books
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.keys.notes import MovedKey, OpenHandover
from p2pverify.core.state.lines.notes import LineNotes, ServedVersion
from p2pverify.core.state.past.notes import (
    NOTHING_PAST,
    CutIds,
    PastCut,
    past_disputes,
    past_rounds,
    past_rows,
    shared,
)
from p2pverify.core.state.past.roster import PANELS_KEPT, PanelsDrawn, Roster
from p2pverify.core.state.past.tails import LogTail
from p2pverify.core.state.rounds.notes import LineRounds
from p2pverify.core.state.rules.notes import NumberedRules, OpenAmendment
from p2pverify.core.state.verdicts.notes import AuditNote, Dispute, DutyNote

#: The convicted peers at a cut, each with the reason, sorted by peer.
Convictions = tuple[tuple[bytes, str], ...]

#: The reason of a conviction by the sequential test, by the same test over long answers, and by the pooled test.
LOST_DISPUTES, WRONG_WHEN_LONG, FAR_OFF = "lost disputes", "wrong in long answers", "answers too far off"


@dataclass(frozen=True, slots=True)
class Loss:
    """The step of one disputed answer in a test (1/1024 nat): of a dissent, or of an answer in the pooled test."""

    dispute: DisputeKey
    up: int


@dataclass(frozen=True, slots=True)
class Contact:
    """How often one challenger asked a peer, how often it got an answer, and how fast the answers were."""

    asked: int
    answered: int
    windows: tuple[Window, ...] = ()
    since: int = 0  # index of the cut that brought the newest audit


@dataclass(slots=True)
class Member:
    """A peer as the records show it. Only owed slots with the derived question are counted.

    Only `State.change` writes to it, and only to a copy that belongs to the state under construction.
    """

    founder: bool = False
    active: bool = False
    class_index: int = 0
    vrf_key: bytes = bytes(32)
    box_key: bytes | None = None
    next_key: bytes | None = None  # digest of the key to which its row may move
    hardware: str = ""
    joined_epoch: int = 0
    joined_index: int = 0
    row_index: int = 0  # index at which its row began; 0 for a founder, and for a key that came back
    seen_index: int = 0  # index of the cut that brought its newest record, rounded: see `rows.SEEN_STEP`
    weight: int = 0
    lost_weight_index: int = -1  # index at which it last lost its weight
    admitted_epoch: int = -1  # epoch at which it last got its weight
    rests_from: int = -1  # `duties_met` at which its weight was put to rest; -1 if it does not rest
    sponsors: frozenset[bytes] = frozenset()  # members with weight that stand for it
    sponsored_epoch: int = -1  # epoch at which it last sponsored another peer
    suspended_until: int = -1  # last epoch without weight because a peer that it sponsored was convicted, or of a move
    successor: bytes | None = None  # the key to which its row is about to move; then the row is frozen
    handovers: int = 0  # how often its row moved to another key
    handed_epoch: int = -1  # epoch at which its row moved last
    objected_until: int = -1  # last epoch in which only a handover with both signatures counts
    rekeyed_epoch: int = -1  # epoch at which it changed its VRF key last
    agreements: int = 0
    dissents: int = 0
    inconclusive: int = 0
    disputes_lost: int = 0
    no_shows: int = 0
    missed_duties: int = 0
    unopened: int = 0
    slots_owed: int = 0
    duties_met: int = 0
    void_audits: int = 0
    cusum: int = 0
    losses: tuple[Loss, ...] = ()  # since the test was 0, the newest last: see `memory.LOSSES_MAX`
    long_cusum: int = 0  # of the test over long answers
    long_losses: tuple[Loss, ...] = ()  # since that test was 0, the newest last
    judged: int = 0  # answers in the pooled test
    capital: int = reserve(0)  # of the pooled test, in 1/1024 nat
    far: tuple[Loss, ...] = ()  # answers that raised the capital since its start, the newest last
    last_audit_epoch: int = -1
    convicted_epoch: int = -1
    convicted_after: int = 0
    conviction: str = ""
    fork_until: int = -1
    forks: frozenset[int] = frozenset()  # numbers at which its log is known to fork: see `memory.FORKS_MAX`
    contacts: Mapping[bytes, Contact] = field(default_factory=dict)
    auditors: frozenset[bytes] = frozenset()  # challengers of its judged answers; shown to people, in no signed view
    credits: frozenset[bytes] = frozenset()

    @property
    def is_convicted(self) -> bool:
        return self.convicted_epoch >= 0

    @property
    def was_weighted(self) -> bool:  # a founder always was
        return self.founder or self.weight > 0 or self.lost_weight_index >= 0

    @property
    def audits(self) -> int:
        return self.agreements + self.dissents

    def may_vote(self, epoch: int) -> bool:
        """Whether the peer belongs to the electorate of its class, and to the electorates across classes."""
        return self.active and self.weight > 0 and not self.is_convicted and epoch > self.fork_until


_fields_of: Callable[[Member], tuple[Any, ...]] = attrgetter(*(each.name for each in fields(Member)))


@dataclass(frozen=True, slots=True)
class EarlyConflict:
    """The proven equivocations of a key that has not joined."""

    forks: frozenset[int] = frozenset()  # as for a member
    is_slot: bool = False  # it made two claims on one slot
    since: int = 0  # index of the cut that brought the newest proof


@dataclass(frozen=True, slots=True)
class RowDigest:
    """The leaf hash of a member's row in a view, and what it was computed from.

    `inputs` are whether the member is under the penalty of a fork, and what the row says of its version.
    """

    member: Member
    inputs: tuple[bool, bytes]
    digest: bytes


@dataclass(frozen=True, slots=True)
class RowDigests:
    """The digests of the rows of one view. They serve later states with the same `weighted` peers, row by row."""

    weighted: frozenset[bytes] = frozenset()
    rows: Mapping[bytes, RowDigest] = field(default_factory=dict)  # by peer


#: The value that a leaf of a state was computed from, the hash of the leaf, and of a row the bytes of its parts.
HashedLeaf = tuple[Any, bytes, Any]


@dataclass(frozen=True, slots=True)
class HashedSection:
    """The leaves of a section of a state, in order, and the hash of what the state's root says of them."""

    leaves: Mapping[Any, HashedLeaf]
    digest: bytes


@dataclass(slots=True)
class State(Roster):
    """Everything a fold knows at a cut. `index` counts cuts on the path from the network (index 0).

    Old entries are forgotten by index, never by epoch, so that nothing is forgotten while no cut is certified.
    """

    id: bytes
    epoch: int
    index: int
    beacon: bytes
    heads: dict[bytes, Head]
    path: tuple[bytes, ...]
    members: dict[bytes, Member]
    audits: dict[tuple[bytes, int], Mapping[int, AuditNote]] = field(default_factory=dict)  # without duty, by slot
    duties: dict[tuple[bytes, int], DutyNote] = field(default_factory=dict)
    reports: dict[tuple[bytes, int], bytes] = field(default_factory=dict)  # reporter, epoch -> payload's digest
    disputes: dict[DisputeKey, Dispute] = field(default_factory=dict)
    dissent_marks: dict[tuple[bytes, int], int] = field(default_factory=dict)  # peer, epoch of the slot -> index
    cuts: dict[bytes, Cut] = field(default_factory=dict)
    proposals: dict[tuple[bytes, int], tuple[bytes, ...]] = field(default_factory=dict)  # author, epoch -> cuts
    signatures: dict[bytes, frozenset[bytes]] = field(default_factory=dict)
    noted: dict[bytes, int] = field(default_factory=dict)  # cut -> index at which the cut or a signature of it came in
    early_conflicts: dict[bytes, EarlyConflict] = field(default_factory=dict)  # by accused
    contested: dict[DisputeKey, frozenset[bytes]] = field(default_factory=dict)  # closed dispute -> objectors
    lines: dict[int, LineNotes] = field(default_factory=dict)  # by index, of those about which a record counted
    served: dict[bytes, ServedVersion] = field(default_factory=dict)  # by member, of those that left version 0
    dropped: dict[bytes, int] = field(default_factory=dict)  # author without a row, whose head is kept -> index
    banned: dict[bytes, str] = field(default_factory=dict)  # convicted key without a row -> reason
    last_signed: dict[bytes, bytes] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    datasets: dict[bytes, LiveDataset] = field(default_factory=dict)  # those offered now, by the id of the record
    rounds: dict[int, LineRounds] = field(default_factory=dict)  # by index of a trained line
    rules: NumberedRules = field(default_factory=dict)  # those that amendments have made, at most one
    amendments: Mapping[bytes, OpenAmendment] = field(default_factory=dict)  # by the id of the record
    past: dict[bytes, PastCut] = field(default_factory=dict)  # newest cuts of the path before this one, oldest first
    beside: dict[bytes, PastCut | None] = field(default_factory=dict)  # cuts beside the path that this one contains
    recent: tuple[CutIds, ...] = ()  # records of the newest cuts of the path, this one last
    forgotten: dict[bytes, int] = field(default_factory=dict)  # author -> index at which its head was forgotten
    tails: dict[bytes, LogTail] = field(default_factory=dict)  # by author, of the logs with a head
    handovers: dict[bytes, OpenHandover] = field(default_factory=dict)  # by old key
    moved: dict[bytes, MovedKey] = field(default_factory=dict)  # tombstones, by old key
    books: Books | None = None  # None in a network without a tariff
    admitted_epoch: int = -1  # of the newest admission without sponsors
    sponsored_epoch: int = -1  # of the newest admission with sponsors
    rested_epoch: int = -1  # of the newest change between resting weight and weight
    convicted: frozenset[bytes] = frozenset()
    row_digests: RowDigests = field(default_factory=RowDigests)  # of the view of this state, or of an earlier one
    hashed: Mapping[str, HashedSection] = field(default_factory=dict)  # by field, of this state or of an earlier one
    decided: tuple[Dispute, ...] = ()  # those whose decision took effect with this cut
    changed: set[bytes] = field(default_factory=set)
    _ledger_root: bytes = b""
    _as_past: PastCut | None = None
    _total_weight: int = -1
    _active_count: int = -1
    contracts: dict[tuple[int, bytes], Network] = field(default_factory=dict)  # by line and manifest: a memory
    #: By challenger, VRF output and slot: a memory of those drawn from this state.
    panels: PanelsDrawn = field(default_factory=lambda: BoundedDict(PANELS_KEPT))
    _by_classes: dict[tuple[tuple[int, ...], int], list[bytes]] = field(default_factory=dict)
    _voters: dict[tuple[int, int], int] = field(default_factory=dict)

    def successor(self, cut_id: bytes, epoch: int, heads: dict[bytes, Head]) -> "State":
        """A copy in which the next state is built."""
        return State(
            cut_id,
            epoch,
            self.index + 1,
            self.beacon,
            heads,
            (*self.path, cut_id),
            dict(self.members),
            dict(self.audits),
            dict(self.duties),
            dict(self.reports),
            dict(self.disputes),
            dict(self.dissent_marks),
            dict(self.cuts),
            dict(self.proposals),
            dict(self.signatures),
            dict(self.noted),
            dict(self.early_conflicts),
            dict(self.contested),
            dict(self.lines),
            dict(self.served),
            dict(self.dropped),
            dict(self.banned),
            dict(self.last_signed),
            dict(self.totals),
            dict(self.datasets),
            dict(self.rounds),
            self.rules,
            self.amendments,
            {**self.past, self.id: self.as_past()},
            dict(self.beside),
            self.recent,
            dict(self.forgotten),
            self.tails,
            dict(self.handovers),
            dict(self.moved),
            None if self.books is None else self.books.copy(),
            self.admitted_epoch,
            self.sponsored_epoch,
            self.rested_epoch,
            self.convicted,
            self.row_digests,
            self.hashed,
        )

    def named(self, cut_id: bytes) -> "State":
        """The same state with the id of its cut. Only `id` and `path` depend on it."""
        return replace(self, id=cut_id, path=(*self.path[:-1], cut_id))

    def as_past(self) -> PastCut:
        """What later cuts ask of this one. It shares what did not change since the cut before."""
        if self._as_past is None:
            before = next(reversed(self.past.values()), NOTHING_PAST)
            forks = {peer: member.fork_until for peer, member in self.members.items()}
            rounds = ((line, known.open) for line, known in self.rounds.items())
            self._as_past = PastCut(
                self.epoch,
                self.index,
                self.beacon,
                shared(before.members, past_rows(self.members, forks)),
                shared(before.served, self.served),
                shared(before.lines, self.lines),
                shared(before.disputes, past_disputes(self.disputes)),
                shared(before.rounds, past_rounds(rounds)),
                shared(before.rules, self.rules),
            )
        return self._as_past

    def past_of(self, cut_id: bytes) -> PastCut | None:
        """What is known of this cut, of an earlier one of the path, or of one beside it that was supported in time."""
        return self.as_past() if cut_id == self.id else self.past.get(cut_id) or self.beside.get(cut_id)

    def at_index(self, index: int) -> bytes | None:
        """The cut of the path with an index; None if it is not one of the newest."""
        back = self.index - index
        return self.path[-1 - back] if 0 <= back < len(self.path) else None

    @property
    def ledger_root(self) -> bytes:
        """The Merkle root over all heads, sorted by author."""
        self._ledger_root = self._ledger_root or ledger_root(self.heads[author] for author in sorted(self.heads))
        return self._ledger_root

    def is_forked(self, author: bytes, seq: int) -> bool:
        """Whether an author is known to have forked its log at this number or before it."""
        found = self.members.get(author) or self.moved.get(author)
        return found is not None and any(fork <= seq for fork in found.forks)

    def change(self, peer: bytes, **changes: object) -> None:
        """Change a member in this state only: it is copied before its first change."""
        member = self.members[peer]
        if peer not in self.changed:
            self.changed.add(peer)
            member = self.members[peer] = Member(*_fields_of(member))
        for name, value in changes.items():
            setattr(member, name, value)

    def count(self, what: str) -> None:
        self.totals[what] = self.totals.get(what, 0) + 1

    def convict(self, peer: bytes, reason: str) -> None:
        """Convict a member. The first conviction is final."""
        member = self.members.get(peer)
        if member is not None and not member.is_convicted:
            self.change(peer, convicted_epoch=self.epoch, convicted_after=member.audits, conviction=reason)
            self.convicted |= {peer}

    def convictions(self) -> Convictions:
        """The convicted peers, each with the reason, sorted by peer."""
        return tuple((peer, self.members[peer].conviction) for peer in sorted(self.convicted))


def genesis(network: Network) -> State:
    """The state before any record. Each founder has weight 1."""
    founders = {key: Member(founder=True, weight=1) for key in network.founders}
    books = None if network.tariff is None else Books()
    return State(network.id, 0, 0, first_beacon(network.id), {}, (network.id,), founders, books=books)
