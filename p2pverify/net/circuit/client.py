"""The ends of circuits: reservations at relays, connections through them, and connections that come through them.

A circuit ends in Noise with the expected key, so a relay can delay and drop, and nothing else. Nothing goes over two
relays. Protocol page: protocol/relay.md.
"""

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.net.border.framing import read_varint_frame, varint_frame
from p2pverify.net.border.host import DialError, Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.circuit.messages import (
    HOP,
    MESSAGE_BYTES_MAX,
    STOP,
    CircuitStatus,
    HopAnswer,
    HopRequest,
    decode_hop_answer,
    decode_stop_request,
    decode_voucher,
    encode_hop_request,
    encode_stop_answer,
)
from p2pverify.net.circuit.pipe import Pipe
from p2pverify.node.endpoints.address import Address

TALK_SECONDS_MAX = 10.0


class RelayRefusedError(Exception):
    """A relay does not do what we ask for; the reason is for people."""


class Circuits:
    """Opens circuits for a host, and takes those that come through relays at which it has reserved."""

    def __init__(self, host: Host, counters: Counters) -> None:
        self._host = host
        self._counters = counters
        self.relays: set[bytes] = set()  # the relays whose circuits we take
        host.open_circuit = self.open

    def serve(self) -> None:
        """Take circuits from relays."""
        self._host.handle(STOP, self._stop)

    async def open(self, address: Address) -> Pipe:
        """A circuit to the peer of an address. Raises DialError. The caller sets the deadline."""
        if address.relay is None or address.peer is None or self._host.peer in (address.relay, address.peer):
            raise DialError("the address leads through no relay")
        if address.relay == address.peer:
            raise DialError("a peer is no relay to itself")
        was_linked = self._host.link(address.relay) is not None
        link = await self._host.dial(address.of_relay())
        if link.relay is not None:
            raise DialError("the relay is itself behind a relay")
        try:
            stream, _ = await _talk(link, HopRequest(address.peer))
        except (RelayRefusedError, NotSupportedError) as error:
            if not was_linked and not link.confirmed.is_set():
                link.close_nowait("it is no relay for us")  # or statements could fill our places with such links
            raise DialError(f"the relay opens no circuit: {error}") from error
        self._counters.count("circuits_opened")
        return Pipe(stream)

    async def reserve(self, link: Link) -> float:
        """Reserve at the relay of a link. Returns for how many seconds. Raises RelayRefusedError, NotSupportedError."""
        if link.relay is not None:
            raise RelayRefusedError("the connection is itself a circuit")
        stream, answer = await _talk(link, HopRequest(None))
        await stream.reset()
        if answer.voucher:  # only a relay that proves less than it promises is refused; the voucher is not used
            try:
                expires_s = decode_voucher(answer.voucher, link.peer, self._host.peer)
            except RemoteProtocolError as error:
                raise RelayRefusedError(f"its voucher is wrong: {error.reason}") from error
            if expires_s != answer.expires_s:
                raise RelayRefusedError("its voucher has another end")
        return answer.expires_s

    async def _stop(self, stream: Stream) -> None:
        relay = stream.peer
        with trio.fail_after(TALK_SECONDS_MAX):
            source = decode_stop_request(await read_varint_frame(stream, MESSAGE_BYTES_MAX) or b"")
            may = stream.link.relay is None and relay in self.relays and source != self._host.peer
            status = CircuitStatus.OK if may else CircuitStatus.PERMISSION_DENIED
            await stream.write(varint_frame(encode_stop_answer(status)))
        if not may:
            self._counters.count("circuits_refused")
            return
        self._counters.count("circuits_taken")
        await self._host.accept_circuit(Pipe(stream), relay, source)


async def _talk(link: Link, request: HopRequest) -> tuple[Stream, HopAnswer]:
    """Ask a relay. Returns the open stream. Raises RelayRefusedError, NotSupportedError."""
    stream: Stream | None = None
    try:
        with trio.fail_after(TALK_SECONDS_MAX):
            stream = await link.open_stream(HOP)
            await stream.write(varint_frame(encode_hop_request(request)))
            answer = decode_hop_answer(await read_varint_frame(stream, MESSAGE_BYTES_MAX) or b"")
        if answer.status != CircuitStatus.OK:
            raise RelayRefusedError(_name(answer.status))
    except NotSupportedError:
        raise
    except (StreamBrokenError, RemoteProtocolError, trio.TooSlowError) as error:
        if stream is not None:
            await stream.reset()
        raise RelayRefusedError(f"it does not answer ({error})") from error
    except BaseException:
        if stream is not None:
            await stream.reset()
        raise
    return stream, answer


def _name(status: int) -> str:
    try:
        return CircuitStatus(status).name.lower().replace("_", " ")
    except ValueError:
        return f"status {status}"
