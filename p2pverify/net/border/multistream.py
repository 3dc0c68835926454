"""multistream-select 1.0: two peers agree on a protocol by name (libp2p specs, connections/README.md).

Each message is a varint length and that many bytes, of which the last is a newline. This module can only propose one
protocol and accept one of a set; it answers `ls` with `na`.
"""

from collections.abc import Collection
from typing import Protocol

from p2pverify.core.errors import RemoteProtocolError

MULTISTREAM = "/multistream/1.0.0"
NOT_AVAILABLE = "na"
MESSAGE_BYTES_MAX = 256
PROPOSALS_MAX = 16


class Channel(Protocol):
    """Bytes in both directions, read in exact amounts, so that nothing after the negotiation is lost."""

    async def read_exact(self, size: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def has_buffered(self) -> bool:
        """True if the next read need not wait for the peer."""
        ...


class NotSupportedError(RemoteProtocolError):
    """The peer speaks multistream-select but not the protocol."""


def encode_message(text: str) -> bytes:
    """One message of multistream-select. The text must be shorter than 8192 bytes."""
    body = text.encode() + b"\n"
    size = len(body)
    prefix = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    return prefix + body


async def read_message(channel: Channel) -> str:
    """Read one message. Raises RemoteProtocolError, and the channel's error at its end."""
    size = (await channel.read_exact(1))[0]
    if size & 0x80:
        high = (await channel.read_exact(1))[0]
        size = size & 0x7F | high << 7
        if high & 0x80 or size > MESSAGE_BYTES_MAX:
            raise RemoteProtocolError("a multistream message is too long")
    body = await channel.read_exact(size)
    if body[-1:] != b"\n":
        raise RemoteProtocolError("a multistream message does not end with a newline")
    try:
        return body[:-1].decode("ascii")
    except UnicodeDecodeError:
        raise RemoteProtocolError("a multistream message is not ASCII") from None


async def propose(channel: Channel, protocol: str) -> None:
    """Ask the peer for a protocol. Raises NotSupportedError or RemoteProtocolError."""
    await channel.write(encode_message(MULTISTREAM) + encode_message(protocol))
    await _expect_multistream(channel)
    answer = await read_message(channel)
    if answer == NOT_AVAILABLE:
        raise NotSupportedError(f"the peer does not speak {protocol}")
    if answer != protocol:
        raise RemoteProtocolError("the peer agreed to a protocol that was not proposed")


async def accept(channel: Channel, protocols: Collection[str]) -> str:
    """Let the peer propose protocols until we speak one. Raises RemoteProtocolError after PROPOSALS_MAX."""
    await _expect_multistream(channel)
    greeting = encode_message(MULTISTREAM)
    for _ in range(PROPOSALS_MAX):
        # A peer that waits for our greeting before it proposes gets it now. For others, greeting and answer share one
        # write.
        if greeting and not channel.has_buffered():
            await channel.write(greeting)
            greeting = b""
        proposal = await read_message(channel)
        known = proposal in protocols
        await channel.write(greeting + encode_message(proposal if known else NOT_AVAILABLE))
        greeting = b""
        if known:
            return proposal
    raise RemoteProtocolError("the peer proposes protocols without end")


async def _expect_multistream(channel: Channel) -> None:
    if await read_message(channel) != MULTISTREAM:
        raise RemoteProtocolError("the peer does not speak multistream-select")
