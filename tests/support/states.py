"""A network with served states, and peers that serve them: honestly, or with lies."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

from p2pverify.core.blobs.messages import BlobRefused
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import digest
from p2pverify.core.proofs.exchange import PassportSet
from p2pverify.core.proofs.passport import Certificate, CutStub, SignatureStub
from p2pverify.core.records.envelope import Kind, Record, make_record
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head, decode_cut
from p2pverify.core.snapshot.messages import (
    CERTIFICATE,
    NEWEST,
    RECORD,
    NewestStates,
    ServedCut,
    StateRequest,
    decode_newest,
)
from p2pverify.core.snapshot.serving import BURIED, StateServer
from p2pverify.core.snapshot.trust import decode_certificate
from p2pverify.node.ports import AskError
from p2pverify.node.snapshot.ports import StatePort
from p2pverify.testnet.world.world import World
from tests.support.lines import overlap_world
from tests.support.networks import seeds
from tests.support.started import WatchedFold, folded
from tests.support.worlds import make_world

PEERS, CUTS = 4, 32 + BURIED


@dataclass(frozen=True)
class ServedNetwork:
    """A network of CUTS cuts and its records. `server` serves the states at the cuts 16 and 32."""

    network: Network
    records: tuple[Record, ...]
    fold: WatchedFold
    server: StateServer
    seeds: tuple[bytes, ...]

    @property
    def served(self) -> tuple[ServedCut, ...]:
        return self.server.newest().served

    def certificate(self, cut: bytes) -> Certificate:
        found = self.server.checkpoints.get(cut)
        assert found is not None
        return decode_certificate(found)


@cache
def served_network() -> ServedNetwork:
    return serving(make_world(PEERS, seed=4), tuple(seeds(PEERS, "world-4")))


@cache
def served_release() -> ServedNetwork:
    """A network whose members have released a version of their model."""
    return serving(overlap_world.__wrapped__(), ())  # not the one that other tests share


def serving(world: World, secrets: tuple[bytes, ...]) -> ServedNetwork:
    """Play a world to its end, and serve its states. `secrets` are the seeds of its peers."""
    world.run_epochs(CUTS + 1)
    ledger = world.honest[0].machine.context.ledger
    records = tuple(sorted(ledger.records(), key=lambda record: (record.epoch, record.author, record.seq)))
    fold = folded(world.network, [])
    server = StateServer(fold)
    for record in records:
        before = fold.latest
        fold.feed([record])
        if fold.latest is not before:
            server.note()
    return ServedNetwork(world.network, records, fold, server, secrets)


def signed_by(network: Network, certificate: Certificate, chosen: tuple[bytes, ...]) -> Certificate:
    """The same certificate with signatures of other seeds, as far as their keys have weight."""
    cut_id = certificate.cut.id(certificate.head)
    found = []
    for seed in chosen:
        key = sign.public_key(seed)
        if key in certificate.weighted:
            payload = CutSignature(cut_id).encode()
            record = make_record(
                seed, key, network.id, epoch=1, seq=1, prev=bytes(32), kind=Kind.CUT_SIGNATURE, payload=payload
            )
            found.append(SignatureStub(certificate.weighted.index(key), 1, 1, bytes(32), record.signature))
    return replace(certificate, signatures=tuple(sorted(found, key=lambda each: each.place)))


def other_cut(known: ServedNetwork, cut_id: bytes, moved: tuple[Head, ...]) -> tuple[Record, Certificate]:
    """A cut with other heads on the same base, signed by all, and its certificate."""
    record = known.fold.ledger.get(cut_id)
    assert record is not None
    cut, certificate = decode_cut(record.payload), known.certificate(cut_id)
    seed = next(seed for seed in known.seeds if sign.public_key(seed) == record.author)
    head = replace(certificate.head, ledger_root=digest(["another", [list(each) for each in moved]]))
    forged: Cut = replace(cut, moved=moved, ledger_root=head.ledger_root, view_root=head.root)
    made = make_record(
        *(seed, record.author, known.network.id),
        epoch=record.epoch,
        seq=record.seq,
        prev=record.header.prev,
        kind=Kind.CUT,
        payload=forged.encode(),
    )
    stub: CutStub = replace(certificate.cut, heads=digest([list(each) for each in moved]))
    found = signed_by(known.network, replace(certificate, head=head, cut=stub), known.seeds)
    assert stub.id(head) == made.id
    return made, found


Lie = Callable[[StateRequest, bytes], bytes]


def honest(_request: StateRequest, answer: bytes) -> bytes:
    return answer


@dataclass
class FakePeers(StatePort):
    """Peers that serve states of one network. A `lie` changes an answer of a peer; it may raise AskError."""

    known: ServedNetwork
    lies: dict[bytes, Lie]
    asked: list[tuple[bytes, StateRequest]] = field(default_factory=list)
    before: Callable[[StateRequest], None] = lambda _request: None

    async def fetch_state(self, peer: bytes, request: StateRequest) -> bytes:
        self.asked.append((peer, request))
        self.before(request)
        server = self.known.server
        try:
            while (cut := server.unwritten(request)) is not None:
                server.write_out(cut)
            answer = server.answer(request)
        except BlobRefused as refused:
            answer = b""
            reason = refused.status.word
        else:
            reason = ""
        found = self.lies[peer](request, answer)
        if not found and reason:
            raise AskError(reason)
        return found


def showing(record: Record, certificate: Certificate, index: int) -> Lie:
    """A peer that holds another cut at an index, and proves it."""

    def lie(request: StateRequest, answer: bytes) -> bytes:
        if request.what == NEWEST:
            told = decode_newest(answer)
            served = tuple(replace(each, cut=record.id) if each.index == index else each for each in told.served)
            kept = tuple((at, record.id if at == index else cut) for at, cut in told.kept)
            return NewestStates(served, kept).encode()
        if request == StateRequest(CERTIFICATE, record.id):
            return PassportSet(certificate, ()).encode()
        if request == StateRequest(RECORD, record.id):
            return record.data
        return answer

    return lie
