"""The network adapter as a whole: `Libp2pNetwork` implements the node's `NetworkPort` and calls its `Inbox`.

This module only connects the parts: `border.host` (connections), `peers.exchange` (which peers to connect to), and
`gossip`, `requests` and `sync` (the protocols). One Libp2pNetwork is one identity in one network.
"""

import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pverify.core.blobs.messages import BlobRequest
from p2pverify.core.counters import Counters
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.router import Router
from p2pverify.core.gossip.types import OLD_PROTOCOL_ID, PROTOCOL_ID, records_topic
from p2pverify.core.inference.stream import AnswerReader
from p2pverify.core.snapshot.messages import StateRequest
from p2pverify.net.border.host import Host, is_loopback, wait_either
from p2pverify.net.border.link import Link
from p2pverify.net.peers import exchange, peer_list
from p2pverify.net.peers.address_book import AddressBook
from p2pverify.net.peers.exchange import DNS, MDNS
from p2pverify.net.peers.signed_addresses import OwnAddresses
from p2pverify.net.protocols import blob, requests, state, sync
from p2pverify.net.protocols.blob import BlobLimits
from p2pverify.net.protocols.gossip import Gossip
from p2pverify.net.protocols.requests import RequestLimits
from p2pverify.net.protocols.state import StateLimits
from p2pverify.net.protocols.sync import SyncLimits
from p2pverify.net.reach.reaching import Reaching, ReachSettings
from p2pverify.node.clock import unix_ms
from p2pverify.node.endpoints.address import DNSADDR, Address, announced_address, bootstrap_address
from p2pverify.node.endpoints.reach import Reach
from p2pverify.node.endpoints.shelf import PeerShelf
from p2pverify.node.ports import AskError, BlobSource, Hear, Inbox, Neighbour, NetworkPort, Reply, unheard
from p2pverify.node.snapshot.ports import StateSource

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

    from p2pverify.net.discovery.dnsaddr import DnsSeeds
    from p2pverify.net.discovery.mdns import Mdns

CONFIRM_SECONDS_MAX = 10.0
CIRCUIT_IDLE_SECONDS = 5.0
GOSSIP_BATCH_MS = 100  # between two frames to one peer under load, so that each frame carries many messages


