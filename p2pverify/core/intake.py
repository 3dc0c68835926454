"""Intake of arriving records: admission, then judgement, then the author's log in the ledger.

The header of a record is read only once. `peek` makes a claim from it, and admission, judgement and the table of
strangers use this claim.
"""

from collections.abc import Callable, Iterable, Sequence

from p2pverify.core.admission import Admission, Claim
from p2pverify.core.counters import Counters
from p2pverify.core.errors import GossipIgnore, GossipReject, GossipVerdict
from p2pverify.core.events import Effect, GossipArrived, Judged, Persist, RecordBatch, RecordsArrived
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import AHEAD, judge, peek
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.clocks import Clocks
from p2pverify.core.roles.context import Context

#: The most records taken from one gossip message or one slice of a session. Further records are ignored.
BATCH_MAX = 4096

#: Called with a record that was taken, the records whose whole prefix is now here, and the time in ms.
OnTaken = Callable[[Record, list[Record], int], None]


class Intake:
    """The intake of one machine."""

    def __init__(self, context: Context, clocks: Clocks, on_taken: OnTaken) -> None:
        self._context = context
        self._clocks = clocks
        self._on_taken = on_taken
        self._peek = peek if context.memo is None else context.memo.peek
        self.judge = judge if context.memo is None else context.memo.judge
        self._rules = Rules(context.network, context.network_id, 0)
        self.admission = Admission(context.key, context.fold)
        #: The number of refusals for each reason, and the number of accepted records.
        self.judged = Counters()

    def take(self, event: RecordsArrived | GossipArrived, now_ms: int) -> list[Effect]:
        """Take the records of an event."""
        if isinstance(event, GossipArrived):
            return self.take_gossip(event.batches, now_ms)
        return self.take_synced(event.records, now_ms)

    def take_gossip(self, batches: Iterable[RecordBatch], now_ms: int) -> list[Effect]:
        """Take gossip messages. A message beyond its neighbour's share is ignored."""
        sorting = _Sorting()
        verdicts: list[GossipVerdict] = []
        for batch in batches:
            claims = [self._peek(data) for data in batch.records]
            if self.admission.affords(claims, batch.source, now_ms):
                verdicts.append(self._take(batch.records, claims, sorting, now_ms))
            else:
                verdicts.append(GossipVerdict.IGNORE)
        return self._tell(verdicts, sorting)

    def take_synced(self, records: Sequence[bytes], now_ms: int) -> list[Effect]:
        """Take the records of a sync session."""
        sorting = _Sorting()
        verdict = self._take(records, [self._peek(data) for data in records], sorting, now_ms)
        return self._tell([verdict], sorting)

    def _take(
        self, records: Sequence[bytes], claims: Sequence[Claim], sorting: "_Sorting", now_ms: int
    ) -> GossipVerdict:
        """Take the records of one message or session, and return its verdict.

        It is REJECT if a record was rejected. It is ACCEPT if all records were judged and at least one was taken.
        Otherwise it is IGNORE.
        """
        rules, ledger, admission = self._rules_at(now_ms), self._context.ledger, self.admission
        taken_before, faults_before = len(sorting.taken), len(sorting.faults)
        is_whole = len(records) <= BATCH_MAX
        for data, claim in zip(records[:BATCH_MAX], claims, strict=False):
            if not admission.admits(claim):
                is_whole = False
                continue
            added: list[Record] = []
            try:
                record = self.judge(data, rules, claim)
                added = ledger.add(record)
            except GossipIgnore as error:
                sorting.reasons.append(error.reason)
                if error.reason == AHEAD:
                    self._note_ahead(data, rules.epoch_now)
            except GossipReject as error:
                sorting.reasons.append(error.reason)
                sorting.faults.append(error.reason)
            else:
                sorting.taken.append(record)
                self._clocks.note(record, rules.epoch_now)
                self._on_taken(record, added, now_ms)
            if claim is not None:
                admission.note(claim, added)
        if len(sorting.faults) > faults_before:
            return GossipVerdict.REJECT
        # A message with a record that was not judged is not forwarded.
        return GossipVerdict.ACCEPT if is_whole and len(sorting.taken) > taken_before else GossipVerdict.IGNORE

    def _tell(self, verdicts: list[GossipVerdict], sorting: "_Sorting") -> list[Effect]:
        judged = Judged(tuple(verdicts), tuple(sorting.reasons), tuple(sorting.faults))
        for reason in sorting.reasons:
            self.judged.count(reason)
        if not sorting.taken:
            return [judged]
        self.judged.count("accepted", len(sorting.taken))
        return [Persist(tuple(sorting.taken)), judged]

    def _note_ahead(self, data: bytes, epoch: int) -> None:
        dated = self._clocks.note_ahead(data, epoch)
        if dated is not None:
            self._context.silence.hides_own(dated)

    def _rules_at(self, now_ms: int) -> Rules:
        context = self._context
        epoch = max(0, context.params.epoch_at(now_ms))
        if self._rules.epoch_now != epoch:
            self._rules = Rules(context.network, context.network_id, epoch)
        return self._rules


class _Sorting:
    """The outcomes for the records of one event."""

    __slots__ = ("faults", "reasons", "taken")

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.reasons: list[str] = []
        self.faults: list[str] = []
