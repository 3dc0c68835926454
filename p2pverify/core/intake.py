"""The way of arriving records into the ledger: admission, then judgement, then their place in the author's log.

The header of a record is read once. `peek` makes a claim of it, which admission, judgement and the table of strangers
take on.
"""

from collections.abc import Callable, Iterable, Sequence

from p2pverify.core.admission import Admission, Claim
from p2pverify.core.errors import GossipIgnore, GossipReject, GossipVerdict
from p2pverify.core.events import Judged, Persist, RecordBatch
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import AHEAD, judge, peek
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.clocks import Clocks
from p2pverify.core.roles.context import Context

#: Of one gossip message or one slice of a session. What is beyond it is passed over.
BATCH_MAX = 4096

#: Is told of a record that was taken, and of the records that now have their whole prefix.
OnTaken = Callable[[Record, list[Record], int], None]


class Intake:
    """Takes in what arrives at one machine."""

    def __init__(self, context: Context, clocks: Clocks, on_taken: OnTaken) -> None:
        self._context = context
        self._clocks = clocks
        self._on_taken = on_taken
        self._peek = peek if context.memo is None else context.memo.peek
        self._judge = judge if context.memo is None else context.memo.judge
        self._rules = Rules(context.network, context.network_id, 0)
        self.admission = Admission(context.key, context.fold)
        #: How often which reason was given, and how many records were accepted.
        self.judged: dict[str, int] = {}

    def take_gossip(self, batches: Iterable[RecordBatch], now_ms: int) -> None:
        """Take gossip messages, each as far as its neighbour's share goes."""
        sorting = _Sorting()
        verdicts: list[GossipVerdict] = []
        for batch in batches:
            claims = [self._peek(data) for data in batch.records]
            if self.admission.affords(claims, batch.source, now_ms):
                verdicts.append(self._take(batch.records, claims, sorting, now_ms))
            else:
                verdicts.append(GossipVerdict.IGNORE)
        self._tell(verdicts, sorting)

    def take_synced(self, records: Sequence[bytes], now_ms: int) -> None:
        """Take what a sync session brought."""
        sorting = _Sorting()
        verdict = self._take(records, [self._peek(data) for data in records], sorting, now_ms)
        self._tell([verdict], sorting)

    def count(self, reason: str, by: int = 1) -> None:
        self.judged[reason] = self.judged.get(reason, 0) + by

    def _take(
        self, records: Sequence[bytes], claims: Sequence[Claim], sorting: "_Sorting", now_ms: int
    ) -> GossipVerdict:
        """Take the records of one message or session; its verdict is that of its worst record, then of its best."""
        rules, ledger, admission = self._rules_at(now_ms), self._context.ledger, self.admission
        taken_before, faults_before = len(sorting.taken), len(sorting.faults)
        is_whole = len(records) <= BATCH_MAX
        for data, claim in zip(records[:BATCH_MAX], claims, strict=False):
            if not admission.admits(claim):
                is_whole = False
                continue
            added: list[Record] = []
            try:
                record = self._judge(data, rules, claim)
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
        # What was not judged is not passed on.
        return GossipVerdict.ACCEPT if is_whole and len(sorting.taken) > taken_before else GossipVerdict.IGNORE

    def _tell(self, verdicts: list[GossipVerdict], sorting: "_Sorting") -> None:
        for reason in sorting.reasons:
            self.count(reason)
        if sorting.taken:
            self.count("accepted", len(sorting.taken))
            self._context.effects.append(Persist(tuple(sorting.taken)))
        self._context.effects.append(Judged(tuple(verdicts), tuple(sorting.reasons), tuple(sorting.faults)))

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
    """What became of the records of one event."""

    __slots__ = ("faults", "reasons", "taken")

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.reasons: list[str] = []
        self.faults: list[str] = []