class Libp2pNetwork(NetworkPort):
    """One peer's place in the network.

    - `identity_seed`, `network_id`: 32 bytes each.
    - `listen`: like "/ip4/127.0.0.1/tcp/0"; port 0 chooses a free port. Without any, this peer only dials.
    - `bootstrap`: addresses with or without /p2p/PEER; DNS names are allowed, and /dnsaddr/NAME.
    - `announce`: addresses to tell other peers instead of the listening addresses.
    - `mdns`: whether this peer looks for peers of the local network, and can be found by them.
    - `clock`: gives Unix milliseconds.
    - `loopback_counts`: whether the limits per address apply to loopback too.
    - `blobs`: what serves files to other peers; None if this peer serves none.
    - `states`: what serves states to newcomers; None if this peer serves none.
    - `shelf`: keeps the address book on disk; None forgets it at the end.
    - `reach`: what this peer does to be reached, and for others.

    Raises DecodeError for an invalid address.
    """

    def __init__(
        self,
        identity_seed: bytes,
        network_id: bytes,
        listen: Sequence[str],
        bootstrap: Sequence[str],
        inbox: Inbox,
        *,
        announce: Sequence[str] = (),
        mdns: bool = False,
        clock: Callable[[], int] = unix_ms,
        peers_max: int = 64,
        loopback_counts: bool = False,
        gossip: GossipParams | None = None,
        request_limits: RequestLimits | None = None,
        sync_limits: SyncLimits | None = None,
        blobs: BlobSource | None = None,
        blob_limits: BlobLimits | None = None,
        states: StateSource | None = None,
        state_limits: StateLimits | None = None,
        shelf: PeerShelf | None = None,
        reach: ReachSettings | None = None,
    ) -> None:
        dice = random.Random(os.urandom(16))  # noqa: S311  # jitter and mesh choices, nothing secret
        self._counters = Counters()
        self._host = Host(
            identity_seed,
            listen,
            self._counters,
            peers_max=peers_max,
            loopback_counts=loopback_counts,
            met_twin=inbox.met_twin,
            is_wanted=inbox.is_member,
        )
        self.peer = self._host.peer
        told = tuple(announced_address(text) for text in announce)
        self._own = OwnAddresses(identity_seed, network_id, told, clock)
        self._mdns = _mdns(network_id, self._counters) if mdns else None
        targets = [bootstrap_address(text) for text in bootstrap]
        seeds = [target for target in targets if target.kind == DNSADDR]
        self._seeds = _seeds(seeds, self._host.addresses, self._counters) if seeds else None
        self._peers = exchange.PeerExchange(
            self._host,
            AddressBook(self.peer, [target for target in targets if target.kind != DNSADDR], dice),
            network_id,
            self._own,
            self._counters,
            clock=clock,
            changed=self._wake,
            shelf=shelf,
        )
        self._reaching = Reaching(
            self._host,
            identity_seed,
            self._own,
            self._peers.confirmed,
            inbox.is_member,
            self._counters,
            dice,
            reach or ReachSettings(),
            clock=clock,
            tell=self._peers.tell,
            loopback_counts=loopback_counts,
        )
        params = gossip or GossipParams(batch_ms=GOSSIP_BATCH_MS, batch_at_rest=False)
        self._excluded_max = params.excluded_max
        self._gossip = Gossip(
            Router(params, own=self.peer, seed=dice.getrandbits(64)),
            records_topic(network_id),
            self._counters,
            judge=inbox.judge,
            disconnect=self._disconnect,
            changed=self._wake,
        )
        self._requests = requests.Requests(
            inbox.serve, inbox.is_member, request_limits or RequestLimits(), self._counters
        )
        self._evidence = requests.Requests(
            partial(_evidence, inbox),
            inbox.is_member,
            requests.evidence_limits(request_limits or RequestLimits()),
            self._counters,
            speech=requests.EVIDENCE,
        )
        self._passports = requests.Requests(
            partial(_passports, inbox),
            inbox.is_member,
            requests.passport_limits(request_limits or RequestLimits()),
            self._counters,
            speech=requests.PASSPORTS,
        )
        self._cheques = requests.Requests(
            partial(_cheque, inbox),
            inbox.is_member,
            requests.cheque_limits(request_limits or RequestLimits()),
            self._counters,
            speech=requests.CHEQUES,
        )
        self._sync = sync.SyncProtocol(inbox, sync_limits or SyncLimits(), self._counters)
        self._blobs = blob.BlobProtocol(blobs, inbox.is_member, blob_limits or BlobLimits(), self._counters)
        self._states = state.StateProtocol(states, inbox.is_member, state_limits or StateLimits(), self._counters)
        self._changed = trio.Event()
        for protocol in (PROTOCOL_ID, OLD_PROTOCOL_ID):
            self._host.handle(protocol, self._gossip.listen)
        self._host.handle(peer_list.PROTOCOL, self._peers.answer)
        self._host.handle(requests.PROTOCOL, self._requests.answer)
        self._host.handle(requests.EVIDENCE_PROTOCOL, self._evidence.answer)
        self._host.handle(requests.PASSPORT_PROTOCOL, self._passports.answer)
        self._host.handle(requests.CHEQUE_PROTOCOL, self._cheques.answer)
        self._host.handle(sync.PROTOCOL, self._sync.answer)
        if blobs is not None:
            self._host.handle(blob.PROTOCOL, self._blobs.answer)
        if states is not None:
            self._host.handle(state.PROTOCOL, self._states.answer)

    async def run(self, *, task_status: "TaskStatus[list[str]]" = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled. Once it listens, it reports its addresses to `task_status`. Raises ListenError."""
        listeners = self._host.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._gossip.run)
            nursery.start_soon(self._host.run, listeners, self._attend, self._ended)
            nursery.start_soon(self._peers.run)
            nursery.start_soon(self._sync.run, self._peers.confirmed)
            nursery.start_soon(self._reaching.run)
            if self._mdns is not None:
                nursery.start_soon(self._mdns.run, self.peer, self._listening, partial(self._peers.hear, source=MDNS))
            if self._seeds is not None:
                nursery.start_soon(self._seeds.run, partial(self._peers.hear, source=DNS))
            task_status.started(list(self.addresses()))

    def publish_nowait(self, message: bytes) -> None:
        """Hand one gossip message to the router. Raises LocalProtocolError if it is too large."""
        self._gossip.publish_nowait(message)

    def exclude(self, exchange: frozenset[bytes]) -> None:
        """Keep exactly these peers out of the gossip mesh. If there are too many, only those with the lowest keys."""
        self._gossip.exclude(frozenset(sorted(exchange)[: self._excluded_max]))

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        """Send one inference request and return its response; dials the peer if necessary.

        Raises AskError. Its reason is unreachable, unsupported (the peer runs another version), reset, too-large or
        malformed, or comes from the other side: busy, timeout, failed, too-large or unconfirmed. The caller sets the
        deadline; cancelling is safe.
        """
        return await self._ask(self._requests, peer, request, AnswerReader(tokens_max), hear)

    async def fetch(self, peer: bytes, request: bytes) -> bytes:
        """One request for the evidence of a dispute and its answer; otherwise as `ask`."""
        return (await self._ask(self._evidence, peer, request, AnswerReader(0), unheard)).data

    async def pay(self, peer: bytes, request: bytes) -> bytes:
        """One cheque for a creditor and its answer; otherwise as `ask`."""
        return (await self._ask(self._cheques, peer, request, AnswerReader(0), unheard)).data

    async def fetch_blob(self, peer: bytes, sha256: bytes, offset: int, length: int) -> bytes:
        """See the port; dials the peer if necessary. No file comes through a relay, because a circuit is too small."""
        link = await self._reach(peer)
        if link.relay is not None:
            raise AskError("unreachable", "the peer is reached through a relay alone")
        return await self._blobs.fetch(link, BlobRequest(sha256, offset, length))

    async def fetch_state(self, peer: bytes, request: StateRequest) -> bytes:
        """See the port; dials the peer if necessary. No state comes through a relay, as no file does."""
        link = await self._reach(peer)
        if link.relay is not None:
            raise AskError("unreachable", "the peer is reached through a relay alone")
        return await self._states.fetch(link, request)

    def neighbours(self) -> Sequence[Neighbour]:
        """The connected peers that have shown that they are of our network, by key."""
        mesh = self._gossip.mesh()
        return tuple(
            Neighbour(link.peer, self._address_of(link), link.outbound, link.peer in mesh)
            for link in sorted(self._peers.confirmed(), key=lambda link: link.peer)
        )

    def addresses(self) -> Sequence[str]:
        """Addresses at which other peers can dial us, with our peer id."""
        return tuple(str(address.with_peer(self.peer)) for address in self._own_addresses())

    def reach(self) -> Reach:
        """How other peers reach this one."""
        return self._reaching.report()

    def statistics(self) -> dict[str, int]:
        """All counters; the names of the router's counters begin with `router_`."""
        router = {f"router_{name}": value for name, value in self._gossip.statistics().items()}
        return {**self._counters, **router, "links": len(self._host.links())}

    async def wait_connected(self, peer: bytes) -> None:
        """Wait until a peer of our network is connected."""
        while not self._is_connected(peer):
            await self._changed.wait()

    async def wait_gossiping(self, peer: bytes) -> None:
        """Wait until a connected peer has told us its topics; from then on it gets what we publish."""
        while not self._is_connected(peer, gossiping=True):
            await self._changed.wait()

    async def wait_disconnected(self, peer: bytes) -> None:
        """Wait until a peer is not connected."""
        while self._is_connected(peer):
            await self._changed.wait()

    def _own_addresses(self) -> tuple[Address, ...]:
        return self._own.addresses(self._host.addresses)

    def _listening(self) -> tuple[Address, ...]:
        return self._own.listening(self._host.addresses)

    def _ended(self, link: Link) -> None:
        self._peers.lost(link)
        self._wake()

    def _is_connected(self, peer: bytes, *, gossiping: bool = False) -> bool:
        link = self._host.link(peer)
        return link is not None and link.confirmed.is_set() and (link.subscribed.is_set() or not gossiping)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        self._reaching.wake()

    def _disconnect(self, peer: bytes, reason: str) -> None:
        link = self._host.link(peer)
        if link is not None:
            link.close_nowait(reason)

    def _address_of(self, link: Link) -> str:
        known = self._peers.listen_address(link)
        if known is not None:
            return str(known)
        return "" if link.remote is None else f"{link.remote[0]}:{link.remote[1]}"

    async def _attend(self, link: Link) -> None:
        """The work beside the streams of a link, for as long as the link lives."""
        if link.relay is not None:
            if await self._peers.attend(link) and link.outbound:
                await self._rest(link)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._gossip.speak, link)
            if await self._peers.attend(link):
                nursery.start_soon(self._sync.fetch, link)
                nursery.start_soon(self._peers.keep_up, link)

    async def _rest(self, link: Link) -> None:
        """Close a circuit of ours once no request uses it, because a relay has few."""
        while True:
            await trio.sleep(max(0.0, CIRCUIT_IDLE_SECONDS - link.idle_s))
            if link.idle_s >= CIRCUIT_IDLE_SECONDS:
                break
        link.close_nowait("nobody uses the circuit")
        relay = self._host.link(link.relay or b"")
        if relay is not None and relay.outbound and not relay.confirmed.is_set():
            relay.close_nowait("its circuit has ended")

    async def _ask(
        self, through: requests.Requests, peer: bytes, request: bytes, reader: AnswerReader, hear: Hear
    ) -> Reply:
        link = await self._reach(peer)
        try:
            with link.used():
                return await through.ask(link, request, reader, hear)
        except AskError as error:
            # Of two simultaneous connections, one is closed. A request on the closed one is sent again on the other.
            # A relay ends each circuit after a while. A request on it is sent again on a new one.
            successor = self._host.link(peer)
            if error.reason != "reset" or (link.relay is None and successor in (None, link)):
                raise
        reader.restart()
        link = await self._reach(peer)
        with link.used():
            return await through.ask(link, request, reader, hear)

    async def _reach(self, peer: bytes) -> Link:
        link = self._host.link(peer) or await self._peers.dial(peer)
        if link is None:
            raise AskError("unreachable")
        with trio.move_on_after(CONFIRM_SECONDS_MAX):
            await wait_either(link.confirmed, link.closed)
        if link.closed.is_set() or not link.confirmed.is_set():
            raise AskError("unreachable")
        return link


async def _evidence(inbox: Inbox, request: bytes, source: bytes, _hear: Hear) -> bytes:
    return inbox.evidence(request, source)


async def _passports(inbox: Inbox, request: bytes, source: bytes, _hear: Hear) -> bytes:
    return inbox.passports(request, source)


def _seeds(seeds: Sequence[Address], own: Sequence[Address], counters: Counters) -> "DnsSeeds":
    from p2pverify.net.discovery.dnsaddr import DnsSeeds  # noqa: PLC0415 - a heavy import that most peers do not need

    on_loopback = bool(own) and all(is_loopback(address) for address in own)
    return DnsSeeds(seeds, counters, loopback=on_loopback)


async def _cheque(inbox: Inbox, request: bytes, source: bytes, _hear: Hear) -> bytes:
    return await inbox.cheque(request, source)


def _mdns(network_id: bytes, counters: Counters) -> "Mdns":
    from p2pverify.net.discovery.mdns import Mdns  # noqa: PLC0415 - a heavy import that most peers do not need

    return Mdns(network_id, counters)
