"""From a TCP connection to a multiplexed, authenticated one: Noise (libp2p specs, noise) and Yamux only.

Plaintext is not offered, so it cannot be negotiated. Every error of the other side before its key is known ends here,
as UpgradeError. The handshake, the keys and the nonces are the library's. The messages after the handshake are framed
here, because the library's own session needs several task switches and system calls for each.
"""

from typing import Any

import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.net.border import multistream
from p2pverify.net.border.harden import (
    ConnectionClosedError,
    IRawConnection,
    Muxer,
    NoiseTransport,
    create_key_pair,
    create_noise_key_pair,
)
from p2pverify.node.endpoints.address import peer_from_id_bytes

NOISE = "/noise"
YAMUX = "/yamux/1.0.0"
RECEIVE_BYTES = 64 * 1024
LENGTH_BYTES = 2  # the length in front of each Noise message
PLAIN_BYTES_MAX = 65535 - 16  # of one Noise message, without its tag


class UpgradeError(Exception):
    """The other side is not a libp2p peer with Noise and Yamux, or not the expected peer."""


class OwnKeyError(UpgradeError):
    """Another process has proven to hold our own key."""


class Wire(IRawConnection):  # type: ignore[misc]  # the library is not followed by the type checker
    """A TCP connection, or a circuit, in the form that the library's Noise reads and writes.

    One system call serves many reads.
    """

    def __init__(self, socket: trio.abc.Stream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.remote = remote_of(socket)
        self._socket = socket
        self._buffer = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Exactly n bytes, because the library gives up on a message after 100 reads. If n is None, what is there."""
        while len(self._buffer) < (1 if n is None else n):
            try:
                data = await self._socket.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError(f"the connection broke: {error}", transport="tcp") from error
            if not data:
                raise ConnectionClosedError("the connection ended", transport="tcp")
            self._buffer += data
        size = len(self._buffer) if n is None else n
        chunk = bytes(self._buffer[:size])
        del self._buffer[:size]
        return chunk

    async def read_exact(self, size: int) -> bytes:
        return await self.read(size)

    async def write(self, data: bytes) -> None:
        try:
            await self._socket.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(f"the connection broke: {error}", transport="tcp") from error

    def has_buffered(self) -> bool:
        return bool(self._buffer)

    async def close(self) -> None:
        await trio.aclose_forcefully(self._socket)

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.remote

    def get_transport_addresses(self) -> list[Any]:
        return []

    def get_connection_type(self) -> Any:
        return None


class Session:
    """An established Noise session in the form that Yamux reads and writes; one call writes with one system call."""

    def __init__(self, wire: Wire, noise: Any) -> None:
        self.wire = wire
        self._noise = noise
        self._plain = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Exactly n bytes; if n is None, what is there. Raises ConnectionClosedError at the end."""
        plain = self._plain
        while len(plain) < (1 if n is None else n):
            size = int.from_bytes(await self.wire.read(LENGTH_BYTES), "big")
            message = self._noise.decrypt(await self.wire.read(size))
            if not message:  # an empty message costs its sender next to nothing, and no honest peer sends one
                raise ConnectionClosedError("an empty Noise message", transport="tcp")
            plain += message
        chunk = bytes(plain if n is None else plain[:n])
        del plain[: len(chunk)]
        return chunk

    async def read_exact(self, size: int) -> bytes:
        return await self.read(size)

    async def write(self, data: bytes) -> None:
        sealed: list[bytes] = []
        for start in range(0, len(data), PLAIN_BYTES_MAX):
            message = self._noise.encrypt(data[start : start + PLAIN_BYTES_MAX])
            sealed += (len(message).to_bytes(LENGTH_BYTES, "big"), message)
        await self.wire.write(b"".join(sealed))

    def has_buffered(self) -> bool:
        return bool(self._plain)

    async def close(self) -> None:
        await self.wire.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.wire.remote

    def get_transport_addresses(self) -> list[Any]:
        return []

    def get_connection_type(self) -> Any:
        return None


class Upgrader:
    """Secures connections under one Ed25519 identity (32-byte seed)."""

    def __init__(self, identity_seed: bytes) -> None:
        pair = create_key_pair(identity_seed)
        self.peer: bytes = pair.public_key.to_bytes()
        self.public_key_protobuf: bytes = pair.public_key.serialize()
        fresh = create_noise_key_pair()  # of this process alone; each handshake shows the other side's
        self._noise_key: bytes = fresh.public_key.to_bytes()
        self._noise = NoiseTransport(pair, noise_privkey=fresh.private_key)

    async def upgrade(
        self, socket: trio.abc.Stream, *, outbound: bool, expected: bytes | None = None
    ) -> tuple[bytes, Muxer]:
        """Handshake with the other side. Returns its key (32 B) and the muxer, which the caller starts and closes.

        Raises UpgradeError, or its subclass OwnKeyError if another process has our key. Closes the socket if it raises.
        The caller sets the deadline.
        """
        wire = Wire(socket, is_initiator=outbound)
        try:
            return await self._handshake(wire, expected)
        except UpgradeError:
            await wire.close()
            raise
        except RemoteProtocolError as error:
            await wire.close()
            raise UpgradeError(error.reason) from error
        except Exception as error:  # the Noise library does not translate errors of its parts
            await wire.close()
            raise UpgradeError(f"the handshake failed: {type(error).__name__}") from error
        except trio.Cancelled:
            await wire.close()
            raise

    async def _handshake(self, wire: Wire, expected: bytes | None) -> tuple[bytes, Muxer]:
        secured = await self._secure(wire)
        peer = peer_from_id_bytes(secured.get_remote_peer().to_bytes())
        if peer == self.peer:
            if secured.remote_permanent_pubkey.to_bytes() == self._noise_key:
                raise UpgradeError("that is our own address")
            raise OwnKeyError("another process has the identity of this one")
        if expected not in (None, peer):
            raise UpgradeError(f"another peer answers at this address, {peer_id(peer)}")
        session = Session(wire, secured.conn.noise_state)
        await self._agree(session, YAMUX, outbound=wire.is_initiator)
        return peer, Muxer(session, secured.get_remote_peer(), is_initiator=wire.is_initiator)

    async def _secure(self, wire: Wire) -> Any:
        await self._agree(wire, NOISE, outbound=wire.is_initiator)
        if wire.is_initiator:
            return await self._noise.secure_outbound(wire, None)  # with an expected peer, it would not name a wrong one
        return await self._noise.secure_inbound(wire)

    @staticmethod
    async def _agree(channel: multistream.Channel, protocol: str, *, outbound: bool) -> None:
        if outbound:
            await multistream.propose(channel, protocol)
        else:
            await multistream.accept(channel, (protocol,))


def remote_of(socket: trio.abc.Stream) -> tuple[str, int] | None:
    """IP address and port of the other end; None if it is gone, or if this is a circuit through a relay."""
    if not isinstance(socket, trio.SocketStream):
        return None
    try:
        name = socket.socket.getpeername()
    except OSError:
        return None
    return str(name[0]), int(name[1])
