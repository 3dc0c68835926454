"""The view: the scores of a state for people and programs, and the canonical bytes behind the view root.

The view root is the hash of the view's head, which holds a Merkle root over the rows. So one row is provable alone.
"""

from dataclasses import dataclass, replace

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.odds import TestSteps
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode
from p2pverify.core.inference import pooled
from p2pverify.core.inference.speed import Claimant, Speed, speeds
from p2pverify.core.settle.books import Books, account_rows
from p2pverify.core.state.lines.rows import line_rows
from p2pverify.core.state.lines.versions import is_behind, line_of, model_of
from p2pverify.core.state.score import Standing, availability_ppm, interval_ppm, standing
from p2pverify.core.state.state import Member, RowDigest, RowDigests, State
from p2pverify.core.state.transition import across_steps, class_steps
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.core.state.verdicts.objections import contesting, rests_on
from p2pverify.core.state.view_bytes import AccountProof, ScoreProof, ViewHead, weighted_digest
from p2pverify.core.state.weights import weighted_peers


@dataclass(frozen=True, slots=True)
class Score:
    """One peer in a view. Rates in parts per million. People read `low_ppm` as the score, but never alone."""

    peer: bytes
    class_name: str
    standing: Standing
    weight: int
    low_ppm: int
    high_ppm: int
    audits: int
    agreements: int
    dissents: int
    inconclusive: int
    challengers: int  # challengers whose audits were judged, itself included
    contacts: int  # challengers that asked it, with any outcome; the view's bytes hold this number
    last_audit_epoch: int
    availability_ppm: int | None
    no_shows: int
    slots_owed: int
    unopened: int
    cusum: int
    threshold: int
    long_cusum: int
    long_threshold: int
    judged: int  # answers in the pooled test
    capital: int
    capital_threshold: int
    convicted_epoch: int | None
    convicted_after: int | None
    conviction: str
    rests: bool  # its weight was put to rest, because it was silent for long
    sponsors: tuple[bytes, ...]  # members with weight that stand for it
    contested_by: tuple[bytes, ...]  # members without whose objected decisions the conviction would not stand
    fork_until: int | None  # last epoch of a fork's penalty, None if there is none now
    speed: Speed | None  # None if it claims no hardware; it decides nothing
    handovers: int = 0  # how often its row moved to another key
    handed_epoch: int | None = None  # of the newest move
    moves_to: bytes | None = None  # the key to which its row is about to move
    version: int | None = None  # the number of the version that it serves; None if its model has no line
    is_behind: bool = False  # that version is retired or recalled, so it is not asked


def scores(network: Network, state: State) -> tuple[Score, ...]:
    """All members of a state, sorted by key."""
    table = _Table(network, state)
    return tuple(table.score(peer) for peer in sorted(state.members))


class _Table:
    """The rows of a state, one at a time, with what they have in common."""

    def __init__(self, network: Network, state: State) -> None:
        self._network = network = state.rules_in(network)
        self._state = state
        self.weighted = frozenset(weighted_peers(state))
        self._steps = class_steps(network)
        self._speeds = _speeds(state, self.weighted)
        self._behind: dict[tuple[int, int], bool] = {}  # by class and version

    def score(self, peer: bytes) -> Score:
        member = self._state.members[peer]
        steps = self._steps[member.class_index]
        score = _score(self._network, self._state, peer, member, steps, self.weighted, self._speeds.get(peer))
        if line_of(self._network, self._state, peer) is None:
            return score
        return replace(score, version=self._state.version_of(peer), is_behind=self._is_behind(peer))

    def row(self, peer: bytes) -> bytes:
        """The row in canonical bytes."""
        row = _score_row(self.score(peer), self._state.members[peer])
        return encode([*row, self.version_value(peer)] if self._network.lines else row)

    def version_value(self, peer: bytes) -> list[object] | None:
        """The last item of a row in a network with lines. It is null for a peer whose model has none."""
        if line_of(self._network, self._state, peer) is None:
            return None
        return [model_of(self._network, self._state, peer), self._is_behind(peer)]

    def _is_behind(self, peer: bytes) -> bool:
        """All members of a class that serve one version are behind, or none is."""
        key = (self._state.members[peer].class_index, self._state.version_of(peer))
        if key not in self._behind:
            self._behind[key] = is_behind(self._network, self._state, peer)
        return self._behind[key]


