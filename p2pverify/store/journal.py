"""The node's journal over the database: it writes, loads at the start, and reports what is damaged."""

import logging
from collections.abc import Iterator, Sequence

from p2pverify import __version__
from p2pverify.core.errors import DecodeError, GossipReject, LocalProtocolError
from p2pverify.core.events import StoredAnswer, StoredEvidence
from p2pverify.core.machine import Machine
from p2pverify.core.records.floors import Prune
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import Outcome
from p2pverify.core.settle.exchange import StoredCredit
from p2pverify.core.state.codec.roots import state_root
from p2pverify.node.driver import Driver
from p2pverify.node.journal import (
    History,
    JournalStalled,
    Kept,
    decode_credit,
    decode_output,
    decode_stored_evidence,
    encode_credit,
    encode_output,
)
from p2pverify.store.errors import StoreError
from p2pverify.store.integrity.inspection import Damage, Inspection, name_damage
from p2pverify.store.integrity.repair import Repair
from p2pverify.store.sqlite import Store
from p2pverify.store.window.start import Start
from p2pverify.store.writes import (
    DropEvidence,
    HorizonRow,
    PutAnswer,
    PutBase,
    PutCredit,
    PutEvidence,
    PutRecord,
    Write,
)

_NAMED_MAX = 20
log = logging.getLogger(__name__)


