"""Finds peers of the local network by multicast DNS, as libp2p does (specs: discovery/mdns.md).

    _p2p-<first 10 hex digits of the network id>._udp.local.   PTR  <random name>._p2p-...
    <random name>._p2p-...                                     TXT  "dnsaddr=/ip4/192.0.2.1/tcp/4747/p2p/12D3Koo..."

`zeroconf` speaks the protocol in its own threads; messages reach trio through a bounded queue. These messages are not
signed, so they only suggest addresses to dial. The configuration decides whether mDNS is used at all.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio
from zeroconf import (  # type: ignore[attr-defined]  # DNSText is public, but missing from the list of exports
    DNSText,
    Error,
    RecordUpdate,
    RecordUpdateListener,
    ServiceBrowser,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)

from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.node.endpoints.address import Address, parse_address

QUEUE_MAX = 64  # TXT records that wait to be read
TXT_BYTES_MAX = 1300
ADDRESSES_MAX = 8  # read per TXT record
LOOK_AGAIN_S = 60.0  # between two looks at our own addresses, and after a failure
CLOSE_SECONDS_MAX = 5.0
_KEY = b"dnsaddr="

log = logging.getLogger(__name__)

Hear = Callable[[bytes, Sequence[Address]], None]


def service_type(network_id: bytes) -> str:
    """The DNS-SD type under which peers of one network find each other. A label has at most 15 letters (RFC 6763)."""
    return f"_p2p-{network_id.hex()[:10]}._udp.local."


def encode_txt(addresses: Sequence[Address]) -> bytes:
    """The strings of a TXT record (RFC 1035 section 3.3.14), one per address, each with its peer id."""
    strings = [_KEY + str(address).encode() for address in addresses]
    return b"".join(bytes([len(text)]) + text for text in strings)


def decode_txt(data: bytes) -> tuple[Address, ...]:
    """The addresses in a TXT record, each with its peer; other strings are ignored. Raises DecodeError."""
    if len(data) > TXT_BYTES_MAX:
        raise DecodeError("the TXT record is too long")
    found: list[Address] = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise DecodeError("the TXT record is cut short")
        text = data[at + 1 : end]
        at = end
        if text.startswith(_KEY) and len(found) < ADDRESSES_MAX:
            address = _address(text[len(_KEY) :])
            if address is not None:
                found.append(address)
    return tuple(found)


def _address(text: bytes) -> Address | None:
    """An address that we could dial. None for other texts: peers may use transports and keys that we do not know."""
    try:
        address = parse_address(text.decode("ascii"))
    except (UnicodeDecodeError, DecodeError):
        return None
    return None if address.peer is None or address.port == 0 or address.is_wildcard else address


@dataclass(eq=False)
class _Ear(RecordUpdateListener):
    """A listener that zeroconf's thread calls with every record; it queues the TXT records of our service."""

    suffix: str
    wake: Callable[[], None]
    texts: deque[bytes] = field(default_factory=lambda: deque(maxlen=QUEUE_MAX))
    dropped: int = 0

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:  # noqa: ARG002
        for update in records:
            record = update.new
            if not isinstance(record, DNSText) or not record.name.lower().endswith(self.suffix) or not record.ttl:
                continue
            self.dropped += len(self.texts) == QUEUE_MAX
            self.texts.append(record.text)
            self.wake()


class Mdns:
    """Announces our addresses to the local network, and reads those of other peers."""

    def __init__(self, network_id: bytes, counters: Counters) -> None:
        self._type = service_type(network_id)
        self._counters = counters

    async def run(self, peer: bytes, listening: Callable[[], Sequence[Address]], hear: Hear) -> None:
        """Take part until cancelled; restart when our addresses change. Without multicast, log that and try again."""
        while True:
            addresses = tuple(address.with_peer(peer) for address in listening())
            try:
                await self._take_part(peer, addresses, listening, hear)
            except (OSError, Error) as error:
                self._counters.count("mdns_failed")
                log.warning("mDNS does not work here (%s); peers are found by bootstrap addresses", error)
                await trio.sleep(LOOK_AGAIN_S)

    async def _take_part(
        self, peer: bytes, addresses: tuple[Address, ...], listening: Callable[[], Sequence[Address]], hear: Hear
    ) -> None:
        token = trio.lowlevel.current_trio_token()
        heard = _Signal()
        ear = _Ear(self._type, lambda: _call_soon(token, heard.set))
        node = await trio.to_thread.run_sync(self._open, addresses, ear)
        try:
            while addresses == tuple(address.with_peer(peer) for address in listening()):
                with trio.move_on_after(LOOK_AGAIN_S):
                    while True:
                        await heard.wait()
                        self._read(ear, peer, hear)
        finally:
            with trio.move_on_after(CLOSE_SECONDS_MAX) as scope:
                scope.shield = True
                await trio.to_thread.run_sync(
                    node.close,
                    abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
                )

    def _open(self, addresses: tuple[Address, ...], ear: _Ear) -> Zeroconf:
        """Start zeroconf on the interfaces where we listen. Blocks while it probes the name, about two seconds."""
        node = Zeroconf(interfaces=[address.host for address in addresses])
        try:
            node.add_listener(ear, None)
            ServiceBrowser(node, self._type, handlers=[_ignore])
            name = os.urandom(16).hex()
            node.register_service(
                ServiceInfo(
                    self._type,
                    f"{name}.{self._type}",
                    port=addresses[0].port,
                    parsed_addresses=[address.host for address in addresses],
                    properties=encode_txt(addresses),
                    server=f"{name}.local.",
                )
            )
        except BaseException:
            node.close()
            raise
        return node

    def _read(self, ear: _Ear, own: bytes, hear: Hear) -> None:
        self._counters.count("mdns_dropped", ear.dropped)
        ear.dropped = 0
        while ear.texts:
            try:
                found = decode_txt(ear.texts.popleft())
            except DecodeError:
                self._counters.count("mdns_malformed")
                continue
            for peer in sorted({address.peer for address in found if address.peer not in (None, own)}):
                log.debug("mDNS tells of peer %s", peer_id(peer))
                self._counters.count("mdns_heard")
                hear(peer, [address for address in found if address.peer == peer])


class _Signal:
    """An event that resets after each wait."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = trio.Event()


def _call_soon(token: trio.lowlevel.TrioToken, function: Callable[[], None]) -> None:
    """Call a function soon in the trio thread. Several requests before the call lead to one call."""
    try:
        token.run_sync_soon(function, idempotent=True)
    except trio.RunFinishedError:
        return


def _ignore(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
    """Ignore the browser's callback: the browser sends the queries, and the listener reads the records."""