def _speeds(state: State, weighted: frozenset[bytes]) -> dict[bytes, Speed]:
    claimants = {}
    for peer, member in state.members.items():
        if member.hardware:
            windows = tuple(c.windows for asker, c in member.contacts.items() if asker in weighted)
            counts = member.active and peer in weighted and not member.is_convicted
            claimants[peer] = Claimant(member.class_index, member.hardware, windows, counts)
    return speeds(claimants) if claimants else {}


def _score(
    network: Network,
    state: State,
    peer: bytes,
    member: Member,
    steps: TestSteps,
    weighted: frozenset[bytes],
    speed: Speed | None,
) -> Score:
    low, high = interval_ppm(member.agreements, member.dissents)
    available = availability_ppm(member, weighted)
    convicted = member.is_convicted
    return Score(
        peer,
        network.classes[member.class_index].name,
        standing(member, _suspect_at(network, member.class_index, steps), available, state.epoch),
        member.weight,
        low,
        high,
        member.audits,
        member.agreements,
        member.dissents,
        member.inconclusive,
        len(member.auditors),
        len(member.contacts),
        member.last_audit_epoch,
        available,
        member.no_shows,
        member.slots_owed,
        member.unopened,
        member.cusum,
        steps.threshold,
        member.long_cusum,
        steps.long_threshold,
        member.judged,
        member.capital,
        pooled.threshold(network.params.conviction_odds),
        member.convicted_epoch if convicted else None,
        member.convicted_after if convicted else None,
        member.conviction,
        member.rests_from >= 0,
        tuple(sorted(member.sponsors)),
        tuple(contesting(network, state, member)),
        member.fork_until if state.epoch <= member.fork_until else None,
        speed,
        member.handovers,
        member.handed_epoch if member.handovers else None,
        member.successor,
    )


def _suspect_at(network: Network, class_index: int, steps: TestSteps) -> int:
    """The smallest step of a dissent, within the class or across classes."""
    is_judged = network.classes[class_index].across is not None
    return min(steps.up, across_steps(network, class_index).up) if is_judged else steps.up


def view_head(network: Network, state: State) -> ViewHead:
    """The head of the view. It depends only on the records in the cut."""
    rows, disputes = _row_hashes(network, state), dispute_rows(state)
    return ViewHead(
        network.id,
        state.epoch,
        state.index,
        state.beacon,
        state.ledger_root,
        weighted_digest(state.row_digests.weighted),  # which `_row_hashes` has left there
        (len(rows), merkle.root_of(rows)),
        (len(disputes), merkle.root(disputes)),
        tuple((name, state.totals[name]) for name in sorted(state.totals)),
        _lines(network, state),
        _accounts(state),
    )


def _lines(network: Network, state: State) -> tuple[int, bytes] | None:
    found = line_rows(network, state)
    return (len(found), merkle.root(found)) if found or state.books is not None else None


def _accounts(state: State) -> tuple[int, bytes] | None:
    if state.books is None:
        return None
    found = encoded_accounts(state.books)
    return len(found), merkle.root(found)


def encoded_accounts(books: Books) -> list[bytes]:
    """The canonical rows of all accounts, sorted by key."""
    return [encode(row.to_value()) for row in account_rows(books)]


def view_root(network: Network, state: State) -> bytes:
    """The view root of a state. A cut proposes it, and members sign it."""
    return view_head(network, state).root


def score_rows(network: Network, state: State) -> list[bytes]:
    """The canonical rows of all members, sorted by key."""
    table = _Table(network, state)
    return [table.row(peer) for peer in sorted(state.members)]


def dispute_rows(state: State) -> list[bytes]:
    """The canonical rows of all disputes, sorted by epoch, challenger and slot."""
    return [encode(_dispute_row(state.disputes[key])) for key in sorted(state.disputes, key=lambda k: k.sort_key())]


