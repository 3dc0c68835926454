"""Signed addresses and the frame that carries them: form, signature, age, and the addresses that are worth a dial."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.encoding import canon, sign
from p2pverify.core.errors import DecodeError
from p2pverify.net.peers import signed_addresses
from p2pverify.net.peers.peer_list import PeerList, decode_peer_list, encode_peer_list
from p2pverify.net.peers.signed_addresses import (
    OwnAddresses,
    SignedAddresses,
    expand,
    seen_address,
    sign_addresses,
    usable,
)
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import NETWORK, seed_of

SEED = seed_of("alice")
KEY = sign.public_key(SEED)
HERE, THERE = parse_address("/ip4/192.0.2.1/tcp/1"), parse_address("/ip6/2001:db8::1/tcp/2")
NOW_MS = 1_800_000_000_000
STATEMENT = sign_addresses(SEED, NETWORK, NOW_MS, [HERE, THERE])


def test_peer_list_round_trip():
    """A list is read back with its signatures. Peers beyond the frame's limit are left out."""
    peers = PeerList(NETWORK, STATEMENT, (STATEMENT,) * 70)
    again = decode_peer_list(encode_peer_list(peers))
    assert again == PeerList(NETWORK, STATEMENT, (STATEMENT,) * 64)
    assert again.own.is_signed()
    assert decode_peer_list(encode_peer_list(PeerList(NETWORK, None, ()))).own is None


def _changed(place, value):
    signed, signature = STATEMENT.to_value()
    return [[*signed[:place], value, *signed[place + 1 :]], signature]


@pytest.mark.parametrize(
    "value",
    [
        [],
        [NETWORK, None],
        [b"short", None, []],
        [NETWORK, [], []],
        [NETWORK, None, None],
        [NETWORK, None, [STATEMENT.to_value()] * 65],
        [NETWORK, STATEMENT.to_value()[:1], []],
        [NETWORK, [*STATEMENT.to_value()[:1], bytes(63)], []],
        [NETWORK, _changed(0, "p2pverify/addresses/2"), []],
        [NETWORK, _changed(1, bytes(31)), []],
        [NETWORK, _changed(2, KEY[:31]), []],
        [NETWORK, _changed(3, -1), []],
        [NETWORK, _changed(3, 2**63), []],
        [NETWORK, _changed(4, ["/ip4/127.0.0.1/tcp/0"]), []],
        [NETWORK, _changed(4, ["/dns4/example.org/tcp/1"]), []],
        [NETWORK, _changed(4, [str(HERE.with_peer(KEY))]), []],
        [NETWORK, _changed(4, ["/ip4/127.0.0.1/tcp/1"] * 5), []],
        [NETWORK, _changed(4, [[[[]]]]), []],
        {0: NETWORK},
    ],
)
def test_peer_lists_that_are_none(value):
    """Wrong shapes, sizes and addresses each raise DecodeError."""
    with pytest.raises(DecodeError):
        decode_peer_list(canon.encode(value))


@given(st.binary(max_size=200))
def test_peer_list_of_any_bytes(data):
    """Any bytes give a list or a DecodeError."""
    try:
        assert isinstance(decode_peer_list(data), PeerList)
    except DecodeError:
        return


@pytest.mark.parametrize(
    "changed",
    [
        {"network": bytes(32)},
        {"peer": sign.public_key(seed_of("bob"))},
        {"seq": NOW_MS + 1},
        {"addresses": (HERE,)},
        {"signature": bytes(64)},
    ],
)
def test_every_part_is_signed(changed):
    """If any part changes, the signature is not valid."""
    assert STATEMENT.is_signed()
    assert not replace(STATEMENT, **changed).is_signed()


def test_statements_expire():
    """A statement is valid for a day by the own clock, and may be an hour ahead because clocks differ."""
    assert STATEMENT.is_current(NOW_MS)
    assert STATEMENT.is_current(NOW_MS + signed_addresses.EXPIRY_MS - 1)
    assert not STATEMENT.is_current(NOW_MS + signed_addresses.EXPIRY_MS)
    assert STATEMENT.is_current(NOW_MS - signed_addresses.AHEAD_MS_MAX)
    assert not STATEMENT.is_current(NOW_MS - signed_addresses.AHEAD_MS_MAX - 1)


def test_own_addresses_are_signed_anew_when_they_change_or_age():
    """Each statement is newer than the one before, even if the clock stands still."""
    now, hosts = [NOW_MS], ["192.0.2.7"]
    own = OwnAddresses(SEED, NETWORK, (), lambda: now[0], lambda: hosts)
    wildcard = parse_address("/ip4/0.0.0.0/tcp/9")
    first = own.statement([wildcard])
    assert first.addresses == (parse_address("/ip4/192.0.2.7/tcp/9"),)
    assert own.statement([wildcard]) is first
    hosts.append("192.0.2.8")
    second = own.statement([wildcard])
    assert second.seq == first.seq + 1
    assert len(second.addresses) == 2
    now[0] += signed_addresses.RENEWAL_MS + 1
    third = own.statement([wildcard])
    assert third.seq == now[0]
    assert third.addresses == second.addresses
    assert third.is_signed()


