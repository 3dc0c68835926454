"""Addresses from operators, for listening, announcing and dialling."""

import pytest

from p2pverify.core.errors import DecodeError
from p2pverify.node.endpoints.address import (
    announced_address,
    bootstrap_address,
    check_server,
    listening_address,
)
from p2pverify.node.endpoints.loopback import parse_bind

PEER = "12D3KooWSP57aGZQFeT62guhLo4JtDYJdYxtewsz9NaJaCuCz2YY"
#: A peer id whose 32 bytes are no valid key.
NOBODY = "12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw"
FOR_NOBODY = [  # can be neither announced nor dialled
    "/ip4/0.0.0.0/tcp/4747",
    "/ip6/::/tcp/4747",
    "/ip6/::ffff:0.0.0.0/tcp/4747",
    "/ip4/0.1.2.3/tcp/4747",
    "/ip4/192.0.2.1/tcp/0",
    "/ip6/2001:db8::1/tcp/0",
    "/ip4/224.0.0.251/tcp/4747",
    "/ip6/ff02::fb/tcp/4747",
    "/ip4/255.255.255.255/tcp/4747",
    "/ip4/250.1.1.1/tcp/4747",
    "/ip6/fe80::1/tcp/4747",
]
NONE = [  # never valid
    "",
    "/",
    "192.0.2.1:4747",
    "http://192.0.2.1:4747",
    "/ip4/192.0.2.1",
    "/ip4/192.0.2.1/tcp",
    "/ip4/192.0.2.1/tcp/",
    "/ip4/192.0.2.1/tcp/65536",
    "/ip4/192.0.2.1/tcp/-1",
    "/ip4/192.0.2.1/tcp/04747",
    "/ip4/192.0.2.1/tcp/٣",
    "/ip4/192.0.2.1/tcp/4747/",
    "/ip4/192.0.2.1/tcp/4747/p2p",
    "/ip4/192.0.2.1/tcp/4747/p2p/",
    f"/ip4/192.0.2.1/tcp/4747/p2p/{PEER[:-1]}",
    f"/ip4/192.0.2.1/tcp/4747/p2p/{PEER}/p2p-circuit",
    "/ip4/192.0.2.1/tcp/4747/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/ip4/192.0.2.1/tcp/4747/ws",
    "/ip4/192.0.2.1/udp/4747",
    "/ip4/192.0.2.1/udp/4747/quic-v1",
    "/ip4/300.1.1.1/tcp/4747",
    "/ip4/2001:db8::1/tcp/4747",
    "/ip6/192.0.2.1/tcp/4747",
    "/ip6/fe80::1%eth0/tcp/4747",
    "/ip4//tcp/4747",
    "/unix/tmp/x/tcp/1",
    "/dns4/-bad-/tcp/4747",
    "/ip4/192.0.2.1/tcp/4747" + "0" * 200,
]
FIT = ["/ip4/192.0.2.1/tcp/4747", "/ip6/2001:db8::1/tcp/1", f"/ip4/127.0.0.1/tcp/65535/p2p/{PEER}"]
READERS = [listening_address, announced_address, bootstrap_address]


@pytest.mark.parametrize("text", NONE)
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_address_is_refused(read, text):
    with pytest.raises(DecodeError):
        read(text)


@pytest.mark.parametrize("text", FOR_NOBODY)
@pytest.mark.parametrize("read", [announced_address, bootstrap_address])
def test_what_nobody_can_dial_is_refused(read, text):
    """Addresses that cannot be connected to are neither announced nor dialled."""
    with pytest.raises(DecodeError, match="nobody can dial"):
        read(text)


@pytest.mark.parametrize("text", FIT)
@pytest.mark.parametrize("read", READERS)
def test_what_can_be_used_is_read(read, text):
    assert str(read(text)) == text


@pytest.mark.parametrize("text", ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/4747", "/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"])
def test_a_node_listens_on_all_interfaces_and_free_ports(text):
    assert str(listening_address(text)) == text


@pytest.mark.parametrize("text", ["/ip4/224.0.0.1/tcp/1", "/ip6/ff02::1/tcp/1", "/ip4/255.255.255.255/tcp/1"])
def test_nobody_listens_on_addresses_of_many(text):
    with pytest.raises(DecodeError, match="listen"):
        listening_address(text)


def test_names_are_for_dialling():
    """Other peers do not accept names, so none is announced. A name can be a node's bootstrap address."""
    text = "/dns4/node.example/tcp/4747"
    assert str(bootstrap_address(text)) == text
    for read in (listening_address, announced_address):
        with pytest.raises(DecodeError, match="not a name"):
            read(text)


def test_a_peer_id_without_a_key_is_refused():
    """The 32 bytes in a peer id must be a valid public key."""
    with pytest.raises(DecodeError, match="peer id"):
        bootstrap_address(f"/ip4/192.0.2.1/tcp/4747/p2p/{NOBODY}")


@pytest.mark.parametrize("port", ["0", "80", "8080", "65535"])
def test_a_lone_port_is_told_how_to_be_written(port):
    """A port alone or a URL gives an error that shows the right address, with the port."""
    for text in (port, f":{port}", f"http://127.0.0.1:{port}"):
        with pytest.raises(ValueError, match=f"for example 127.0.0.1:{port}"):
            parse_bind(text)


@pytest.mark.parametrize("text", ["::1:80", "[127.0.0.1]:80", "[localhost]:80", "[::1:80", "127.0.0.1:80:", "é:80"])
def test_odd_places_of_the_api_are_refused(text):
    with pytest.raises(ValueError, match=r"HOST:PORT|loopback"):
        parse_bind(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:1", "http://127.0.0.1:1"),
        ("127.0.0.9:0", "http://127.0.0.9:0"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_places_of_the_api_are_read(text, url):
    assert parse_bind(text).url == url


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "localhost", "ftp://a/v1", "http://", "http://a:x/v1", "http://a:0/v1", "http://[::1/v1",
     "http://u@a/v1", "http://a/v1?x=1", "http://a/v1#x"],
)  # fmt: skip
def test_servers_of_no_use_are_refused(url):
    with pytest.raises(ValueError, match="base URL"):
        check_server(url)
    assert check_server("http://127.0.0.1:8000/v1") == "http://127.0.0.1:8000/v1"
