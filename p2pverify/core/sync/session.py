"""A sync session: it fetches from one neighbour the records that are missing here.

The session finds a cut that both peers know (`above`). A peer that is far behind first takes the records of the cuts
after it. The session then reconciles the two sets above the cut (`negentropy`), fetches the missing records in pages,
oldest epochs first, and compares the newest certified cuts. Without a common cut the session is over (`is_gone`).
Fingerprints are sums, so an author of records can forge one. If a neighbour's
certified cut stays unknown although the sets seem equal, the session therefore compares epochs by digests that nobody
can forge, and lists ids. Each side fetches for itself. The set also holds the records of convicted peers and all
branches of a fork.

There is no I/O and no clock: a session makes requests and reads answers, and `server` makes the answers. The caller
judges and takes the records that a session returns.
"""

from collections import deque
from dataclasses import dataclass

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.judge import RecordClaim, peek
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.sync.above import SetsAbove, SyncContext
from p2pverify.core.sync.index import RecordIndex
from p2pverify.core.sync.memory import SyncMemory
from p2pverify.core.sync.messages import (
    ANSWER_BYTES_MAX,
    FETCH_IDS_MAX,
    LIST_IDS_MAX,
    RECORD_ITEM_BYTES_MAX,
    AskCommon,
    AskDigests,
    AskFinal,
    AskIds,
    Between,
    Common,
    Digests,
    Fetch,
    Final,
    FinalCut,
    Ids,
    Reconcile,
    Reconciled,
    Records,
    Request,
    decode_answer,
)
from p2pverify.core.sync.negentropy import Initiator

REQUESTS_MAX = 4_096  # of one session
ROUNDS_MAX = 256  # of reconciliation in a row that find nothing to fetch
USELESS_MAX = 4_096  # ids of one session that were not delivered, or refused on arrival
STREAM_CUTS = 4  # a peer that is so many cuts behind takes them in order
AGAIN_MAX = 512  # records that one session asks for again, because a proposal names a later record of their author
NO_ID = bytes(32)


@dataclass(frozen=True, slots=True)
class SyncTurn:
    """The next step: send `request` (None: the session is over), and take `records` in their order.

    The request may be sent first, so that the neighbour works meanwhile. The records must be judged, and taken or
    refused, before the next call of `receive` or `end`.
    """

    records: tuple[bytes, ...]
    request: bytes | None