def test_several_listening_addresses_share_the_places_of_a_statement():
    """Each listening address has its turn, so that many interfaces of one kind do not crowd out the other kind."""
    hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "2001:db8::7"]
    own = OwnAddresses(SEED, NETWORK, (), lambda: NOW_MS, lambda: hosts)
    wildcards = [parse_address("/ip4/0.0.0.0/tcp/9"), parse_address("/ip6/::/tcp/8")]
    found = own.statement(wildcards).addresses
    assert [str(address) for address in found[:2]] == ["/ip4/192.0.2.1/tcp/9", "/ip6/2001:db8::7/tcp/8"]
    assert len(found) == signed_addresses.ADDRESSES_PER_PEER_MAX
    assert own.statement([HERE, THERE, HERE]).addresses == (HERE, THERE)
    assert own.statement([]).addresses == ()


def test_announced_addresses_go_before_our_own():
    """The operator's announced addresses replace the peer's own. Names are not sent to unknown peers."""
    told = (parse_address("/dns4/peer.example.org/tcp/4", allow_dns=True), parse_address("/ip4/198.51.100.1/tcp/4"))
    own = OwnAddresses(SEED, NETWORK, told, lambda: NOW_MS, lambda: ())
    assert own.addresses([HERE]) == told
    assert own.statement([HERE]).addresses == told[1:]
    assert own.listening([HERE]) == (HERE,)


def test_a_wildcard_stands_for_interfaces_of_its_kind():
    """The addresses with the widest reach come first, at most four, none link-local, and loopback only if there is no
    other."""
    hosts = ["127.0.0.1", "169.254.1.1", "10.0.0.1", "8.8.8.8", "::1", "fe80::1", "2606:4700::1"]
    assert [a.host for a in expand(parse_address("/ip4/0.0.0.0/tcp/1"), hosts)] == ["8.8.8.8", "10.0.0.1"]
    assert [a.host for a in expand(parse_address("/ip6/::/tcp/1"), hosts)] == ["2606:4700::1"]
    assert [a.host for a in expand(parse_address("/ip4/0.0.0.0/tcp/1"), hosts[:2])] == ["127.0.0.1"]
    assert len(expand(parse_address("/ip4/0.0.0.0/tcp/1"), [f"10.0.0.{n}" for n in range(9)])) == 4


@pytest.mark.parametrize(
    ("told_from", "expected"),
    [
        ("127.0.0.1", ["127.0.0.2", "10.0.0.1", "8.8.8.8"]),
        ("10.0.0.9", ["10.0.0.1", "8.8.8.8"]),
        ("9.9.9.9", ["8.8.8.8"]),
        (None, ["8.8.8.8"]),
    ],
)
def test_nobody_sends_us_to_nearer_places_than_its_own(told_from, expected):
    """A peer on the internet cannot make this peer dial its own machine or network. Wildcards are dialled by no
    peer."""
    found = [parse_address(f"/ip4/{host}/tcp/1") for host in ("127.0.0.2", "10.0.0.1", "8.8.8.8", "0.0.0.0")]
    assert [address.host for address in usable(found, told_from)] == expected


@pytest.mark.parametrize(
    ("own", "remote", "seen"),
    [
        ("0.0.0.0", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.1", "10.0.0.2", None),
        ("8.8.8.8", "9.9.9.9", None),
        ("8.8.8.8", None, None),
    ],
)
def test_who_hides_behind_a_router_is_dialled_where_it_comes_from(own, remote, seen):
    """This holds only for wildcards, and for local addresses of a peer that connects from farther away."""
    found = seen_address([parse_address(f"/ip4/{own}/tcp/7")], remote)
    assert (None if found is None else str(found)) == (None if seen is None else f"/ip4/{seen}/tcp/7")


def test_the_example_of_the_protocol_page():
    """The frame on protocol/streams.md equals the encoded frame, its signatures are valid, and it decodes as the page
    says."""
    page = (Path(__file__).parents[3] / "protocol" / "streams.md").read_text()
    frame = bytes.fromhex("".join(re.search(r"```hex\n(.*?)```", page, re.DOTALL)[1].split()))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    peers = decode_peer_list(frame[4:])
    assert encode_peer_list(peers) == frame[4:]
    assert peers.network_id.hex() in page
    assert isinstance(peers.own, SignedAddresses)
    assert [str(address) for address in peers.own.addresses] == ["/ip4/192.0.2.1/tcp/4001"]
    assert [each.peer.hex() in page for each in peers.peers] == [True]
    assert peers.own.is_signed()
    assert peers.peers[0].is_signed()
