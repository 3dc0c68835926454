"""Cases of peer lists: the frame, and the signed addresses in it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed
from vectorgen.examples import ALICE, BOB, NETWORK_ID, Peer

from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.net.peers.peer_list import PeerList, decode_peer_list, encode_peer_list
from p2pverify.net.peers.signed_addresses import EXPIRY_MS, SignedAddresses, sign_addresses
from p2pverify.node.endpoints.address import parse_address

NOW_MS = 1_800_000_000_000
HERE = parse_address("/ip4/192.0.2.1/tcp/4001")
CIRCUIT = f"{parse_address('/ip4/192.0.2.2/tcp/4001').with_peer(BOB.key)}/p2p-circuit"


def _said(peer: Peer, *texts: str, seq: int = NOW_MS - 60_000, network: bytes = NETWORK_ID) -> SignedAddresses:
    return sign_addresses(
        peer.seed, network, seq, [parse_address(text, allow_relay=True) for text in texts or (str(HERE),)]
    )


def verdict(frame: bytes, now_ms: int, network: bytes, sender: bytes) -> tuple[str, str | None]:
    """A reader's verdict on a frame, up to the first fault."""
    try:
        found = decode_peer_list(frame)
    except DecodeError as error:
        return "malformed", error.reason
    if found.network_id != network:
        return "disconnect", "another network"
    own = found.own
    if own is not None and not (own.peer == sender and own.network == network and own.is_signed()):
        return "reset", "the sender's addresses are not signed by itself"
    for statement in found.peers:
        if statement.network != network or not statement.is_current(now_ms):
            return "pass over", "of another network, or not current"
        if not statement.is_signed():
            return "pass over", "not signed"
    return "accept", None


def _case(comment: str, frame: bytes, expect: str = "accept", reason: str | None = None) -> Case:
    found = verdict(frame, NOW_MS, NETWORK_ID, ALICE.key)
    assert found == (expect, reason), f"{comment}: {found}"
    inputs = {"frame": frame.hex(), "now_ms": NOW_MS, "network": NETWORK_ID.hex(), "sender": ALICE.key.hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _list(own: SignedAddresses | None, *others: SignedAddresses, network: bytes = NETWORK_ID) -> bytes:
    return encode_peer_list(PeerList(network, own, others))


def _bent(place: int, value: object) -> bytes:
    """A list with a well-signed statement. One part of the statement is any value."""
    statement: Any = _said(ALICE).to_value()
    return encode([NETWORK_ID, [changed(statement[0], place, value), statement[1]], []])


def cases() -> dict[Path, list[Case]]:
    alice, bob = _said(ALICE), _said(BOB, "/ip4/192.0.2.2/tcp/4001", "/ip6/2001:db8::2/tcp/4001")
    value: Any = decode(_list(alice, bob), size_max=65_536)
    unsigned = "the sender's addresses are not signed by itself"
    misfit = "an address of a statement names a peer or no port"
    halved, turned = value[1][:1], replace(bob, addresses=bob.addresses[::-1])
    behind, long = "only /p2p/PEER may follow the port", "an address: longer than 160 bytes"
    stale = "of another network, or not current"
    good = [
        _case("Alice tells her network, where she listens, and what Bob says", _list(alice, bob)),
        _case("no address to tell, and nobody else known", _list(None)),
        _case(
            "a wildcard: its network's peers dial where the connection comes from",
            _list(_said(ALICE, "/ip4/0.0.0.0/tcp/1")),
        ),
        _case("through a relay, and in the own network directly", _list(_said(ALICE, CIRCUIT, "/ip4/10.0.0.1/tcp/1"))),
        _case("no address at all", _list(sign_addresses(ALICE.seed, NETWORK_ID, NOW_MS, []))),
        _case("a word of 24 hours ago less 1 ms", _list(alice, _said(BOB, seq=NOW_MS - EXPIRY_MS + 1))),
        _case("a word of an hour ahead", _list(alice, _said(BOB, seq=NOW_MS + 3_600_000))),
        _case("64 peers", _list(alice, *[bob] * 64)),
        _case("the own word may be expired: it is used, and not passed on", _list(_said(ALICE, seq=1))),
    ]
    bad: list[tuple[str, bytes, str, str]] = [
        ("nothing", b"", "malformed", "truncated"),
        ("null", encode(None), "malformed", "the peer list: not an array"),
        ("two items", encode(value[:2]), "malformed", "the peer list: not 3 items"),
        ("a network id of 31 bytes", encode(changed(value, 0, bytes(31))), "malformed", "the network id: not 32 bytes"),
        ("peers that are null", encode(changed(value, 2, None)), "malformed", "the peers: not an array"),
        ("65 peers", encode(changed(value, 2, [bob.to_value()] * 65)), "malformed", "the peers: more than 64 items"),
        ("an unsigned statement", encode(changed(value, 1, halved)), "malformed", "signed addresses: not 2 items"),
        ("another domain", _bent(0, "p2pverify/addresses/2"), "malformed", "not a statement of addresses"),
        ("seq below 0", _bent(3, -1), "malformed", "seq: not an unsigned integer"),
        ("five addresses", _bent(4, [str(HERE)] * 5), "malformed", "the addresses: more than 4 items"),
        ("port 0", _bent(4, ["/ip4/192.0.2.1/tcp/0"]), "malformed", misfit),
        ("with a peer id", _bent(4, [str(HERE.with_peer(ALICE.key))]), "malformed", misfit),
        ("through a relay, with a peer id", _bent(4, [f"{CIRCUIT}/p2p/{peer_id(ALICE.key)}"]), "malformed", misfit),
        ("through two relays", _bent(4, [f"{CIRCUIT}/p2p/{peer_id(ALICE.key)}/p2p-circuit"]), "malformed", long),
        ("through no relay", _bent(4, [f"{HERE}/p2p-circuit"]), "malformed", behind),
        ("a name", _bent(4, ["/dns4/example.org/tcp/1"]), "malformed", "an IP address is needed here, not a name"),
        ("an octet with a leading zero", _bent(4, ["/ip4/192.0.02.1/tcp/1"]), "malformed", "the IP address is not one"),
        ("of another network", _list(alice, network=bytes(32)), "disconnect", "another network"),
        ("Alice tells Bob's addresses as hers", _list(bob), "reset", unsigned),
        ("her word for another network", _list(_said(ALICE, network=bytes(32))), "reset", unsigned),
        ("her word with another seq", _list(replace(alice, seq=NOW_MS)), "reset", unsigned),
        ("Bob's word with another address", _list(alice, replace(bob, addresses=(HERE,))), "pass over", "not signed"),
        ("Bob's word in another order", _list(alice, turned), "pass over", "not signed"),
        ("Bob's word for another network", _list(alice, _said(BOB, network=bytes(32))), "pass over", stale),
        ("Bob's word of 24 hours ago", _list(alice, _said(BOB, seq=NOW_MS - EXPIRY_MS)), "pass over", stale),
        ("Bob's word of an hour and 1 ms ahead", _list(alice, _said(BOB, seq=NOW_MS + 3_600_001)), "pass over", stale),
    ]  # fmt: skip
    return {Path("peer-list"): good + [_case(*case) for case in bad]}
