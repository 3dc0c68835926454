"""The one frame of /p2pverify/peers/2: the network, the sender's signed addresses, and statements of other peers.

It is canonical CBOR, bounded and read strictly. `exchange` decides what to do with it. Page: protocol/streams.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding import canon
from p2pverify.net.peers.signed_addresses import KEY_BYTES, SignedAddresses, addresses_from_value

PROTOCOL = "/p2pverify/peers/2"
EXCHANGE_SECONDS_MAX = 20.0
FRAME_BYTES_MAX = 64 * 1024
PEERS_PER_FRAME_MAX = 64
_DEPTH_MAX = 6


@dataclass(frozen=True, slots=True)
class PeerList:
    """The frame's content: a network id (32 B), the sender's own statement or None, and statements of other peers."""

    network_id: bytes
    own: SignedAddresses | None
    peers: tuple[SignedAddresses, ...]


def encode_peer_list(peers: PeerList) -> bytes:
    """Canonical CBOR: [network id, statement or null, [statement]], cut to the limits."""
    own = None if peers.own is None else peers.own.to_value()
    return canon.encode([peers.network_id, own, [each.to_value() for each in peers.peers[:PEERS_PER_FRAME_MAX]]])


def decode_peer_list(data: bytes) -> PeerList:
    """Read the frame; signatures are not checked here. Raises DecodeError."""
    value = canon.decode(data, size_max=FRAME_BYTES_MAX, depth_max=_DEPTH_MAX)
    network_id, own, entries = canon.as_array(value, "the peer list", length=3)
    others = canon.as_array(entries, "the peers", length_max=PEERS_PER_FRAME_MAX)
    return PeerList(
        canon.as_bytes(network_id, "the network id", size=KEY_BYTES),
        None if own is None else addresses_from_value(own),
        tuple(addresses_from_value(each) for each in others),
    )
