"""A visitor: connections to peers of a network by somebody who takes no part in it.

A visitor shows that it belongs to the same network. It tells no addresses of its own, so nobody dials it later, and it
answers nothing. It learns addresses from the peer lists of those that it has met. Protocol page: protocol/streams.md.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pverify.core.blobs.messages import BlobRequest
from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.inference.stream import AnswerReader
from p2pverify.core.limits import BoundedDict
from p2pverify.core.snapshot.messages import StateRequest
from p2pverify.net.border.connection_limits import group_of
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.host import DialError, Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.circuit.client import Circuits
from p2pverify.net.peers.peer_list import (
    EXCHANGE_SECONDS_MAX,
    FRAME_BYTES_MAX,
    PROTOCOL,
    PeerList,
    decode_peer_list,
    encode_peer_list,
)
from p2pverify.net.peers.signed_addresses import SignedAddresses, seen_address, usable
from p2pverify.net.protocols.blob import BlobLimits, BlobProtocol
from p2pverify.net.protocols.requests import CHEQUES, PASSPORTS, RequestLimits, Requests, cheque_limits, passport_limits
from p2pverify.net.protocols.state import StateLimits, StateProtocol
from p2pverify.node.clock import unix_ms
from p2pverify.node.endpoints.address import Address
from p2pverify.node.ports import AskError, AskingPort, BlobPort, Hear, Reply, unheard
from p2pverify.node.snapshot.ports import StatePort

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

#: Peers whose addresses a visitor remembers, and those that it is connected to.
PEERS_KNOWN_MAX = 256
PEERS_MET_MAX = 32

log = logging.getLogger(__name__)


class Visitor(AskingPort, BlobPort, StatePort):
    """One visit to a network. `seed` is the visitor's identity (32 B)."""

    def __init__(self, seed: bytes, network_id: bytes) -> None:
        self._network_id = network_id
        counters = Counters()
        self._host = Host(seed, (), counters, peers_max=PEERS_MET_MAX)
        self._host.handle(PROTOCOL, partial(_answer, network_id))
        Circuits(self._host, counters)
        self._requests = Requests(_serve_nobody, _is_member, RequestLimits(), counters)
        self._passports = Requests(
            _serve_nobody, _is_member, passport_limits(RequestLimits()), counters, speech=PASSPORTS
        )
        self._cheques = Requests(_serve_nobody, _is_member, cheque_limits(RequestLimits()), counters, speech=CHEQUES)
        self._blobs = BlobProtocol(None, _is_member, BlobLimits(), counters)
        self._states = StateProtocol(None, _is_member, StateLimits(), counters)
        self._known: BoundedDict[bytes, tuple[Address, ...]] = BoundedDict(PEERS_KNOWN_MAX)
        self._met: dict[bytes, Link] = {}

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connections until cancelled."""
        task_status.started()
        await self._host.run((), _attend, self._ended)

    def known(self) -> tuple[bytes, ...]:
        """The peers that can be asked: those that were met, and those that they know, sorted by key."""
        return tuple(sorted({*self._met, *self._known}))

    def met(self) -> frozenset[bytes]:
        """The peers that are connected and have shown that they are of the network."""
        return frozenset(self._met)

    async def meet(self, address: Address) -> tuple[bytes, PeerList]:
        """Dial the peer at an address. Returns its key and its peers. Raises DialError."""
        link = await self._host.dial(address)
        theirs = await introduce(link, self._network_id)
        self._met[link.peer] = link
        self._hear(link, theirs)
        return link.peer, theirs

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        """See the port."""
        return await self._requests.ask(await self._reach(peer), request, AnswerReader(tokens_max), hear)

    async def passports(self, peer: bytes, request: bytes) -> bytes:
        """One request for passports, and its answer. Raises AskError. The caller sets the deadline."""
        reply = await self._passports.ask(await self._reach(peer), request, AnswerReader(0))
        return reply.data

    async def pay(self, peer: bytes, request: bytes) -> bytes:
        """One cheque for a creditor, and its answer. Raises AskError. The caller sets the deadline."""
        return (await self._cheques.ask(await self._reach(peer), request, AnswerReader(0))).data

    async def fetch_blob(self, peer: bytes, sha256: bytes, offset: int, length: int) -> bytes:
        """See the port."""
        return await self._blobs.fetch(await self._reach(peer), BlobRequest(sha256, offset, length))

    async def fetch_state(self, peer: bytes, request: StateRequest) -> bytes:
        """See the port."""
        return await self._states.fetch(await self._reach(peer), request)

    def group(self, peer: bytes) -> str:
        """The address group of a peer that was met; "" if it counts for none, as on loopback or behind a relay."""
        link = self._met.get(peer)
        return "" if link is None or link.relay is not None else group_of(link.remote)

    async def _reach(self, peer: bytes) -> Link:
        """The link to a peer that was met, or that is met now. Raises AskError."""
        link = self._met.get(peer)
        if link is not None and not link.closed.is_set():
            return link
        for address in self._known.get(peer, ()):
            try:
                await self.meet(address.with_peer(peer))
            except DialError as error:
                log.debug("cannot dial %s: %s", address, error)
                continue
            return self._met[peer]
        raise AskError("unreachable")

    def _hear(self, link: Link, theirs: PeerList) -> None:
        """Take the addresses in a peer list: signed by their peers, and of this network."""
        remote = None if link.remote is None else link.remote[0]
        own = theirs.own
        if own is not None and own.peer == link.peer and self._holds(own):
            seen = seen_address(own.addresses, remote)
            self._note(own, [*usable(own.addresses, remote), *([] if seen is None else [seen])])
        for told in theirs.peers:
            if told.peer not in self._met and self._holds(told):
                self._note(told, usable(told.addresses, remote))

    def _holds(self, told: SignedAddresses) -> bool:
        return told.network == self._network_id and told.is_current(unix_ms()) and told.is_signed()

    def _note(self, told: SignedAddresses, addresses: Sequence[Address]) -> None:
        if addresses:
            self._known[told.peer] = tuple(addresses)

    def _ended(self, link: Link) -> None:
        if self._met.get(link.peer) is link:
            del self._met[link.peer]


async def introduce(link: Link, network_id: bytes) -> PeerList:
    """Make the first exchange of /p2pverify/peers/2, which shows both sides that they belong to one network.

    Raises DialError.
    """
    try:
        with trio.fail_after(EXCHANGE_SECONDS_MAX):
            async with await link.open_stream(PROTOCOL) as stream:
                await write_frame(stream, encode_peer_list(PeerList(network_id, None, ())))
                theirs = decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
    except (StreamBrokenError, NotSupportedError, RemoteProtocolError, trio.TooSlowError):
        raise DialError("the peer does not speak this protocol") from None
    if theirs.network_id != network_id:
        raise DialError(f"the peer is of network {theirs.network_id.hex()}")
    return theirs


async def _answer(network_id: bytes, stream: Stream) -> None:
    """Answer the exchange when the peer begins it; a visitor that does not answer counts as dead within two seconds."""
    with trio.fail_after(EXCHANGE_SECONDS_MAX):
        decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
        await write_frame(stream, encode_peer_list(PeerList(network_id, None, ())))


def _is_member(_peer: bytes) -> bool:
    return False


async def _serve_nobody(_request: bytes, _source: bytes, _hear: Hear) -> bytes:
    raise RemoteProtocolError("visitors answer nothing")


async def _attend(_link: Link) -> None:
    return
