"""Frames on a stream: a length, then that many bytes.

Our own protocols use a 4-byte big-endian length. Gossip uses the varint of protobuf streams (libp2p specs, pubsub).
Each reader passes the largest size that it accepts; a longer frame is refused before its body is read.
"""

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.net.border.stream import Stream, StreamBrokenError

LENGTH_BYTES = 4
_VARINT_BYTES_MAX = 4  # 2**28 - 1, far above every limit


class FrameTooLargeError(RemoteProtocolError):
    """The peer announced a frame beyond the limit."""


def frame_bytes(body: bytes) -> bytes:
    """The bytes of one frame."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def write_frame(stream: Stream, body: bytes) -> None:
    """Write one frame in one piece. Raises StreamBrokenError."""
    await stream.write(frame_bytes(body))


async def read_frame(stream: Stream, size_max: int) -> bytes:
    """Read one frame of at most size_max bytes. Raises FrameTooLargeError, StreamBrokenError."""
    size = int.from_bytes(await stream.read_exact(LENGTH_BYTES), "big")
    if size > size_max:
        raise FrameTooLargeError(f"a frame of {size} bytes, and {size_max} are allowed")
    return await stream.read_exact(size)


def encode_varint(number: int) -> bytes:
    """Unsigned LEB128, as protobuf defines it."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def varint_frame(body: bytes) -> bytes:
    """The bytes of one varint-prefixed frame."""
    return encode_varint(len(body)) + body


async def read_varint_frame(stream: Stream, size_max: int) -> bytes | None:
    """Read one varint-prefixed frame. None if the stream has ended properly, between two frames.

    Raises FrameTooLargeError, RemoteProtocolError (overlong length), StreamBrokenError.
    """
    first = await stream.read_some(1)
    if not first:
        return None
    size, shift, byte = first[0] & 0x7F, 7, first[0]
    while byte & 0x80:
        if shift == 7 * _VARINT_BYTES_MAX:
            raise RemoteProtocolError("the length of a frame does not end")
        byte = (await stream.read_exact(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
    if size > size_max:
        raise FrameTooLargeError(f"a frame of {size} bytes, and {size_max} are allowed")
    return await stream.read_exact(size)


__all__ = [
    "FrameTooLargeError",
    "StreamBrokenError",
    "encode_varint",
    "frame_bytes",
    "read_frame",
    "read_varint_frame",
    "varint_frame",
    "write_frame",
]
