"""Finding peers by mDNS: the texts, and two peers on loopback that do not know each other."""

import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.counters import Counters
from p2pverify.core.encoding import sign
from p2pverify.core.errors import DecodeError
from p2pverify.net.discovery import mdns
from p2pverify.net.discovery.mdns import Mdns, decode_txt, encode_txt, service_type
from p2pverify.node.endpoints.address import Address, parse_address
from tests.net.real_peers import NETWORK, OTHER_NETWORK, join, seed_of

KEY = sign.public_key(seed_of("alice"))
HERE = parse_address("/ip4/192.0.2.1/tcp/1").with_peer(KEY)
THERE = parse_address("/ip6/2001:db8::1/tcp/2").with_peer(KEY)


def test_texts_round_trip():
    """There is one string per address, with its peer."""
    assert decode_txt(encode_txt([HERE, THERE])) == (HERE, THERE)


@pytest.mark.parametrize(
    "text",
    [
        b"dnsaddr=/ip4/192.0.2.1/udp/1/quic-v1/p2p/12D3KooW",
        b"dnsaddr=/ip4/192.0.2.1/tcp/1",
        b"dnsaddr=" + str(HERE).replace("tcp/1", "tcp/0").encode(),
        b"dnsaddr=" + str(HERE).replace("192.0.2.1", "0.0.0.0").encode(),
        b"dnsaddr=\xff",
        b"something=else",
        b"",
    ],
)
def test_what_we_cannot_dial_is_passed_over(text):
    """Addresses of other transports are ignored, and known addresses are still read."""
    assert decode_txt(bytes([len(text)]) + text + encode_txt([HERE])) == (HERE,)


@pytest.mark.parametrize("data", [b"\x05four", encode_txt([HERE]) + b"\x09", bytes(mdns.TXT_BYTES_MAX + 1)])
def test_texts_that_are_none(data):
    """Strings that are cut short and records that are too long are refused."""
    with pytest.raises(DecodeError):
        decode_txt(data)


def test_a_text_says_only_so_much():
    """Addresses beyond the limit are not read."""
    assert decode_txt(encode_txt([HERE] * (mdns.ADDRESSES_MAX + 1))) == (HERE,) * mdns.ADDRESSES_MAX


@given(st.binary(max_size=200))
def test_any_bytes_are_addresses_or_an_error(data):
    """Any bytes give addresses with peers, or a DecodeError."""
    try:
        assert all(isinstance(found, Address) and found.peer for found in decode_txt(data))
    except DecodeError:
        return


def test_networks_have_types_of_their_own():
    """The type has a part of the network's id and fits the length of a service name (RFC 6335)."""
    assert service_type(NETWORK) != service_type(OTHER_NETWORK)
    label = service_type(NETWORK).split(".")[0]
    assert len(label.removeprefix("_")) <= 15


async def test_peers_of_one_network_find_each_other(nursery):
    """Without any bootstrap address, two peers meet over loopback. A peer of another network meets no peer."""
    ours, other = os.urandom(32), os.urandom(32)  # random, because other runs of this test may use the same machine
    with trio.fail_after(30):
        dave = await join(nursery, "dave", network_id=other, mdns=True)
        alice = await join(nursery, "alice", network_id=ours, mdns=True)
        bob = await join(nursery, "bob", network_id=ours, mdns=True)
        await alice.mesh.wait_connected(bob.key)
        await bob.mesh.wait_connected(alice.key)
    assert alice.count("mdns_heard") + bob.count("mdns_heard") > 0
    assert dave.count("mdns_heard") == 0
    assert dave.count("links_opened") == 0


async def test_a_network_without_multicast_is_no_error(nursery, caplog):
    """A failure to open multicast is counted and logged rarely. The peer still uses its bootstrap addresses."""
    counters = Counters()
    node = Mdns(os.urandom(32), counters)
    nursery.start_soon(node.run, KEY, lambda: (parse_address("/ip4/192.0.2.1/tcp/1"),), lambda *_: None)
    with trio.fail_after(10):
        while not counters.get("mdns_failed"):
            await trio.lowlevel.checkpoint()
    assert "mDNS does not work here" in caplog.text
    nursery.cancel_scope.cancel()


async def test_a_flood_from_the_local_network_is_bounded():
    """Unread packets are dropped, oldest first, and counted. The others are read."""
    counters, heard = Counters(), []
    node = Mdns(NETWORK, counters)
    wakes = []
    ear = mdns._Ear(service_type(NETWORK), lambda: wakes.append(1))
    texts = [encode_txt([parse_address(f"/ip4/192.0.2.1/tcp/{port}").with_peer(KEY)]) for port in range(1, 101)]
    for text in [*texts, b"\x09short"]:
        ear.async_update_records(None, 0.0, [_update(f"x.{service_type(NETWORK)}", text)])
    ear.async_update_records(None, 0.0, [_update(f"x.{service_type(OTHER_NETWORK)}", texts[0])])
    node._read(ear, b"own", lambda peer, addresses: heard.append(addresses[0].port))
    assert heard == list(range(101 - mdns.QUEUE_MAX + 1, 101))
    assert counters["mdns_dropped"] == 101 - mdns.QUEUE_MAX
    assert counters["mdns_malformed"] == 1
    assert not ear.texts


def _update(name, text):
    from zeroconf import DNSText, RecordUpdate

    return RecordUpdate(DNSText(name, 16, 1, 4500, text), None)
