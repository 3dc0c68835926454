"""The answering side of sync, and `Sync`, which all sessions of one peer share.

Each request is answered from the current ledger; nothing about the asker is kept. An answer is bounded in bytes and in
the work for it. Answers are not signed, because they assert nothing.
"""

from collections.abc import Iterable

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.sync.above import SetsAbove, SyncContext
from p2pverify.core.sync.index import RecordIndex
from p2pverify.core.sync.memory import SyncMemory
from p2pverify.core.sync.messages import (
    ANSWER_BYTES_MAX,
    DIGESTS_MAX,
    FETCH_IDS_MAX,
    LIST_IDS_MAX,
    Answer,
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
    decode_request,
)
from p2pverify.core.sync.negentropy import RangeResponder
from p2pverify.core.sync.session import SyncSession

MEMORIES_MAX = 256
DIGESTED_IDS_MAX = 32_768  # hashed for one answer; the last epoch may exceed it
_ANSWER_HEAD_BYTES = 16  # arrays and word before the records


class SyncServer:
    """Answers a neighbour's requests."""

    def __init__(self, context: SyncContext, sets: SetsAbove) -> None:
        self._context = context
        self._sets = sets
        self._final_answer: tuple[bytes, Final] = (b"", Final(None))  # the id of the cut first

    def answer(self, data: bytes) -> bytes:
        """The answer to one request. Raises RemoteProtocolError."""
        return self._answer(data).encode()

    def _answer(self, data: bytes) -> Answer:
        request = decode_request(data)
        match request:
            case AskCommon():
                if request.network != self._context.network_id:
                    raise RemoteProtocolError("another network")
                return Common(self._sets.common(request.cuts), self._final().cut)
            case Between():
                return self._between(request)
            case Reconcile():
                return Reconciled(RangeResponder(self._above(request.cut)).answer(request.message))
            case Fetch():
                return self._fetch(request.ids)
            case AskFinal():
                return self._final()
            case AskDigests():
                return self._digests(self._above(request.cut), request.epoch)
            case AskIds():
                ids = self._above(request.cut).epoch_ids(request.epoch, request.after, LIST_IDS_MAX)
                return Ids(tuple(ids))

    def _above(self, cut: bytes) -> RecordIndex:
        found = self._sets.above(cut)
        if found is None:
            raise RemoteProtocolError("a cut that is not known here")
        return found

    def _between(self, request: Between) -> Records:
        """Records in the order in which cuts take them in, as many as have room."""
        ids = self._sets.between(request.cut)
        if ids is None:
            raise RemoteProtocolError("a cut that is not known here")
        wanted = map(self._context.ledger.get, ids[request.skip : request.skip + FETCH_IDS_MAX])
        return _with_room(record for record in wanted if record is not None)

    def _fetch(self, ids: tuple[bytes, ...]) -> Records:
        """The requested records that we hold, as many as have room; each comes after its predecessors."""
        held = [record for record in map(self._context.ledger.get, ids) if record is not None]
        return _with_room(sorted(held, key=_order))

    def _final(self) -> Final:
        latest = self._context.fold.latest
        if self._final_answer[0] != latest.id:
            record = self._context.ledger.get(latest.id)
            if record is None:  # before the first cut
                return Final(None)
            cut = decode_cut(record.payload)
            final = FinalCut(latest.id, latest.index, cut.ledger_root, cut.view_root)
            self._final_answer = (latest.id, Final(final))
        return self._final_answer[1]

    @staticmethod
    def _digests(index: RecordIndex, begin: int) -> Digests:
        found: list[tuple[int, bytes]] = []
        hashed = 0
        for epoch in index.epochs(begin):
            if len(found) == DIGESTS_MAX or hashed >= DIGESTED_IDS_MAX:
                return Digests(tuple(found), more=True)
            hashed += index.epoch_size(epoch)
            found.append((epoch, index.epoch_digest(epoch)))
        return Digests(tuple(found), more=False)


def _with_room(records: Iterable[Record]) -> Records:
    """The first records that have room in an answer."""
    found: list[bytes] = []
    room = ANSWER_BYTES_MAX - _ANSWER_HEAD_BYTES
    for record in records:
        room -= len(record.data) + 5
        if room < 0:
            break
        found.append(record.data)
    return Records(tuple(found))


def _order(record: Record) -> tuple[int, bytes, int, bytes]:
    return (record.epoch, record.author, record.seq, record.id)


class Sync:
    """The whole sync of one peer: the sets of its records, its answers, and its sessions.

    `session(peer)` is a session with a neighbour. Sessions at the same time never fetch the same record.
    """

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._sets = SetsAbove(context)
        self._server = SyncServer(context, self._sets)
        self._memories: BoundedDict[bytes, SyncMemory] = BoundedDict(MEMORIES_MAX)
        self._claimed: set[bytes] = set()

    def answer(self, request: bytes) -> bytes:
        """The answer to one request of a neighbour. Raises RemoteProtocolError."""
        return self._server.answer(request)

    def session(self, peer: bytes) -> SyncSession:
        """A new session with a neighbour; one at a time with each."""
        memory = self._memories[peer] = self._memories.get(peer) or SyncMemory()
        return SyncSession(self._context, self._sets, memory, self._claimed)

    def forget(self, peer: bytes) -> None:
        """Drop the memory of a neighbour that will not return. Old memories are also dropped at MEMORIES_MAX."""
        self._memories.pop(peer, None)

    def statistics(self) -> dict[str, int]:
        return {"sync neighbours": len(self._memories), "ids being fetched": len(self._claimed)}
