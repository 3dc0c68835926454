"""How a peer comes to know and reach the others: the exchange /p2pverify/peers/1, and the dialling.

Right after connecting, and every few seconds, each side asks the other for its peer list. The first
exchange also shows whether both mean the same network; a peer of another one is sent away. Addresses from
others are hearsay: who answers there has to prove the key. Protocol page: protocol/streams.md.
"""

import logging
from collections.abc import Callable, Sequence

import trio

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.peerid import peer_id
from p2pverify.net.address import Address
from p2pverify.net.book import Book, Target
from p2pverify.net.counters import Counters
from p2pverify.net.framing import read_frame, write_frame
from p2pverify.net.host import DialError, Host
from p2pverify.net.link import Link
from p2pverify.net.negotiate import NotSupportedError
from p2pverify.net.peer_list import FRAME_BYTES_MAX, PeerList, decode_peer_list, encode_peer_list
from p2pverify.net.stream import Stream, StreamBrokenError

PROTOCOL = "/p2pverify/peers/1"
INTERVAL_S_MIN = 0.5  # doubling up to the maximum: peers that join together find each other soon
INTERVAL_S_MAX = 10.0
EXCHANGE_SECONDS_MAX = 20.0
FAILURES_MAX = 2  # exchanges in a row, after which the connection counts as dead
DIALS_MAX = 8
WRONG_NETWORK = "wrong network"

log = logging.getLogger(__name__)


class Peers:
    """Keeps the address book, confirms links, and dials."""

    def __init__(
        self,
        host: Host,
        book: Book,
        network_id: bytes,
        announce: Sequence[Address],
        counters: Counters,
        *,
        changed: Callable[[], None],
    ) -> None:
        self._host = host
        self._book = book
        self._network_id = network_id
        self._announce = announce
        self._counters = counters
        self._changed = changed
        self._woken = trio.Event()

    def confirmed(self) -> tuple[Link, ...]:
        """The links to peers of our network."""
        return tuple(link for link in self._host.links() if link.confirmed.is_set())

    def listen_address(self, link: Link) -> Address | None:
        """Where the peer of a link listens, as far as we know."""
        return next(iter(self._book.addresses(link.peer)), None)

    async def attend(self, link: Link) -> bool:
        """The first exchange on a fresh link; True if the peer is of our network."""
        try:
            await self._exchange(link)
        except NotSupportedError:
            self._counters.count("peers_not_supported")  # another implementation, which may gossip all the same
        except (StreamBrokenError, RemoteProtocolError, trio.TooSlowError) as error:
            link.close_nowait(f"the first exchange failed: {error}")
        return link.confirmed.is_set()

    async def keep_up(self, link: Link) -> None:
        """Repeat the exchange for as long as the link lives."""
        failures = 0
        interval_s = INTERVAL_S_MIN
        while failures < FAILURES_MAX:
            await trio.sleep(interval_s)
            interval_s = min(INTERVAL_S_MAX, 2 * interval_s)
            try:
                await self._exchange(link)
                failures = 0
            except (StreamBrokenError, RemoteProtocolError, trio.TooSlowError):
                self._counters.count("peers_exchanges_failed")
                failures += 1
        link.close_nowait("the peer no longer answers")

    def lost(self, link: Link) -> None:
        """A link has ended."""
        if self._host.link(link.peer) is None:
            self._book.lost(link.peer, trio.current_time(), confirmed=link.confirmed.is_set())
            self._woken.set()

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound stream of the exchange."""
        with trio.fail_after(EXCHANGE_SECONDS_MAX):
            theirs = decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
            await write_frame(stream, self._ours(stream.peer))
            if theirs.network_id != self._network_id:
                await stream.close()  # they should read whose network this is before the connection goes
        link = self._host.link(stream.peer)
        if link is not None and link is stream.link:
            self._take(link, theirs)

    async def dial(self, peer: bytes) -> Link | None:
        """Dial a peer at the addresses in the book; None if it cannot be reached."""
        for address in self._book.addresses(peer):
            try:
                return await self._host.dial(address)
            except DialError as error:
                log.debug("cannot dial %s: %s", address, error)
        return None

    async def run(self) -> None:
        """Dial whom the book has, for as long as there is room for more connections."""
        async with trio.open_nursery() as nursery:
            dialling = trio.CapacityLimiter(DIALS_MAX)
            while True:
                connected = {link.peer for link in self._host.links()}
                if self._host.has_room:
                    for target in self._book.due(trio.current_time(), connected):
                        target.dialling = True
                        nursery.start_soon(self._dial_target, target, dialling)
                self._woken = trio.Event()
                due_s = self._book.next_due_s(connected) if self._host.has_room else float("inf")
                with trio.move_on_at(due_s):
                    await self._woken.wait()
                await trio.lowlevel.checkpoint()

    async def _dial_target(self, target: Target, dialling: trio.CapacityLimiter) -> None:
        try:
            async with dialling:
                for address in tuple(target.addresses):
                    try:
                        link = await self._host.dial(address)
                    except DialError as error:
                        log.debug("cannot dial %s: %s", address, error)
                        continue
                    target.peer = link.peer
                    return
            self._counters.count("dials_failed")
            self._book.failed(target, trio.current_time())
        finally:
            target.dialling = False
            self._woken.set()

    async def _exchange(self, link: Link) -> None:
        with trio.fail_after(EXCHANGE_SECONDS_MAX):
            async with await link.open_stream(PROTOCOL) as stream:
                await write_frame(stream, self._ours(link.peer))
                theirs = decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
        self._take(link, theirs)

    def _ours(self, reader: bytes) -> bytes:
        others = ((link.peer, self._book.addresses(link.peer)) for link in self.confirmed() if link.peer != reader)
        known = tuple((peer, _plain(addresses)) for peer, addresses in others if addresses)
        own = self._announce or (self._host.address,)
        return encode_peer_list(PeerList(self._network_id, tuple(own), known))

    def _take(self, link: Link, theirs: PeerList) -> None:
        now_s = trio.current_time()
        if theirs.network_id != self._network_id:
            self._counters.count("wrong_network")
            self._book.ban(link.peer, now_s)
            log.warning(
                "peer %s is of network %s, not of ours: disconnected",
                peer_id(link.peer),
                theirs.network_id.hex(),
            )
            link.close_nowait(WRONG_NETWORK)
            return
        own = [_seen_from_here(address, link) for address in theirs.own]
        self._book.learn(link.peer, own, now_s, first_hand=True)
        for peer, addresses in theirs.peers:
            self._book.learn(peer, _plain(addresses), now_s, first_hand=False)
        if not link.confirmed.is_set():
            link.confirmed.set()
            self._changed()
        self._woken.set()


def _plain(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Those that others can use: no names, no wildcards."""
    return tuple(a for a in addresses if a.kind in ("ip4", "ip6") and not a.is_wildcard)


def _seen_from_here(address: Address, link: Link) -> Address:
    """Who listens on all interfaces is reached where the connection comes from."""
    if address.is_wildcard and link.remote is not None:
        return address.with_host(link.remote[0])
    return address
