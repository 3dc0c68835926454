"""The facts of a run, from the export of its ledger and from the files of the weights in the peers' homes.

The export is judged and folded here, so nothing that a peer says of itself counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.data.budget import epsilon
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.seal import decode_update_seal
from p2pverify.core.records.payloads.rounds.votes import decode_round_vote
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.verify import verified_fold
from p2pverify.core.settle.books import account_rows
from p2pverify.core.state.lines.versions import find_version, is_tainted, manifest_of, notes_of, status_of
from p2pverify.core.state.rounds.marks import left_out
from p2pverify.core.state.rounds.notes import NO_ROUNDS, ClosedRound, ContributionNote
from p2pverify.core.state.state import State
from p2pverify.core.state.view import scores
from p2pverify.core.training.result import UpdateFinding
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_model, decode_rows
from p2pverify.engine.tabular.training import train
from p2pverify.node.data.statements import load_statement
from p2pverify.node.data.trace import Tracer
from p2pverify.store.exportfile import read_export
from p2pverify.testnet.cases.checks import SHOWN, note_of
from p2pverify.testnet.cases.facts import (
    AccountFacts,
    CheckFacts,
    EventFacts,
    LedgerFacts,
    ModelVersionFacts,
    PeerFacts,
    RoundFacts,
)
from p2pverify.testnet.cases.measure import auc_of_model, compare_alone
from p2pverify.testnet.cases.study import MODES, rho_of
from p2pverify.testnet.plan import PeerPlan
from p2pverify.testnet.processes.cases.making import MadeCase

_FINDINGS = {
    UpdateFinding.RIGHT: "right",
    UpdateFinding.FALSE: "false",
    UpdateFinding.UNSEEN: "unseen",
    UpdateFinding.BROKEN: "broken",
}
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """A verified export: its fold, the state of its cut, and all rounds that are over, also those it has forgotten."""

    fold: Fold
    state: State
    closed: Sequence[ClosedRound]
    facts: LedgerFacts

    @property
    def standing(self) -> list[ClosedRound]:
        """The decided rounds that were not repeated, in the order of their first runs."""
        found = {over.repeats or over.number: over for over in self.closed if over.voters[0]}
        return [found[number] for number in sorted(found)]


def read_ledger(file: Path, *, verified: bool) -> ReadLedger:
    """Verify and fold an export. `verified` is what the command said of it. Blocks. Raises VerificationFailed."""
    with file.open("rb") as source:
        header, found = read_export(source)
        records = list(found)
    fold = verified_fold(header.network_id, header.network_definition, header.cut, records, header.start)
    state = fold.state(header.cut)
    assert state is not None
    facts = LedgerFacts(
        records=len(records), bytes=file.stat().st_size, cut=header.cut.hex(), epoch=state.epoch, verified=verified
    )
    return ReadLedger(fold, state, _all_closed(fold, state), facts)


def _all_closed(fold: Fold, state: State) -> list[ClosedRound]:
    """The rounds that are over, from the states of all cuts, because a state remembers the newest ones only."""
    found: dict[int, ClosedRound] = {}
    for cut in state.path:
        known = fold.state(cut)
        if known is not None and 0 in known.rounds:
            found |= {over.number: over for over in known.rounds[0].closed}
    return [found[number] for number in sorted(found)]


class CaseReader:
    """Reads one run. `homes` are the directories with blobs of rounds, in which weights are found by their digest."""

    def __init__(self, made: MadeCase, ledger: ReadLedger, homes: Sequence[Path]) -> None:
        self._made = made
        self._ledger = ledger
        self._homes = homes
        self._test = decode_rows(made.data.schema, made.test)
        self._names = {peer.key: peer.name for peer in made.plan.peers}
        self._aucs: dict[int, float] = {0: auc_of_model(made.engine.model, self._test)}
        self._results = self._read_results()

    @property
    def start(self) -> float:
        """The AUC of version 0."""
        return self._aucs[0]

    # ------------------------------------------------------------ versions and rounds

    def versions(self) -> tuple[ModelVersionFacts, ...]:
        """All versions, the oldest first."""
        state, network = self._ledger.state, self._ledger.fold.network
        line, notes = network.lines[0], notes_of(network, state, 0)
        found = []
        for number in range(notes.newest + 1):
            version = find_version(notes, number)
            over = next((each for each in self._ledger.closed if each.version == number), None)
            status = str(status_of(line, notes, number, state.epoch)) if version or number == 0 else "forgotten"
            agreed, voters = (0, 0) if over is None else over.voters
            number_of_round = None if over is None else over.number
            found.append(
                ModelVersionFacts(
                    number=number,
                    auc=self._auc(number),
                    status=status,
                    tainted=version is not None and is_tainted([notes], version),
                    round=number_of_round,
                    agreed=agreed,
                    voters=voters,
                )
            )
        return tuple(found)

    def rounds(self) -> tuple[RoundFacts, ...]:
        """The rounds that are over. The AUC is that of the newest version after the round."""
        standing = self._ledger.standing
        return tuple(
            RoundFacts(
                number=over.number,
                epoch=over.epoch,
                decided=over.voters[0] > 0,
                gain=over.gain,
                version=over.version if over.version >= 0 else None,
                auc=self._auc(over.version if over.version >= 0 else over.base),
                agreed=over.voters[0],
                voters=over.voters[1],
                repeats=over.repeats or None,
                stands=over in standing,
                credit={self._names[note.row.author]: note.row.credit for note in over.contributions},
            )
            for over in self._ledger.closed
        )

    def _auc(self, number: int) -> float:
        if number not in self._aucs:
            self._aucs[number] = auc_of_model(self._model(number), self._test)
        return self._aucs[number]

    def _model(self, number: int) -> TabularModel:
        """The weights of a version, by the digest in its decided result, from the first home that has them."""
        digest = self.weights_of(number)
        for home in self._homes:
            for path in (home / "rounds").rglob(digest.hex()):
                data = path.read_bytes()
                if sha256(data) == digest:
                    return decode_model(data)
        raise FileNotFoundError(f"no home has the weights of version {number}")

    def _read_results(self) -> dict[bytes, bytes]:
        """The digest of the weights by that of the manifest, from the opened votes."""
        found = {}
        for record in self._ledger.fold.ledger.records():
            if record.kind == Kind.ROUND_VOTE:
                result = decode_round_vote(record.payload).result
                found[result.manifest] = result.weights
        return found

    # ------------------------------------------------------------ peers

    def compare(self) -> tuple[float, float, Mapping[str, float]]:
        """The AUC over all rows together in floats, the mean alone of honest contributors, and each alone by name."""
        made = self._made
        parts = list(made.rows.values())
        central, _ = compare_alone(made.data.schema, parts, made.test)
        alone = {name: self._trained_alone(rows) for name, rows in made.rows.items()}
        honest = [alone[peer.name] for peer in made.plan.honest if peer.name in alone]
        return central, sum(honest) / len(honest), alone

    def _trained_alone(self, own: Sequence[bytes]) -> float:
        """The AUC of a model that one peer trains by the same rule, in as many rounds, on as many of its own rows."""
        made = self._made
        rows: Rows = decode_rows(made.data.schema, own[made.study.held(made.rule.rounds) :])
        model = made.engine.model
        for number in range(made.rule.rounds):
            run = train(model, rows, made.rule, sha256(b"alone %d" % number + sha256(b"".join(own))))
            model = TabularModel(model.schema, model.hidden, model.weights + run.update)
        return auc_of_model(model, self._test)

    def peers(self, alone: Mapping[str, float]) -> tuple[PeerFacts, ...]:
        """All peers, each with a sentence on it. `alone` has the AUC of each contributor's model alone."""
        state = self._ledger.state
        standing = {score.peer: score for score in scores(self._ledger.fold.network, state)}
        contributions = self._contributions()
        total = sum(max(0, note.row.credit) for own in contributions.values() for note in own) or 1
        known = state.rounds.get(0, NO_ROUNDS)
        absent = left_out(known, known.newest + 1)
        found = []
        for number, peer in enumerate(self._made.plan.peers):
            own, score = contributions.get(peer.key, []), standing[peer.key]
            credit, deceit = sum(max(0, note.row.credit) for note in own), self._made.study.deceits.get(number)
            found.append(
                PeerFacts(
                    name=peer.name,
                    peer_id=peer.peer_id,
                    role=self._made.study.roles[number],
                    cheat=deceit if peer.cheat is None else peer.cheat.label,
                    expected=(deceit and SHOWN) if peer.cheat is None else str(peer.cheat.fate),
                    standing=str(score.standing),
                    audits=score.audits,
                    dissents=score.dissents,
                    rows=len(self._made.rows.get(peer.name, ())),
                    credit=credit,
                    share=credit / total,
                    paid=self._paid(peer),
                    counted=len(own),
                    on_time=sum(note.late == 0 for note in own),
                    late=sum(note.late for note in own) / len(own) if own else 0.0,
                    sealed=self._sealed(peer),
                    marked=sum(note.row.is_marked for note in own),
                    quarantined=peer.key in absent,
                    found=dict(Counter(_FINDINGS[note.row.finding] for note in own)),
                    eps=self._spent(peer)[0],
                    eps_budget=self._spent(peer)[1],
                    alone=alone.get(peer.name),
                    note="",
                )
            )
        return tuple(replace(peer, note=note_of(peer, known.decided)) for peer in found)

    def _contributions(self) -> dict[bytes, list[ContributionNote]]:
        found: dict[bytes, list[ContributionNote]] = {}
        for over in self._ledger.standing:
            for note in over.contributions:
                found.setdefault(note.row.author, []).append(note)
        return found

    def _sealed(self, peer: PeerPlan) -> int:
        """How many decided rounds have a seal of a peer, whether it counts or not."""
        decided = {over.number for over in self._ledger.standing}
        chain = self._ledger.fold.ledger.chain(peer.key)
        return len(
            {
                seal.place.number
                for record in chain
                if record.kind == Kind.UPDATE_SEAL
                for seal in (decode_update_seal(record.payload),)
                if seal.place.number in decided
            }
        )

    def _spent(self, peer: PeerPlan) -> tuple[float | None, float | None]:
        """The eps of what a peer's rows have spent, and that of their budget; None without noise."""
        rule = self._made.rule
        use = next((each.training for each in self._ledger.state.datasets.values() if each.author == peer.key), None)
        if not rho_of(rule) or use is None:
            return None, None
        spent, budget = (epsilon(rho, rule.delta_exponent) / _MILLION for rho in (use.spent, use.terms.budget))
        return spent, budget

    def _paid(self, peer: PeerPlan) -> int | None:
        """What a peer was paid for training; None in a network without a tariff."""
        books = self._ledger.state.books
        return None if books is None else books.account(peer.key).training

    def accounts(self) -> tuple[AccountFacts, ...]:
        """All accounts, the pool's last; none in a network without a tariff."""
        books = self._ledger.state.books
        found = [
            AccountFacts(
                name=self._names[row.key] if row.key else "pool",
                vested=row.vested,
                escrow=row.escrow,
                answers=row.answers,
                audits=row.audits,
                votes=row.votes,
                training=row.training,
                forfeited=row.forfeited,
                claims=row.claims,
            )
            for row in ([] if books is None else account_rows(books))
        ]
        return tuple(sorted(found, key=lambda account: (account.name == "pool", account.name)))

    def weights_of(self, number: int) -> bytes:
        """The SHA-256 of the weights of a version that a round made, by its decided result."""
        notes = notes_of(self._ledger.fold.network, self._ledger.state, 0)
        return self._results[manifest_of(self._ledger.fold.network.lines[0], notes, number)]

    def handovers(self, files: Sequence[Path]) -> tuple[list[EventFacts], list[CheckFacts]]:
        """The hand-overs of a lot, the first one first, as the trace of its subject shows them. Raises FileError.

        `files` are the statements. The last hand-over is to have the signature of its giver alone.
        """
        opened = [load_statement(file) for file in files]
        tracer = Tracer(self._ledger.fold, self._ledger.state.id)
        found = tracer.trace(opened[0].statement.subject, opened)
        by_id = {peer.peer_id: f"{peer.name} ({role})" for peer, role in self._parties()}
        shown = {node.id: node for node in found.nodes if node.kind == "statement"}
        records = [tracer.record_of(each) for each in opened]
        nodes = [shown[record.id.hex()] for record in records if record is not None and record.id.hex() in shown]
        events = []
        for node in nodes:
            giver, taker = by_id[node.author or ""], by_id.get(node.signed_with or "", "nobody")
            what = f"{giver} handed over {node.opened}; {taker} signed with it"
            events.append(EventFacts(epoch=-1 if node.epoch is None else node.epoch, what=what))
        alone = [by_id[node.author or ""] for node in nodes if node.signed_with is None]
        swappers = [
            f"{peer.name} ({role})"
            for number, (peer, role) in enumerate(self._parties())
            if number in self._made.study.deceits
        ]
        checks = [
            CheckFacts(
                what="the trace of the lot shows every hand-over in a certified cut, and no signature fails",
                found=f"{len(nodes)} of {len(files)}, faults: {', '.join(found.faults) or 'none'}",
                holds=len(nodes) == len(files) and not found.faults and all(n.epoch is not None for n in nodes),
            ),
            CheckFacts(
                what=f"the trace shows one hand-over that its taker did not sign, by {', '.join(swappers)}",
                found=", ".join(alone) or "none",
                holds=alone == swappers,
            ),
        ]
        return events, checks

    def _parties(self) -> list[tuple[PeerPlan, str]]:
        return list(zip(self._made.plan.peers, self._made.study.roles, strict=True))


def mode_of(rule: TrainingRule) -> str:
    """The mode of a rule in words."""
    return MODES.get(rule.mode, "reported")