def _row_hashes(network: Network, state: State) -> list[bytes]:
    """The leaf hashes of all rows, sorted by peer. Rows that have not changed since an earlier view are not encoded."""
    table = _Table(network, state)
    known = state.row_digests.rows if state.row_digests.weighted == table.weighted else {}
    rows: dict[bytes, RowDigest] = {}
    for peer, member in sorted(state.members.items()):
        row, is_under_penalty = known.get(peer), state.epoch <= member.fork_until
        # A row with a claim of hardware, or with a conviction that can be contested, depends on other peers too.
        is_alone = not member.hardware and not (member.is_convicted and rests_on(member))
        version = encode(table.version_value(peer)) if network.lines else b""
        inputs = (is_under_penalty, version)
        if row is None or row.member is not member or row.inputs != inputs or not is_alone:
            row = RowDigest(member, inputs, merkle.leaf(table.row(peer)))
        rows[peer] = row
    state.row_digests = RowDigests(table.weighted, rows)
    return [row.digest for row in rows.values()]


def prove_score(network: Network, state: State, peer: bytes) -> ScoreProof | None:
    """The proof of a peer's row; None if the state has no row of it."""
    return ScoreProver(network, state).prove(peer)


def prove_account(network: Network, state: State, key: bytes) -> AccountProof | None:
    """The proof of an account's row; None if the view has none of it."""
    if state.books is None:
        return None
    rows = account_rows(state.books)
    position = next((position for position, row in enumerate(rows) if row.key == key), None)
    if position is None:
        return None
    encoded = encoded_accounts(state.books)
    path = merkle.inclusion_path([merkle.leaf(row) for row in encoded], position)
    return AccountProof(view_head(network, state), encoded[position], position, path)


class ScoreProver:
    """Proves rows of one view, whose head and hashes it computes once."""

    def __init__(self, network: Network, state: State) -> None:
        self._hashes = _row_hashes(network, state)
        self._table = _Table(network, state)
        self._positions = {peer: position for position, peer in enumerate(sorted(state.members))}
        self.head = view_head(network, state)

    def prove(self, peer: bytes) -> ScoreProof | None:
        """The proof of a peer's row; None if the view has no row of it."""
        position = self._positions.get(peer)
        if position is None:
            return None
        return ScoreProof(self.head, self._table.row(peer), position, merkle.inclusion_path(self._hashes, position))


def _score_row(score: Score, member: Member) -> list[object]:
    return [
        score.peer,
        member.class_index,
        member.vrf_key,
        member.joined_epoch,
        member.active,
        str(score.standing),
        score.weight,
        [score.rests, list(score.sponsors)],
        [
            *(score.low_ppm, score.high_ppm, score.agreements, score.dissents, score.inconclusive),
            *(score.cusum, score.long_cusum, score.judged, score.capital),
        ],
        [score.contacts, score.availability_ppm, len(member.credits)],
        [score.slots_owed, score.no_shows, score.unopened],
        [member.duties_met, member.missed_duties, member.void_audits],
        [
            score.last_audit_epoch + 1,
            member.fork_until + 1,
            member.convicted_epoch + 1,
            member.suspended_until + 1,
        ],
        score.convicted_after,
        score.conviction,
        list(score.contested_by),
        _speed_value(score.speed),
        [score.handovers, member.handed_epoch + 1, score.moves_to],
    ]


def _speed_value(speed: Speed | None) -> list[object]:
    if speed is None:
        return []
    typical = speed.typical
    times = [] if typical is None else [typical.token_us, typical.first_ms, typical.step_us]
    return [speed.claim, str(speed.fit), speed.challengers, times]


def _dispute_row(dispute: Dispute) -> list[object]:
    current = dispute.round
    return [
        dispute.key.to_value(),
        dispute.opened_epoch,
        current.sealed_index + 1,
        sorted(dispute.electorate),
        [current.stage, current.began_index, current.voters, sorted(current.lots), sorted(current.seats)],
        [[voter, sealed.commit, sealed.seq, sealed.stage] for voter, sealed in sorted(dispute.commits.items())],
        [[voter, vote.output, vote.shown] for voter, vote in sorted(dispute.votes.items())],
        dispute.decision,
        [[peer, output] for peer, output in sorted(dispute.objections.items())],
    ]
