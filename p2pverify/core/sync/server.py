"""The answering side of sync, and `Sync`, which all sessions of one peer share.

Each request is answered from the current ledger; nothing about the asker is kept. An answer is bounded in bytes and in
the work for it. Answers are not signed, because they assert nothing.
"""

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.sync.index import RecordIndex
from p2pverify.core.sync.memory import SyncMemory
from p2pverify.core.sync.messages import (
    ANSWER_BYTES_MAX,
    DIGESTS_MAX,
    LIST_IDS_MAX,
    Answer,
    AskDigests,
    AskFinal,
    AskIds,
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
from p2pverify.core.sync.session import SyncContext, SyncSession

MEMORIES_MAX = 256
DIGESTED_IDS_MAX = 32_768  # hashed for one answer; the last epoch may exceed it
_ANSWER_HEAD_BYTES = 16  # arrays and word before the records


class SyncServer:
    """Answers a neighbour's requests."""

    def __init__(self, context: SyncContext, index: RecordIndex) -> None:
        self._context = context
        self._index = index
        self._responder = RangeResponder(index)
        self._final_answer: tuple[bytes, Final] = (b"", Final(None))  # the id of the cut first

    def answer(self, data: bytes) -> bytes:
        """The answer to one request. Raises RemoteProtocolError."""
        return self._answer(data).encode()

    def _answer(self, data: bytes) -> Answer:
        request = decode_request(data)
        match request:
            case Reconcile():
                if request.network != self._context.network_id:
                    raise RemoteProtocolError("another network")
                return Reconciled(self._responder.answer(request.message))
            case Fetch():
                return self._fetch(request.ids)
            case AskFinal():
                return self._final()
            case AskDigests():
                return self._digests(request.epoch)
            case AskIds():
                ids = self._index.epoch_ids(request.epoch, request.after, LIST_IDS_MAX)
                return Ids(tuple(ids))

    def _fetch(self, ids: tuple[bytes, ...]) -> Records:
        """The requested records that we hold, as many as have room; each comes after its predecessors."""
        held = [record for record in map(self._context.ledger.get, ids) if record is not None]
        found: list[bytes] = []
        room = ANSWER_BYTES_MAX - _ANSWER_HEAD_BYTES
        for record in sorted(held, key=_order):
            room -= len(record.data) + 5
            if room < 0:
                break
            found.append(record.data)
        return Records(tuple(found))

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

    def _digests(self, begin: int) -> Digests:
        found: list[tuple[int, bytes]] = []
        hashed = 0
        for epoch in self._index.epochs(begin):
            if len(found) == DIGESTS_MAX or hashed >= DIGESTED_IDS_MAX:
                return Digests(tuple(found), more=True)
            hashed += self._index.epoch_size(epoch)
            found.append((epoch, self._index.epoch_digest(epoch)))
        return Digests(tuple(found), more=False)


def _order(record: Record) -> tuple[int, bytes, int, bytes]:
    return (record.epoch, record.author, record.seq, record.id)


class Sync:
    """The whole sync of one peer: the index of its records, its answers, and its sessions.

    `session(peer)` is a session with a neighbour. Sessions at the same time never fetch the same record.
    """

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self.index = RecordIndex()
        context.ledger.watch(self.index.add, self.index.remove)
        self._server = SyncServer(context, self.index)
        self._memories: BoundedDict[bytes, SyncMemory] = BoundedDict(MEMORIES_MAX)
        self._claimed: set[bytes] = set()

    def answer(self, request: bytes) -> bytes:
        """The answer to one request of a neighbour. Raises RemoteProtocolError."""
        return self._server.answer(request)

    def session(self, peer: bytes) -> SyncSession:
        """A new session with a neighbour; one at a time with each."""
        memory = self._memories[peer] = self._memories.get(peer) or SyncMemory()
        return SyncSession(self._context, self.index, memory, self._claimed)

    def forget(self, peer: bytes) -> None:
        """Drop the memory of a neighbour that will not return. Old memories are also dropped at MEMORIES_MAX."""
        self._memories.pop(peer, None)

    def statistics(self) -> dict[str, int]:
        return {"sync neighbours": len(self._memories), "ids being fetched": len(self._claimed)}
