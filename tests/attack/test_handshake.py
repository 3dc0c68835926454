"""Attacks before any key is proven: on the listening socket, the security negotiation and the Noise handshake."""

import os
from typing import Any

import pytest
import trio
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import create_new_key_pair as other_kind_of_key

from p2pverify.net.border import host as net_host
from p2pverify.net.border import noise_yamux
from p2pverify.net.border.harden import NoiseTransport, create_key_pair, create_noise_key_pair
from p2pverify.net.border.multistream import encode_message
from p2pverify.node.endpoints.address import parse_address
from tests.attack.enemy import GREETING, connect, drain, insider, raw
from tests.attack.live import PATIENCE_S, Live

NOISE = GREETING + encode_message("/noise")
GARBAGE = {
    "random bytes": os.urandom(4096),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
    "only a greeting": GREETING,
    "endless length": GREETING + b"\xff" * 20,
    "no newline": b"\x05hello",
    "not ascii": b"\x03\xff\xfe\n",
    "empty message": b"\x00",
    "proposals without end": GREETING + encode_message("/tls/1.0.0") * 40,
    "random noise": NOISE + os.urandom(600),
    "long noise": NOISE + b"\xff\xff" + os.urandom(70_000),
    "key of zeros": NOISE + b"\x00\x20" + bytes(32),
    "empty handshake": NOISE + b"\x00\x00",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_instead_of_a_handshake(live: Live, name: str) -> None:
    """Bytes that are no handshake end only that connection."""
    with trio.fail_after(PATIENCE_S):
        connection = await raw(live.node)
        await connection.send_all(GARBAGE[name])
        await connection.send_eof()
        await drain(connection)
        await connection.aclose()
    await live.survives("net handshakes_failed", logged="a handshake failed")


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0", "/insecure", "/yamux/1.0.0"])
async def test_plaintext_security_offers(live: Live, protocol: str) -> None:
    """Only Noise is accepted. Any other proposal gets `na`, and after several the connection is closed."""
    with trio.fail_after(PATIENCE_S):
        connection = await raw(live.node)
        await connection.send_all(GREETING + encode_message(protocol) * 20)
        said = await drain(connection)
        await connection.aclose()
    assert said.startswith(GREETING + encode_message("na"))
    assert not said[len(GREETING) :].replace(encode_message("na"), b"")
    await live.survives("net handshakes_failed", logged="proposes protocols without end")


class BentKey:
    """A private key that shows one public key and signs with another."""

    def __init__(self, shown: Any, signing: Any) -> None:
        self._shown = shown
        self.sign = signing.sign

    def get_public_key(self) -> Any:
        return self._shown


def _identity(bent: str) -> KeyPair:
    """An invalid identity."""
    if bent == "not Ed25519":
        return other_kind_of_key()
    own, other = create_key_pair(os.urandom(32)), create_key_pair(os.urandom(32))
    if bent == "key that is no point":
        own.public_key.serialize = lambda: b"\x08\x01\x12\x20" + b"\xff" * 32
    return KeyPair(BentKey(own.public_key, other.private_key), own.public_key)


@pytest.mark.parametrize("bent", ["another's signature", "not Ed25519", "key that is no point"])
async def test_garbage_keys_in_the_handshake(live: Live, bent: str) -> None:
    """A Noise session fails if its identity key is invalid, of another kind, or did not sign."""
    links = live.node.count("net links_opened")
    upgrader = noise_yamux.Upgrader(os.urandom(32))
    upgrader._noise = NoiseTransport(_identity(bent), noise_privkey=create_noise_key_pair().private_key)
    with trio.fail_after(PATIENCE_S):
        address = parse_address(live.node.address)
        connection = await trio.open_tcp_stream(address.host, address.port)
        with pytest.raises(noise_yamux.UpgradeError):
            await upgrader.upgrade(connection, outbound=True)
    await live.survives("net handshakes_failed")
    assert live.node.count("net links_opened") == links


async def test_half_open_connection_flood(live: Live) -> None:
    """Hundreds of silent connections make room for one that sends data."""
    with trio.fail_after(PATIENCE_S):
        idle = [await raw(live.node) for _ in range(300)]
        async with insider(live.node, "newcomer"):
            await live.is_well()
        for connection in idle:
            await connection.aclose()
    await live.survives("net half_open_evicted")


async def test_handshakes_that_stop_half_way(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that stops has a time limit."""
    monkeypatch.setattr(net_host, "UPGRADE_SECONDS_MAX", 3)  # longer than a handshake takes on a busy machine
    with trio.fail_after(PATIENCE_S):
        stuck = [await raw(live.node) for _ in range(10)]
        for connection in stuck:
            await connection.send_all(NOISE + b"\x00\x20" + bytes(7))
        for connection in stuck:
            await drain(connection)
            await connection.aclose()
    await live.survives("net handshakes_timed_out")


async def test_more_identities_than_places(live: Live) -> None:
    """Keys cost nothing. If all places are taken, more connections are refused, and the neighbour keeps its place."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            crowd = [await connect(nursery, live.node, f"sybil {number}") for number in range(70)]
            await crowd[-1].link.closed.wait()
            await live.is_well()
            nursery.cancel_scope.cancel()
    await live.survives("net links_refused")


async def test_many_connections_of_one_key(live: Live) -> None:
    """One key has one connection: the others are closed, and the first, which still answers, stays."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            crowd = [await connect(nursery, live.node, "mallory") for _ in range(10)]
            for other in crowd[1:]:
                await other.link.closed.wait()
            assert not crowd[0].link.closed.is_set()
            nursery.cancel_scope.cancel()
    await live.survives("net links_doubled")
