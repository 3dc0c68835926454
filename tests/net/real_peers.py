"""Peers for tests: a Mesh with a fake node, and a bare host for peers that break the rules."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError, GossipVerdict
from p2pverify.core.sync.session import SyncTurn
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.host import Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.stream import Stream
from p2pverify.net.peers.peer_list import PeerList, encode_peer_list
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.ports import Hear, unheard

NETWORK = hashlib.sha256(b"a network for tests").digest()
OTHER_NETWORK = hashlib.sha256(b"another network").digest()
LOCAL = "/ip4/127.0.0.1/tcp/0"


def seed_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def bytes_of(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in sorted(numbers))


def numbers_in(data: bytes) -> set[int]:
    return {int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)}


class FakeSession:
    """Tells which numbers it has and takes the other's, one page at a time, with a flag for further pages."""

    def __init__(self, inbox: "FakeInbox") -> None:
        self._inbox = inbox
        self.taken = 0
        self.ended = False
        self.is_complete = False

    def start(self) -> bytes:
        return bytes_of(self._inbox.records)

    def receive(self, data: bytes) -> SyncTurn:
        if len(data) % 2 != 1:
            raise DecodeError("a page is a flag and pairs of bytes")
        found = numbers_in(data[1:])
        self.taken += len(found - self._inbox.records)
        request = bytes_of(self._inbox.records | found) if data[0] else None
        return SyncTurn(tuple(number.to_bytes(2, "big") for number in sorted(found)), request)

    def end(self) -> None:
        self.ended = self.is_complete = True

    def release(self) -> None:
        """Does nothing, because no ids are claimed."""


@dataclass
class FakeInbox:
    """A node that keeps the received messages. Its records are numbers, and a page holds up to `page_size` of them."""

    verdict: GossipVerdict = GossipVerdict.ACCEPT
    heard: list[bytes] = field(default_factory=list)
    records: set[int] = field(default_factory=set)
    page_size: int = 10
    members: set[bytes] = field(default_factory=set)
    response: Callable[[bytes, bytes], Awaitable[bytes]] | None = None
    told: tuple[int, ...] = ()
    shown: bytes = b"evidence"
    synced_with: set[bytes] = field(default_factory=set)
    twins: list[str] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)

    def judge(self, message: bytes, source: bytes) -> GossipVerdict:
        if message == b"trips up the judge":
            raise RuntimeError("a bug of the node")
        self.heard.append(message)
        self._wake()
        return self.verdict

    def is_member(self, peer: bytes) -> bool:
        return peer in self.members

    async def serve(self, request: bytes, source: bytes, hear: Hear = unheard) -> bytes:
        hear(self.told)
        return b"echo " + request if self.response is None else await self.response(request, source)

    def evidence(self, request: bytes, _source: bytes) -> bytes:
        if request == b"malformed":
            raise DecodeError("not a request for evidence")
        return self.shown + request

    def passports(self, request: bytes, source: bytes) -> bytes:
        if request == b"malformed":
            raise DecodeError("not a request for passports")
        return b"passports " + request

    async def cheque(self, request: bytes, source: bytes) -> bytes:
        if request == b"malformed":
            raise DecodeError("not a cheque")
        return b"cheque " + request

    def sync_answer(self, request: bytes) -> bytes:
        if len(request) % 2:
            raise DecodeError("a frontier is pairs of bytes")
        missing = sorted(self.records - numbers_in(request))
        page = missing[: self.page_size]
        return bytes([len(missing) > len(page)]) + bytes_of(page)

    def sync_session(self, peer: bytes) -> "FakeSession":
        return FakeSession(self)

    def synced(self, peer: bytes) -> None:
        self.synced_with.add(peer)
        self._wake()

    def met_twin(self, where: str) -> None:
        self.twins.append(where)
        self._wake()

    async def take_records(self, records: Sequence[bytes], source: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.records |= {int.from_bytes(record, "big") for record in records}
        self._wake()

    async def wait_heard(self, message: bytes) -> None:
        while message not in self.heard:
            await self.changed.wait()

    async def wait_records(self, records: set[int]) -> None:
        while not records <= self.records:
            await self.changed.wait()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


@dataclass
class Peer:
    """A running Mesh, its node, and its listening address."""

    mesh: Libp2pNetwork
    inbox: FakeInbox
    address: str
    scope: trio.CancelScope
    ended: trio.Event

    @property
    def key(self) -> bytes:
        return self.mesh.peer

    def count(self, name: str) -> int:
        return self.mesh.statistics().get(name, 0)

    async def leave(self) -> None:
        self.scope.cancel()
        await self.ended.wait()


async def join(nursery: trio.Nursery, name: str, *bootstrap: str, **options: object) -> Peer:
    """Start a peer. The options are those of Mesh, and `listen`, `network_id` and `inbox`."""
    inbox = options.pop("inbox", None) or FakeInbox()
    listen = options.pop("listen", LOCAL)
    network_id = options.pop("network_id", NETWORK)
    listen = [listen] if isinstance(listen, str) else listen
    mesh = Libp2pNetwork(seed_of(name), network_id, listen, bootstrap, inbox, **options)
    scope, ended = trio.CancelScope(), trio.Event()

    async def run(*, task_status: object) -> None:
        with scope:
            await mesh.run(task_status=task_status)
        ended.set()

    addresses = await nursery.start(run)
    return Peer(mesh, inbox, addresses[0] if addresses else "", scope, ended)


async def stranger(nursery: trio.Nursery, name: str = "mallory") -> Host:
    """A host with libp2p and none of our protocols, for misbehaviour."""
    host = Host(seed_of(name), [LOCAL], Counters())

    async def attend(link: Link) -> None:
        await trio.sleep_forever()

    nursery.start_soon(host.run, host.listen(), attend, lambda link: None)
    return host


async def call(host: Host, peer: Peer) -> Link:
    """Connect such a host to a peer."""
    return await host.dial(parse_address(peer.address))


async def introduce(stream: Stream) -> None:
    """A handler of the peers protocol, for hosts that must pass as members of the network."""
    await read_frame(stream, 65536)
    await write_frame(stream, list_of_nobody())


def list_of_nobody() -> bytes:
    return encode_peer_list(PeerList(NETWORK, None, ()))


async def assert_answers(nursery: trio.Nursery, peer: Peer) -> None:
    """Check that the peer still accepts connections and answers requests."""
    visitor = await join(nursery, "visitor", peer.address)
    assert (await visitor.mesh.ask(peer.key, b"still there?")).data == b"echo still there?"
    await visitor.leave()
