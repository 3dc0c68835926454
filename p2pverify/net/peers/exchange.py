"""How a peer finds and reaches the others: the exchange /p2pverify/peers/2, and dialling.

Right after connecting, and every few seconds, each side asks the other for its peer list. The first exchange also shows
whether both belong to the same network; a peer of another network is disconnected. Statements about third peers need
the signatures of these peers, and a peer that is dialled at such an address must prove its key. A neighbour is told of
a third peer once, and again after a new signature, because whole lists would cost more than all other traffic in a full
mesh. Protocol page: protocol/streams.md.
"""

import logging
from collections.abc import Callable, Sequence

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.limits import BoundedDict, Rate, Shares
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.host import DialError, Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.peers.address_book import AddressBook, Target
from p2pverify.net.peers.book_rows import restore, rows_of
from p2pverify.net.peers.complaints import Complaints
from p2pverify.net.peers.peer_list import (
    EXCHANGE_SECONDS_MAX,
    FRAME_BYTES_MAX,
    PEERS_PER_FRAME_MAX,
    PROTOCOL,
    PeerList,
    decode_peer_list,
    encode_peer_list,
)
from p2pverify.net.peers.signed_addresses import OwnAddresses, SignedAddresses, seen_address, usable
from p2pverify.net.peers.twins import Twins
from p2pverify.node.endpoints.address import Address, address_of
from p2pverify.node.endpoints.shelf import PeerShelf

INTERVAL_S_MIN = 0.5  # doubles up to the maximum, so that peers that join together find each other soon
INTERVAL_S_MAX = 10.0
LINKS_FEW = 8  # with more links, the interval of each grows, so that the total rate stays that of 8 links
FAILURES_MAX = 2  # failed exchanges in a row, after which the connection counts as dead
DIALS_MAX = 8
HEARSAY_DIALS_MAX = 4  # of DIALS_MAX, so that dead hearsay addresses do not hold up known peers
#: Limits per peer and for all peers together: exchanges that they begin, and signatures of third peers that we check.
EXCHANGES = Rate(per_second=4, burst=20)
POOL_OF_EXCHANGES = Rate(per_second=64, burst=512)
STATEMENTS = Rate(per_second=16, burst=128)
POOL_OF_STATEMENTS = Rate(per_second=256, burst=1024)
KEYS_MAX = 256
LOST_KEPT = 256
SAVE_SECONDS = 300.0
LAST_SAVE_SECONDS_MAX = 5.0
WRONG_NETWORK = "wrong network"
MDNS, DNS = b"mdns", b"dns"  # sources of addresses, like the keys of peers

log = logging.getLogger(__name__)


