"""Peers for tests of sync: a ledger with meaningless records, and sessions between two peers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, decode_record, make_record
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.strangers.called import CalledRecords
from p2pverify.core.sync import session
from p2pverify.core.sync.messages import (
    AskCommon,
    AskFinal,
    Common,
    Final,
    FinalCut,
    Request,
    decode_answer,
    decode_request,
)
from p2pverify.core.sync.server import Sync

NETWORK = b"n" * 32
SEEDS = sorted((bytes([n]) * 32 for n in range(1, 9)), key=sign.public_key)
Answerer = Callable[[bytes], bytes]


def chain(
    seed: bytes, count: int, *, per_epoch: int = 10, size: int = 1, before: Iterable[Record] = ()
) -> list[Record]:
    """Records of one author that follow the records `before`."""
    found = list(before)
    for _ in range(count):
        prev = found[-1].id if found else NO_PREV
        epoch = len(found) // per_epoch
        payload = encode([bytes(size)])
        key = sign.public_key(seed)
        found.append(
            make_record(seed, key, NETWORK, epoch=epoch, seq=len(found), prev=prev, kind=Kind.LEAVE, payload=payload)
        )
    return found


@dataclass
class Peer:
    """A ledger without a certified cut, and the other parts that sync needs."""

    ledger: Ledger = field(default_factory=Ledger)
    refuses: Callable[[Record], bool] = lambda record: False
    network_id: bytes = NETWORK
    key: bytes = bytes(32)

    def __post_init__(self) -> None:
        self.fold = SimpleNamespace(
            latest=SimpleNamespace(id=self.network_id, index=0, path=(self.network_id,)),
            is_certified=lambda cut: False,
            called=CalledRecords(self.ledger),
        )
        self.horizon = SimpleNamespace(path=(), heads_at=lambda cut: None)
        self.sync = Sync(self)  # type: ignore[arg-type]
        self.seen: list[Request] = []

    def take(self, records: Iterable[bytes]) -> None:
        for data in records:
            record = decode_record(data)
            if not self.refuses(record):
                try:
                    self.ledger.add(record)
                except GossipIgnore:
                    continue

    def holding(self, *chains: list[Record]) -> "Peer":
        for each in chains:
            self.take(record.data for record in each)
        return self

    def answer(self, data: bytes) -> bytes:
        self.seen.append(decode_request(data))
        return self.sync.answer(data)

    def fetch(self, answer: Answerer, peer: bytes = b"") -> session.SyncSession:
        """Play one session to its end."""
        opened = self.sync.session(peer)
        request: bytes | None = opened.start()
        while request is not None:
            step = opened.receive(answer(request))
            self.take(step.records)
            request = step.request
        opened.end()
        opened.release()
        assert not self.sync.statistics()["ids being fetched"]
        return opened

    @property
    def ids(self) -> set[bytes]:
        return {record.id for record in self.ledger.records()}


CUT = FinalCut(b"c" * 32, 9, b"l" * 32, b"v" * 32)


def claiming(peer: Peer, cut: FinalCut = CUT) -> Answerer:
    """The answers of a peer that claims to have a certified cut."""

    def answer(data: bytes) -> bytes:
        found = peer.answer(data)
        match decode_request(data), decode_answer(found):
            case AskFinal(), _:
                return Final(cut).encode()
            case AskCommon(), Common() as common:
                return replace(common, final=cut).encode()
        return found

    return answer