class SyncSession:
    """Fetches missing records from one neighbour.

    `sets` are those of this peer. `memory` is this neighbour's, from earlier sessions. `claimed` holds the ids
    that sessions with other neighbours are fetching now. `start` returns the first request; `receive` reads an answer
    and returns the next step. Call `end` after the last step, and `release` after the session in any case.
    """

    def __init__(self, context: SyncContext, sets: SetsAbove, memory: SyncMemory, claimed: set[bytes]) -> None:
        self._context = context
        self._memory = memory
        self._claimed = claimed
        self._sets = sets
        self._cut = NO_ID  # the common cut
        self._index = RecordIndex()
        self._initiator = Initiator(self._index)
        self._sent: Request = AskFinal()
        self._has_common = False
        self._skip: int | None = None  # how many records of the cuts after the common one have come
        self._may_stream = True
        self._requests = 0
        self._message: bytes | None = None  # the next message of the reconciliation
        self._rounds = 0  # in a row without an id to fetch
        self._needs: deque[bytes] = deque()
        self._fetching: tuple[bytes, ...] = ()
        self._delivered: dict[bytes, RecordClaim] = {}  # the records of the last answer, by id
        self._again = 0  # records that were refused before and are asked for again
        self._has_asked_final = False
        self._digest_epoch: int | None = None  # the first epoch still to be compared
        self._epochs: deque[int] = deque()  # epochs with ids to be listed
        self._after = NO_ID  # the last listed id
        self._taken_before: int | None = None  # the value of `taken` before all epochs were compared
        self._elsewhere: set[bytes] = set()  # ids left to other sessions
        self._has_ended = False
        self._gave_up = False
        self._lacks_own = False
        #: Whether the neighbour has forgotten all records that could follow on ours, or we on its ones.
        self.is_gone = False
        self.fetched = 0  # records that arrived
        self.taken = 0  # arrived records that were new and are kept
        self.useless = 0  # ids that were announced and not delivered, or refused on arrival

    # ------------------------------------------------------------ steps

    def start(self) -> bytes:
        """The first request."""
        self._memory.begin()
        request = self._next()
        assert request is not None
        return request

    def receive(self, data: bytes) -> SyncTurn:
        """Read the answer to the last request. Raises RemoteProtocolError."""
        self._look_back()
        answer = decode_answer(data)
        records: tuple[bytes, ...] = ()
        match self._sent, answer:
            case AskCommon(), Common():
                self._read_common(answer)
            case Between(), Records():
                self._read_between(answer.records)
                records = answer.records
            case Reconcile(), Reconciled():
                self._read_message(answer.message)
            case Fetch(), Records():
                self._read_records(self._sent.ids, answer.records, len(data))
                records = answer.records
            case AskFinal(), Final():
                self._read_final(answer.cut)
            case AskDigests(), Digests():
                self._read_digests(self._sent.epoch, answer)
            case AskIds(), Ids():
                self._read_ids(self._sent, answer.ids)
            case _:
                raise RemoteProtocolError("an answer to another request")
        return SyncTurn(records, self._next())

    def end(self) -> None:
        """The last records were taken or refused: note the outcome."""
        self._look_back()
        self._has_ended = True
        if self._taken_before is not None:
            self._memory.listed(useful=self.taken > self._taken_before)

    @property
    def is_complete(self) -> bool:
        """Whether all records of the neighbour are here, except refused records of other authors.

        No own record may be missing, whether it was refused, withheld, or waits for an earlier record.
        """
        is_whole = self._has_ended and not (self._gave_up or self._lacks_own or self.is_gone)
        ledger = self._context.ledger
        return (
            is_whole and self._memory.unknown_cut == NO_ID and all(record_id in ledger for record_id in self._elsewhere)
        )

    def release(self) -> None:
        """Let other sessions fetch the ids that this one was fetching."""
        self._claimed.difference_update(self._fetching)
        self._fetching = ()

    # ------------------------------------------------------------ asking

    def _next(self) -> bytes | None:
        """The next request; None if there is nothing left to ask, or if the session gives up."""
        if self._requests == REQUESTS_MAX or self._rounds == ROUNDS_MAX or self.useless > USELESS_MAX:
            self._gave_up = True
            return None
        request = self._choose()
        if request is None:
            return None
        self._requests += 1
        self._sent = request
        return request.encode()

    def _choose(self) -> Request | None:
        if self._skip is not None:
            return Between(self._cut, self._skip)
        if self.is_gone:
            return None
        if not self._has_common:
            return AskCommon(self._context.network_id, self._sets.offered())
        self._fetching = self._claim()
        if self._fetching:
            return Fetch(self._fetching)
        if self._message is not None:
            message, self._message = self._message, None
            return Reconcile(self._cut, message)
        if self._epochs:
            return AskIds(self._cut, self._epochs[0], self._after)
        if self._digest_epoch is not None:
            epoch, self._digest_epoch = self._digest_epoch, None
            return AskDigests(self._cut, epoch)
        if not self._has_asked_final:
            self._has_asked_final = True
            return AskFinal()
        return None

    def _claim(self) -> tuple[bytes, ...]:
        """The next ids to fetch that no other session is fetching."""
        found: list[bytes] = []
        while self._needs and len(found) < FETCH_IDS_MAX:
            record_id = self._needs.popleft()
            if record_id in self._context.ledger:
                continue
            if record_id in self._claimed:
                self._elsewhere.add(record_id)
            else:
                self._claimed.add(record_id)
                found.append(record_id)
        return tuple(found)

    # ------------------------------------------------------------ reading

    def _read_common(self, answer: Common) -> None:
        assert isinstance(self._sent, AskCommon)
        cut, final = answer.cut, answer.final
        if cut is None:
            self.is_gone = True
            return
        if cut not in self._sent.cuts:
            raise RemoteProtocolError("a common cut that was not offered")
        self._cut = cut
        if self._may_stream and final is not None and final.index >= self._context.fold.latest.index + STREAM_CUTS:
            self._may_stream, self._skip = False, 0
            return
        index = self._sets.above(cut)
        if index is None:
            raise RemoteProtocolError("a common cut that is known no more")
        if final is None or self._is_final_here(final):
            self._has_asked_final = True  # the answer would say nothing new
            self._memory.unknown_cut = NO_ID
        self._has_common, self._index = True, index
        self._initiator = Initiator(index)
        self._message = self._initiator.initiate()

    def _read_between(self, records: tuple[bytes, ...]) -> None:
        """Note the records of cuts. They are followed by a new common cut."""
        assert self._skip is not None
        self._skip = self._skip + len(records) if records else None
        for data in records:
            claim = peek(data)
            if claim is None:
                raise RemoteProtocolError("not a record")
            if claim.id not in self._context.ledger:
                self._delivered[claim.id] = claim
        self.fetched += len(records)

    def _read_message(self, message: bytes) -> None:
        self._message, found = self._initiator.reconcile(message)
        self._need(found.need)
        self._rounds = 0 if self._needs else self._rounds + 1

    def _need(self, ids: tuple[bytes, ...]) -> None:
        self._needs.extend(filter(self._makes_sense, ids))

    def _makes_sense(self, record_id: bytes) -> bool:
        """Whether to ask for a record. If it was refused lately, only if a proposal has called for it since."""
        author = self._memory.author_of_refused(record_id)
        called = self._context.fold.called
        if author is None or record_id in called:
            return True
        if self._again == AGAIN_MAX or not called.lacks(author):
            return False
        self._again += 1
        return True

    def _read_records(self, asked: tuple[bytes, ...], records: tuple[bytes, ...], size: int) -> None:
        self.release()
        missing = dict.fromkeys(asked)
        for data in records:
            claim = peek(data)
            record_id = NO_ID if claim is None else claim.id
            if claim is None or record_id not in missing:
                raise RemoteProtocolError("a record that was not asked for")
            del missing[record_id]
            self._delivered[record_id] = claim
        self.fetched += len(records)
        if records and size + RECORD_ITEM_BYTES_MAX > ANSWER_BYTES_MAX:
            self._needs.extendleft(reversed(missing))  # the answer had no room for them
        else:
            for record_id in missing:
                self._refuse(record_id)

    def _look_back(self) -> None:
        """Note which of the last delivered records were taken."""
        ledger = self._context.ledger
        for record_id, claim in self._delivered.items():
            if record_id in ledger:
                self.taken += 1
            elif claim.author == self._context.key:
                self._lacks_own = True  # requested again in every session
                self.useless += 1
            elif ledger.is_awaited(claim.author, claim.prev):
                self._memory.refuse(record_id)  # it is here and waits for its predecessor: no need to request it again
            else:
                self._refuse(record_id, claim.author)
        self._delivered.clear()

    def _refuse(self, record_id: bytes, author: bytes = b"") -> None:
        self.useless += 1
        self._memory.refuse(record_id, author)

    # ------------------------------------------------------------ certified cuts

    def _read_final(self, cut: FinalCut | None) -> None:
        """Compare the neighbour's newest certified cut with the cuts certified here.

        Records of an unknown cut may still be on their way. If the cut is still unknown in the next session, although
        all records were fetched, the fingerprints must be forged.
        """
        if cut is None or self._is_final_here(cut):
            self._memory.unknown_cut = NO_ID
            return
        record = self._context.ledger.get(cut.cut)
        if record is not None:
            if record.kind != Kind.CUT:
                raise RemoteProtocolError("a certified cut that is no cut")
            payload = decode_cut(record.payload)
            if (payload.ledger_root, payload.view_root) != (cut.ledger_root, cut.view_root):
                raise RemoteProtocolError("roots that are not those of the cut")
        if self._memory.unknown_cut == cut.cut and self._memory.may_list:
            self._taken_before = self.taken
            self._digest_epoch = 0
        self._memory.unknown_cut = cut.cut

    def _is_final_here(self, cut: FinalCut) -> bool:
        """Whether the cut adds nothing to what is final here. A neighbour that is behind will ask us itself."""
        fold = self._context.fold
        latest = fold.latest
        if cut.index < latest.index or fold.is_certified(cut.cut) or cut.cut in latest.path:
            return True
        ours = self._context.ledger.get(latest.id)
        return ours is not None and decode_cut(ours.payload).ledger_root == cut.ledger_root

    def _read_digests(self, epoch: int, answer: Digests) -> None:
        for found, digest in answer.digests:
            if found < epoch:
                raise RemoteProtocolError("a digest of an epoch that was not asked for")
            if digest != self._index.epoch_digest(found):
                self._epochs.append(found)
        if answer.more:
            self._digest_epoch = answer.digests[-1][0] + 1

    def _read_ids(self, sent: AskIds, ids: tuple[bytes, ...]) -> None:
        if ids and ids[0] <= sent.after:
            raise RemoteProtocolError("ids that were not asked for")
        self._need(ids)
        if len(ids) == LIST_IDS_MAX:
            self._after = ids[-1]
        else:
            self._epochs.popleft()
            self._after = NO_ID