class StoreJournal:
    """One node's journal. `own` is its public key. `history` says which records it keeps."""

    def __init__(self, store: Store, own: bytes, history: History = "window") -> None:
        self.history: History = history
        self._store = store
        self._own = own
        self._inspection: Inspection | None = None
        self._bad_answers: list[tuple[bytes, bytes]] = []
        self._has_rejected = False
        self._start: Start | None = None

    async def persist(
        self,
        records: Sequence[Kept],
        answers: Sequence[StoredAnswer],
        evidence: Sequence[StoredEvidence] = (),
        evidence_from: int = 0,
        credit: Sequence[StoredCredit] = (),
        prune: Prune | None = None,
    ) -> None:
        """As in the port. Raises StoreError, also for an own record with a number that was used before."""
        writes: list[Write] = [
            PutRecord(r.id, r.author, r.seq, r.kind, r.epoch, r.data, received=kept.received)
            for kept in records
            for r in (kept.record,)
        ]
        writes += [PutAnswer(a.requester, a.question, encode_output(a), a.epoch) for a in answers]
        writes += [PutEvidence(e.epoch, e.slot, e.responder, encode_output(e)) for e in evidence]
        writes += [PutCredit(c.side, c.peer, encode_credit(c)) for c in credit]
        if evidence_from > 0:
            writes.append(DropEvidence(evidence_from))
        if prune is not None:
            writes.append(self._base(prune))
        mended = [kept.record for kept in records if self._store.is_damaged(kept.record.id)]
        try:
            await self._store.append(writes)
        except StoreError as error:
            if error.fatal:
                raise
            raise JournalStalled(error.reason, error.hint) from error
        except LocalProtocolError as error:
            raise StoreError(
                f"this peer would sign a second record with one number ({error.reason})",
                "look with 'p2pverify ledger check'; if another copy of this home has run, use the home that ran last",
            ) from error
        self._store.shelf.note_written(kept.record.id for kept in records)
        for record in mended:
            log.warning("record %s has come back and is whole again", record.id.hex()[:16])

    def _base(self, prune: Prune) -> PutBase:
        """What is written of a base. Answers of epochs before the horizon can be asked for no more."""
        floors = sorted(prune.floors.items())
        horizon = tuple(HorizonRow(author, each.seq, each.id, each.epoch, each.since) for author, each in floors)
        epoch = max((row.epoch for row in horizon), default=0)
        keeps_all = self.history == "all" or not prune.forgets
        return PutBase(prune.cuts, prune.states, horizon, epoch, prune.named, prune.gone, keeps_all)

    def statistics(self) -> dict[str, int]:
        return self._store.statistics()

    def load_into(self, driver: Driver) -> int:
        """Load the stored data into a node and log what is damaged. Blocks. Returns how many records were taken.

        Records that this version of the program judged before it wrote them are not judged again. Raises StoreError if
        the stored state is not what was written.
        """
        self._begin(driver.machine)
        self._store.shelf.is_loading = True
        stored = (self.records(), self.answers(), self.evidence(), self.take_outcome, self.credit())
        taken = driver.load(*stored, are_judged=self._store.judged_by == __version__)
        self._store.shelf.is_loading = False
        driver.machine.expect_own(self.end_loading(driver.machine.context.ledger))
        if not self._has_rejected:  # a row that is rejected stays, so it must be judged at each start
            self._store.note_judged(__version__)
        return taken

    def _begin(self, machine: Machine) -> None:
        """Let a machine begin at the stored base, if there is one."""
        try:
            self._start = start = self._store.read_start()
            if start is None:
                return
            machine.begin_at(start.base, start.floors, start.named)
        except DecodeError as error:
            raise self._store.damaged_base(error.reason) from error
        for cut_id in start.base.cuts:
            record, state = self._store.shelf.get(cut_id), machine.fold.kept(cut_id)
            assert state is not None  # the machine has just begun there
            if record is not None and decode_cut(record.payload).state_root != state_root(machine.network.id, state):
                raise self._store.damaged_base("its root is not the one that its cut names")

    def records(self) -> Iterator[bytes]:
        """All stored records above the start. Call `take_outcome` for each before taking the next. Blocks."""
        self._inspection = self._store.inspect(self._start)
        return self._inspection.records()

    def take_outcome(self, outcome: Outcome) -> None:
        """Note whether the record that was taken or refused is the one that was written."""
        assert self._inspection is not None
        self._inspection.take_outcome(outcome)
        self._has_rejected |= isinstance(outcome, GossipReject)

    def answers(self) -> Iterator[StoredAnswer]:
        """The stored answers without damaged ones, which are computed again when asked for. Blocks."""
        for requester, question, data, epoch in self._store.load_answers():
            try:
                yield decode_output(requester, question, data, epoch)
            except DecodeError:
                self._bad_answers.append((requester, question))

    def evidence(self) -> Iterator[StoredEvidence]:
        """The answers to own slots across classes, without damaged ones; other peers may have those. Blocks."""
        for epoch, slot, responder, data in self._store.load_evidence():
            try:
                yield decode_stored_evidence(epoch, slot, responder, data)
            except DecodeError as error:
                log.warning("stored evidence of slot %d of epoch %d is left out: %s", slot, epoch, error.reason)

    def credit(self) -> Iterator[StoredCredit]:
        """What clients owe, and what is owed to others, without damaged rows. Blocks."""
        for side, peer, data in self._store.load_credit():
            try:
                yield decode_credit(side, peer, data)
            except DecodeError as error:
                log.warning("a %s with %s is left out: %s", side, peer.hex()[:16], error.reason)

    def end_loading(self, ledger: Ledger) -> int:
        """Log what is damaged, and let it be replaced. Returns the number below which own records were signed.

        `ledger` holds the records that were taken. Blocks. Call it before the store runs.
        """
        found = self._inspection
        assert found is not None
        superseded = frozenset(damage.place for damage in found.damaged if _is_held(damage, ledger))
        damaged = [damage for damage in found.damaged if damage.place not in superseded]
        for damage in damaged[:_NAMED_MAX]:
            log.warning("%s; %s", name_damage(damage, self._own), self._what_follows(damage))
        if len(damaged) > _NAMED_MAX:
            log.warning("%d more stored records are damaged", len(damaged) - _NAMED_MAX)
        self._name_missing(found)
        repair = Repair(tuple(found.misdescribed), tuple(sorted(superseded)), tuple(found.misnumbered))
        if repair:
            log.warning(
                "put right in the database: %d records with wrong columns beside them, %d damaged ones that are held "
                "elsewhere in it, %d numbers of own records",
                len(repair.misdescribed),
                len(repair.superseded),
                len(repair.misnumbered),
            )
            self._store.mend(repair)
        if self._bad_answers:
            log.warning("%d stored answers are damaged; they are answered anew if asked for", len(self._bad_answers))
        self._store.allow_replacing((damage.id for damage in damaged), self._bad_answers)
        return found.signed_before

    def _what_follows(self, damage: Damage) -> str:
        if damage.author == self._own:
            return "this peer signs nothing until it has come back from other peers"
        return "it is fetched again from other peers"

    def _name_missing(self, found: Inspection) -> None:
        named = {damage.seq for damage in found.damaged if damage.author == self._own}
        gone = [seq for seq in found.own_holes if seq not in named]
        if gone:
            log.warning(
                "%d own records are missing, the first with number %d; this peer signs nothing until they have come "
                "back from other peers",
                len(gone),
                gone[0],
            )


def _is_held(damage: Damage, ledger: Ledger) -> bool:
    """Whether another row holds the record of a damaged row: the ledger has the row's number with another id."""
    held = ledger.at(damage.author, damage.seq)
    return held is not None and held.id != damage.id