class PeerExchange:
    """Keeps the address book, confirms links, and dials."""

    def __init__(
        self,
        host: Host,
        book: AddressBook,
        network_id: bytes,
        own: OwnAddresses,
        counters: Counters,
        *,
        clock: Callable[[], int],
        changed: Callable[[], None],
        shelf: PeerShelf | None = None,
    ) -> None:
        self._host = host
        self._book = book
        self._network_id = network_id
        self._own = own
        self._counters = counters
        self._clock = clock
        self._changed = changed
        self._shelf = shelf
        self._linked_s: BoundedDict[bytes, tuple[float, float]] = BoundedDict(LOST_KEPT)  # age and end of lost links
        self._complaints = Complaints(book.bootstrap)
        self._twins = Twins(host, network_id, lambda: own.statement(host.addresses), clock)
        self._woken = trio.Event()
        self._news = trio.Event()
        self._dials = {True: 0, False: 0}  # dials under way, by whether they are hearsay
        self._exchanges = Shares(EXCHANGES, POOL_OF_EXCHANGES, KEYS_MAX)
        self._statements = Shares(STATEMENTS, POOL_OF_STATEMENTS, KEYS_MAX)
        #: For each link: the `seq`, by third peer, of the statements that the other side has.
        self._told: dict[Link, dict[bytes, int]] = {}

    def confirmed(self) -> tuple[Link, ...]:
        """The direct links to confirmed peers of our network."""
        return tuple(link for link in self._host.links() if link.confirmed.is_set() and link.relay is None)

    def tell(self) -> None:
        """Our addresses have changed: tell all neighbours soon."""
        self._news.set()
        self._news = trio.Event()

    def listen_address(self, link: Link) -> Address | None:
        """The first known address of a link's peer, or None."""
        return next(iter(self._book.addresses(link.peer)), None)

    async def attend(self, link: Link) -> bool:
        """Make the first exchange on a fresh link. True if the peer is of our network."""
        try:
            await self._exchange(link)
        except NotSupportedError:
            self._counters.count("peers_not_supported")  # another implementation; it may still gossip
        except (StreamBrokenError, RemoteProtocolError, trio.TooSlowError) as error:
            link.close_nowait(f"the first exchange failed: {error}")
        return link.confirmed.is_set()

    async def keep_up(self, link: Link) -> None:
        """Repeat the exchange for as long as the link lives."""
        failures = 0
        interval_s = INTERVAL_S_MIN
        while failures < FAILURES_MAX:
            with trio.move_on_after(interval_s * max(1.0, len(self._host.links()) / LINKS_FEW)):
                await self._news.wait()
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
        self._told.pop(link, None)
        if link.confirmed.is_set():  # at the end of the process, links may end before the book is written
            self._linked_s[link.peer] = (link.age_s, trio.current_time())
        if link.outbound and not link.confirmed.is_set() and link.remote is not None:
            self._twins.hung_up(address_of(link.remote))
        if self._host.link(link.peer) is None:
            self._book.lost(link.peer, trio.current_time(), confirmed=link.confirmed.is_set())
            self._woken.set()

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound stream of the exchange."""
        if not self._exchanges.take(stream.peer, 1, self._clock()):
            self._counters.count("peers_exchanges_refused")
            raise RemoteProtocolError("too many exchanges of peer lists")
        with trio.fail_after(EXCHANGE_SECONDS_MAX):
            theirs = decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
            link = self._host.link(stream.peer)
            ours = self._ours(stream.peer, link if link is stream.link else None)
            await write_frame(stream, encode_peer_list(ours))
            if theirs.network_id != self._network_id:
                await stream.close()  # the peer should read our network id before the connection closes
        if link is not None and link is stream.link and link is self._host.link(stream.peer):
            self._note_told(link, ours.peers)
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
        """Dial the targets of the book while there is room for more connections, and keep the book on disk."""
        if self._shelf is not None:
            await self._restore(self._shelf)
        for address in self._book.own_addresses:
            self._twins.look_at(address)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._twins.run)
            if self._shelf is not None:
                nursery.start_soon(self._keep, self._shelf)
            while True:
                connected = {link.peer for link in self._host.links() if link.relay is None}
                for target in self._book.due(trio.current_time(), connected):
                    if self._may_dial(hearsay=target.is_hearsay):
                        target.dialling = True
                        self._dials[target.is_hearsay] += 1
                        nursery.start_soon(self._dial_target, target, target.is_hearsay)
                self._woken = trio.Event()
                due_s = float("inf")
                if self._may_dial(hearsay=False):
                    due_s = self._book.next_due_s(connected, hearsay=self._may_dial(hearsay=True))
                with trio.move_on_at(due_s):
                    await self._woken.wait()
                await trio.lowlevel.checkpoint()

    async def _restore(self, shelf: PeerShelf) -> None:
        rows = await trio.to_thread.run_sync(shelf.load)
        dropped = restore(self._book, rows, self._network_id, trio.current_time(), self._clock())
        self._counters.count("book_rows_read", len(rows) - dropped)
        self._counters.count("book_rows_dropped", dropped)

    async def _keep(self, shelf: PeerShelf) -> None:
        """Write the book now and then, and at the end."""
        try:
            while True:
                await trio.sleep(SAVE_SECONDS)
                await self._save(shelf)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_SAVE_SECONDS_MAX):
                await self._save(shelf)

    async def _save(self, shelf: PeerShelf) -> None:
        now_s = trio.current_time()
        lost = {peer: age for peer, (age, end) in self._linked_s.items() if now_s - end < LAST_SAVE_SECONDS_MAX}
        linked_s = lost | {link.peer: link.age_s for link in self.confirmed()}
        if not await shelf.save(rows_of(self._book, linked_s, now_s, self._clock())):
            self._counters.count("book_not_saved")

    def hear(self, peer: bytes, addresses: Sequence[Address], *, source: bytes) -> None:
        """The local network or DNS says where a peer listens; nobody has signed it."""
        self._book.hear(peer, addresses, None, trio.current_time(), source=source)
        self._woken.set()

    def _may_dial(self, *, hearsay: bool) -> bool:
        """Whether one more peer may be dialled now, known by hearsay or not."""
        is_free = sum(self._dials.values()) < DIALS_MAX and self._host.has_room
        return is_free and not (hearsay and self._dials[True] >= HEARSAY_DIALS_MAX)

    async def _dial_target(self, target: Target, is_hearsay: bool) -> None:  # as when the dial began
        try:
            for address in [one for one in target.addresses if one.relay is None]:
                try:
                    link = await self._host.dial(address)
                except DialError as error:
                    log.debug("cannot dial %s: %s", address, error)
                    self._complaints.failed(address, str(error), trio.current_time())
                    continue
                self._complaints.reached(address)
                target.peer = link.peer
                return
            self._counters.count("dials_failed")
            self._book.failed(target, trio.current_time())
        finally:
            target.dialling = False
            self._dials[is_hearsay] -= 1
            self._woken.set()

    async def _exchange(self, link: Link) -> None:
        with trio.fail_after(EXCHANGE_SECONDS_MAX):
            async with await link.open_stream(PROTOCOL) as stream:
                ours = self._ours(link.peer, link)
                await write_frame(stream, encode_peer_list(ours))
                theirs = decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
        self._note_told(link, ours.peers)
        self._take(link, theirs)

    def _ours(self, reader: bytes, link: Link | None) -> PeerList:
        """Our addresses, and the statements that the other side of a link does not have yet."""
        told = {} if link is None else self._told.get(link, {})
        if link is not None and link.relay is not None:  # a circuit carries few bytes
            return PeerList(self._network_id, self._own.statement(self._host.addresses), ())
        news = [each for each in self._words() if each.peer != reader and told.get(each.peer, -1) < each.seq]
        return PeerList(self._network_id, self._own.statement(self._host.addresses), tuple(news[:PEERS_PER_FRAME_MAX]))

    def _words(self) -> list[SignedAddresses]:
        """The current signed statements of the connected peers, which may be passed on."""
        now_ms = self._clock()
        known = (self._book.statement(link.peer) for link in self.confirmed())
        return [each for each in known if each is not None and each.is_current(now_ms)]

    def _note_told(self, link: Link, words: Sequence[SignedAddresses]) -> None:
        """Note that the other side of a link has these statements. Only the few that we could pass on are noted."""
        if self._host.link(link.peer) is not link:
            return  # the link has ended meanwhile
        seqs = {each.peer: each.seq for each in self._words()}
        told = {peer: seq for peer, seq in self._told.get(link, {}).items() if peer in seqs}
        told |= {each.peer: each.seq for each in words if each.peer in seqs}
        self._told[link] = told

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
        self._meet(link, theirs.own, now_s)
        self._note_told(link, theirs.peers)
        for statement in theirs.peers:
            self._hear(link, statement, now_s)
        self._book.forget_expired(self._clock())
        if not link.confirmed.is_set():
            link.confirmed.set()
            self._changed()
        self._woken.set()

    def _meet(self, link: Link, own: SignedAddresses | None, now_s: float) -> None:
        """Take a peer's statement about itself. It is a protocol error if the peer has not signed it."""
        if own is None:
            self._book.meet(link.peer, (), None, now_s)
            return
        known = self._book.statement(link.peer)
        is_ours = own.peer == link.peer and own.network == self._network_id
        if own != known and not (is_ours and own.is_signed()):
            raise RemoteProtocolError("the peer's addresses are not signed by itself")
        remote = self._told_from(link)
        seen = None if link.relay is not None else seen_address(own.addresses, remote)
        found = [*usable(own.addresses, remote), *([] if seen is None else [seen])]
        self._book.meet(link.peer, found, own if own.is_current(self._clock()) else None, now_s)

    def _told_from(self, link: Link) -> str | None:
        """The host from which a peer tells us of addresses; through a relay, that of the relay."""
        nearest = link if link.relay is None else self._host.link(link.relay)
        return None if nearest is None or nearest.remote is None else nearest.remote[0]

    def _hear(self, link: Link, statement: SignedAddresses, now_s: float) -> None:
        """Take a third peer's signed statement from a neighbour, if it is newer than the known one."""
        now_ms = self._clock()
        if statement.peer == self._host.peer:
            self._twins.hear(statement)
        known = self._book.statement(statement.peer)
        if statement.peer in (self._host.peer, link.peer) or (known is not None and statement.seq <= known.seq):
            return
        if statement.network != self._network_id or not statement.is_current(now_ms):
            self._counters.count("addresses_not_current")
            return
        if not self._statements.take(link.peer, 1, now_ms):
            self._counters.count("addresses_over_share")
            return
        if not statement.is_signed():
            self._counters.count("addresses_unsigned")
            return
        found = usable(statement.addresses, self._told_from(link))
        self._book.hear(statement.peer, found, statement, now_s, source=link.peer)
