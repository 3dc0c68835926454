"""The protocols that any libp2p peer expects: identify and ping (libp2p specs, identify and ping).

Other implementations learn from identify which protocols we speak, above all gossipsub. We never ask for identify: a
peer tells us what we need in our own protocols, under its proven key.
"""

from typing import Protocol

from p2pverify.net.border.framing import varint_frame
from p2pverify.net.border.harden import Identify
from p2pverify.net.border.link import StreamHandler
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.node.endpoints.address import Address

IDENTIFY = "/ipfs/id/1.0.0"
PING = "/ipfs/ping/1.0.0"
AGENT = "p2pverify"
PROTOCOL_VERSION = "ipfs/0.1.0"
_PING_BYTES = 32


class _Host(Protocol):
    @property
    def addresses(self) -> tuple[Address, ...]: ...

    @property
    def protocols(self) -> tuple[str, ...]: ...

    def handle(self, protocol: str, handler: StreamHandler) -> None: ...


def register(host: _Host, public_key_protobuf: bytes) -> None:
    """Serve identify and ping for a host."""

    async def serve_identify(stream: Stream) -> None:
        message = Identify(
            protocol_version=PROTOCOL_VERSION,
            agent_version=AGENT,
            public_key=public_key_protobuf,
            listen_addrs=[own.to_multiaddr_bytes() for own in host.addresses if not own.is_wildcard],
            protocols=list(host.protocols),
        )
        await stream.write(varint_frame(message.SerializeToString()))

    async def serve_ping(stream: Stream) -> None:
        while True:
            try:
                challenge = await stream.read_exact(_PING_BYTES)
            except StreamBrokenError:
                return
            await stream.write(challenge)

    host.handle(IDENTIFY, serve_identify)
    host.handle(PING, serve_ping)
