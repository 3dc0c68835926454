"""The one frame of /p2pverify/peers/1: the network, where the sender listens, and whom it is connected to.

Canonical CBOR, bounded and read strictly. What to make of it is up to `peers`. Page: protocol/streams.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core import canon
from p2pverify.core.errors import DecodeError
from p2pverify.net.address import ADDRESS_BYTES_MAX, Address, parse_address

FRAME_BYTES_MAX = 64 * 1024
ADDRESSES_PER_PEER_MAX = 4
PEERS_PER_FRAME_MAX = 64
KEY_BYTES = 32
_DEPTH_MAX = 4


@dataclass(frozen=True, slots=True)
class PeerList:
    """What the frame says. Keys and the network id are 32 bytes; addresses are without peers."""

    network_id: bytes
    own: tuple[Address, ...]
    peers: tuple[tuple[bytes, tuple[Address, ...]], ...]


def encode_peer_list(peers: PeerList) -> bytes:
    """Canonical CBOR: [network id, [address], [[key, [address]]]], cut to the limits."""
    return canon.encode(
        [
            peers.network_id,
            _texts(peers.own),
            [[key, _texts(addresses)] for key, addresses in peers.peers[:PEERS_PER_FRAME_MAX]],
        ]
    )


def decode_peer_list(data: bytes) -> PeerList:
    """Read the frame. Raises DecodeError."""
    value = canon.decode(data, size_max=FRAME_BYTES_MAX, depth_max=_DEPTH_MAX)
    network_id, own, entries = canon.as_array(value, "the peer list", length=3)
    peers = []
    for entry in canon.as_array(entries, "the peers", length_max=PEERS_PER_FRAME_MAX):
        key, addresses = canon.as_array(entry, "a peer", length=2)
        peers.append((canon.as_bytes(key, "a key", size=KEY_BYTES), _addresses(addresses)))
    return PeerList(canon.as_bytes(network_id, "the network id", size=KEY_BYTES), _addresses(own), tuple(peers))


def _texts(addresses: Sequence[Address]) -> list[str]:
    return [str(address.with_peer(None)) for address in addresses[:ADDRESSES_PER_PEER_MAX]]


def _addresses(value: canon.Value) -> tuple[Address, ...]:
    entries = canon.as_array(value, "the addresses", length_max=ADDRESSES_PER_PEER_MAX)
    parsed = tuple(parse_address(canon.as_text(entry, "an address", ADDRESS_BYTES_MAX)) for entry in entries)
    if any(address.peer is not None or address.port == 0 for address in parsed):
        raise DecodeError("an address of a peer list names a peer or no port")
    return parsed
