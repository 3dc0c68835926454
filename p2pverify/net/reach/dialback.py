"""Dial-back: a peer asks another to dial it, at the address that the other sees, and learns whether that works.

The request names a port, and no address: the server dials only where the connection comes from, once a minute for each
peer, and one connection for one request. So it serves neither to scan ports of others nor to multiply traffic. It dials
under a fresh key, because a second connection of its own key would close the first. The answer tells the server's time.
Page: protocol/dialback.md.
"""

import logging
import os
from collections.abc import Callable

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.encoding import canon
from p2pverify.core.errors import DecodeError, RemoteProtocolError
from p2pverify.core.limits import BoundedDict
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.host import DialError, Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.node.endpoints.address import address_of

DIALBACK = "/p2pverify/dialback/1"
DIALLED = "/p2pverify/dialled/1"
NONCE_BYTES = 16
REQUEST_BYTES_MAX = 64
AGAIN_SECONDS = 60.0  # from one request of a peer to the next
DIALS_AT_ONCE_MAX = 4
DIAL_SECONDS_MAX = 10.0
ANSWER_SECONDS_MAX = 20.0
ASKERS_MAX = 256
PENDING_MAX = 16
_DEPTH_MAX = 1
#: The answers: dialled, not dialled because of a limit, tried without success.
DONE, REFUSED, FAILED = b"\x00", b"\x01", b"\x02"
ANSWER_BYTES = 9
TIME_MS_MAX = 2**53 - 1  # Unix ms


def encode_dialback(nonce: bytes, port: int) -> bytes:
    """Canonical CBOR: [nonce (16 B), port]."""
    return canon.encode([nonce, port])


def decode_dialback(data: bytes) -> tuple[bytes, int]:
    """Raises DecodeError."""
    value = canon.decode(data, size_max=REQUEST_BYTES_MAX, depth_max=_DEPTH_MAX)
    nonce, port = canon.as_array(value, "the request", length=2)
    number = canon.as_uint(port, "the port", 65535)
    if not number:
        raise DecodeError("nobody can dial port 0")
    return canon.as_bytes(nonce, "the nonce", size=NONCE_BYTES), number


def encode_answer(outcome: bytes, time_ms: int) -> bytes:
    """One byte, and the server's clock in Unix ms, 8 bytes, the highest first."""
    return outcome + max(0, min(TIME_MS_MAX, time_ms)).to_bytes(8, "big")


def decode_answer(data: bytes) -> tuple[bytes, int]:
    """Raises DecodeError."""
    time_ms = int.from_bytes(data[1:], "big")
    if len(data) != ANSWER_BYTES or data[:1] not in (DONE, REFUSED, FAILED) or time_ms > TIME_MS_MAX:
        raise DecodeError("not an answer to a dial-back")
    return data[:1], time_ms


log = logging.getLogger(__name__)


class Dialback:
    """Both sides of the protocol for one host. `dialler` makes a host with a fresh key, which dials once.

    `clock` gives Unix milliseconds. `told` is called with a link and by how many ms the clock of its peer is ahead.
    """

    def __init__(
        self,
        host: Host,
        counters: Counters,
        dialler: Callable[[bytes], Host] | None = None,
        *,
        clock: Callable[[], int],
        told: Callable[[Link, int], None],
    ) -> None:
        self._host = host
        self._counters = counters
        self._clock = clock
        self._told = told
        self._dialler = dialler or (lambda seed: Host(seed, (), Counters()))
        self._served: BoundedDict[bytes, float] = BoundedDict(ASKERS_MAX)
        self._at_work = 0
        self._pending: BoundedDict[bytes, trio.Event] = BoundedDict(PENDING_MAX)
        host.handle(DIALBACK, self._answer)
        host.handle(DIALLED, self._dialled)

    async def ask(self, link: Link, port: int) -> bool | None:
        """Have the peer of a link dial us at this port. None if it did not try."""
        nonce = os.urandom(NONCE_BYTES)
        came = self._pending[nonce] = trio.Event()
        try:
            with trio.fail_after(ANSWER_SECONDS_MAX):
                async with await link.open_stream(DIALBACK) as stream:
                    await write_frame(stream, encode_dialback(nonce, port))
                    answer, time_ms = decode_answer(await read_frame(stream, ANSWER_BYTES))
            self._told(link, time_ms - self._clock())
        except (StreamBrokenError, NotSupportedError, RemoteProtocolError, trio.TooSlowError):
            return True if came.is_set() else None
        finally:
            self._pending.pop(nonce, None)
        if came.is_set():
            return True
        return False if answer == FAILED else None

    async def _answer(self, stream: Stream) -> None:
        """Serve one request."""
        with trio.fail_after(ANSWER_SECONDS_MAX):
            nonce, port = decode_dialback(await read_frame(stream, REQUEST_BYTES_MAX))
        if not self._may_serve(stream):
            self._counters.count("dialbacks_refused")
            await write_frame(stream, encode_answer(REFUSED, self._clock()))
            return
        self._served[stream.peer] = trio.current_time()
        self._at_work += 1
        try:
            has_reached = await self._dial(stream, nonce, port)
        finally:
            self._at_work -= 1
        self._counters.count("dialbacks_done" if has_reached else "dialbacks_failed")
        await write_frame(stream, encode_answer(DONE if has_reached else FAILED, self._clock()))

    def _may_serve(self, stream: Stream) -> bool:
        """Only peers of our network, with an address of their own, each once a minute."""
        link = stream.link
        is_known = link.confirmed.is_set() and link.relay is None and link.remote is not None
        last_s = self._served.get(stream.peer, -AGAIN_SECONDS)
        return is_known and trio.current_time() - last_s >= AGAIN_SECONDS and self._at_work < DIALS_AT_ONCE_MAX

    async def _dial(self, stream: Stream, nonce: bytes, port: int) -> bool:
        remote = stream.link.remote
        assert remote is not None  # a relayed connection is refused before
        address = address_of((remote[0], port)).with_peer(stream.peer)
        dialler = self._dialler(os.urandom(32))
        has_reached = False
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(dialler.run, (), _attend, _ended)
                    try:
                        link = await dialler.dial(address)
                        async with await link.open_stream(DIALLED) as back:
                            await write_frame(back, nonce)
                            await read_frame(back, 0)
                        has_reached = True
                    finally:
                        nursery.cancel_scope.cancel()
        except* (DialError, StreamBrokenError, RemoteProtocolError, trio.TooSlowError) as failed:
            log.debug("dial-back to %s: %s", address, failed.exceptions[0])
        return has_reached

    async def _dialled(self, stream: Stream) -> None:
        """Somebody brings a nonce of ours, over a connection that it has dialled."""
        with trio.fail_after(ANSWER_SECONDS_MAX):
            nonce = await read_frame(stream, NONCE_BYTES)
        came = self._pending.get(nonce)
        link = stream.link
        if came is None or not isinstance(link, Link) or link.outbound or link.relay is not None:
            self._counters.count("dialbacks_unasked")
            raise RemoteProtocolError("a nonce of dial-back that is not ours")
        came.set()
        await write_frame(stream, b"")


async def _attend(_link: Link) -> None:
    return


def _ended(_link: Link) -> None:
    return
