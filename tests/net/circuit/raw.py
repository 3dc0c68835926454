"""Bare hosts at a relay: they reserve, open circuits and talk as raw as they like."""

from dataclasses import dataclass

import trio

from p2pverify.net.border.framing import read_varint_frame, varint_frame
from p2pverify.net.border.host import Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.stream import Stream
from p2pverify.net.circuit.messages import (
    HOP,
    MESSAGE_BYTES_MAX,
    STOP,
    CircuitStatus,
    decode_hop_answer,
    encode_stop_answer,
)
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import Peer, stranger


@dataclass
class Raw:
    """A host with a link to the relay. `behind` has the far ends of circuits that came to it."""

    host: Host
    link: Link
    behind: list[Stream]

    async def hop(self, message: bytes) -> tuple[Stream, int]:
        """Send a message on a fresh stream of HOP. Returns the stream and the status of the answer."""
        stream = await self.link.open_stream(HOP)
        await stream.write(varint_frame(message))
        answer = decode_hop_answer(await read_varint_frame(stream, MESSAGE_BYTES_MAX) or b"")
        return stream, answer.status


async def raw(nursery: trio.Nursery, relay: Peer, name: str, *, answer: CircuitStatus | None = CircuitStatus.OK) -> Raw:
    """Connect a bare host to a relay. It answers circuits with `answer`, and holds them; None: it says nothing."""
    host = await stranger(nursery, name)
    behind: list[Stream] = []

    async def stop(stream: Stream) -> None:
        await read_varint_frame(stream, MESSAGE_BYTES_MAX)
        if answer is not None:
            await stream.write(varint_frame(encode_stop_answer(answer)))
        behind.append(stream)
        await trio.sleep_forever()

    host.handle(STOP, stop)
    return Raw(host, await host.dial(parse_address(relay.address)), behind)
