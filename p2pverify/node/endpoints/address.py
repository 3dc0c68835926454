"""Peer ids and addresses in libp2p's spelling: `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo...`.

Only addresses that we can dial: IPv4, IPv6 or a DNS name, over TCP. Other peers may name IP addresses only. An address
from the operator is checked for its purpose, so that a useless one is reported before anything starts.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.encoding.sign import is_valid_key
from p2pverify.core.errors import DecodeError

ADDRESS_BYTES_MAX = 160
BOOTSTRAP_MAX = 64
DNSADDR = "dnsaddr"
CIRCUIT = "p2p-circuit"
_NAME_BYTES_MAX = 253
_ED25519_PREFIX = bytes.fromhex("002408011220")  # identity multihash of a protobuf-encoded Ed25519 public key
_DNS_NAME = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?)*\.?"
)
_BROADCAST = ipaddress.ip_network("240.0.0.0/4")  # reserved addresses, and 255.255.255.255
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
EXAMPLE = "/ip4/192.0.2.1/tcp/4747"
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # only compared with, never bound to


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer listens. `kind` is ip4, ip6, dns, dns4 or dns6; `peer` is its 32-byte key, or None if unknown.

    With the kind dnsaddr it is a name under which DNS has addresses of peers, and its port is 0. If `relay` is a key,
    the rest is where that relay listens, and the peer is reached through it.
    """

    kind: str
    host: str
    port: int
    peer: bytes | None = None
    relay: bytes | None = None

    @property
    def is_wildcard(self) -> bool:
        return self.host in _WILDCARDS

    def with_peer(self, peer: bytes | None) -> "Address":
        return replace(self, peer=peer)

    def with_host(self, host: str) -> "Address":
        return replace(self, kind="ip6" if ":" in host else "ip4", host=host)

    def without_peer_text(self) -> str:
        if self.kind == DNSADDR:
            return f"/{DNSADDR}/{self.host}"
        through = "" if self.relay is None else f"/p2p/{peer_id(self.relay)}/{CIRCUIT}"
        return f"/{self.kind}/{self.host}/tcp/{self.port}{through}"

    def of_relay(self) -> "Address":
        """Where the relay itself listens, with its peer id."""
        return replace(self, peer=self.relay, relay=None)

    def through(self, peer: bytes) -> "Address":
        """The address of a peer behind the relay that listens here. This address must name the relay's key."""
        return replace(self, peer=peer, relay=self.peer)

    def to_multiaddr_bytes(self) -> bytes:
        """The binary form (multiformats/multiaddr) of an IP address without its peer, and without a relay."""
        code = b"\x29" if self.kind == "ip6" else b"\x04"
        return code + ipaddress.ip_address(self.host).packed + b"\x06" + self.port.to_bytes(2, "big")

    def __str__(self) -> str:
        suffix = "" if self.peer is None else f"/p2p/{peer_id(self.peer)}"
        return self.without_peer_text() + suffix


def peer_from_id_bytes(peer_id: bytes) -> bytes:
    """The Ed25519 public key (32 B) inside a peer id. Raises DecodeError for other kinds of key."""
    if len(peer_id) != 38 or not peer_id.startswith(_ED25519_PREFIX):
        raise DecodeError("the peer id is not that of an Ed25519 key")
    return peer_id[6:]


def id_bytes(peer: bytes) -> bytes:
    """The peer id of an Ed25519 key (32 B), in bytes."""
    return _ED25519_PREFIX + peer


def parse_address(text: str, *, allow_dns: bool = False, allow_relay: bool = False) -> Address:
    """Read `/ip4|ip6/HOST/tcp/PORT[/p2p/PEER]`, and `/dns|dns4|dns6/...` if allowed. Raises DecodeError.

    With `allow_relay` also `/ip4|ip6/HOST/tcp/PORT/p2p/RELAY/p2p-circuit[/p2p/PEER]`.
    """
    if len(text) > ADDRESS_BYTES_MAX:
        raise DecodeError("the address is too long")
    parts = text.split("/")
    if len(parts) < 4 or parts[0] or parts[1] not in ("ip4", "ip6", "dns", "dns4", "dns6"):
        raise DecodeError(f"an address looks like {EXAMPLE} or that with /p2p/PEER behind")
    kind, host = parts[1], parts[2]
    if kind in ("ip4", "ip6"):
        _check_ip(kind, host)
    elif not allow_dns:
        raise DecodeError("an IP address is needed here, not a name")
    elif len(host) > _NAME_BYTES_MAX or not _DNS_NAME.fullmatch(host):
        raise DecodeError("the address has no host that can be dialled")
    if parts[3] != "tcp":
        raise DecodeError("the transport must be tcp")
    if len(parts) < 5 or not parts[4]:
        raise DecodeError("the port is missing")
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", parts[4]) or int(parts[4]) > 65535:
        raise DecodeError("the port is not from 0 to 65535")
    through, names = None, parts[5:]
    if allow_relay and len(names) in (3, 5) and names[0] == "p2p" and names[2] == CIRCUIT:
        if kind not in ("ip4", "ip6"):
            raise DecodeError("a relay is named by an IP address")
        through, names = key_of(names[1]), names[3:]
    if len(names) not in (0, 2) or (len(names) == 2 and names[0] != "p2p"):
        raise DecodeError("only /p2p/PEER may follow the port")
    return Address(kind, host, int(parts[4]), key_of(names[1]) if names else None, through)


def _check_ip(kind: str, host: str) -> None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise DecodeError("the IP address is not one") from None
    if ip.version != int(kind[2]) or "%" in host:
        raise DecodeError("the IP address is of another version")


# ---------------------------------------------------------------- addresses that operators give


def listening_address(text: str) -> Address:
    """An address to listen on: an IP address of this machine, 0.0.0.0 or ::, and any port. Raises DecodeError."""
    address = parse_address(text)
    ip = _plain(address.host)
    if ip.is_multicast or ip in _BROADCAST:
        raise DecodeError("nobody can listen on a multicast, broadcast or reserved address")
    return address


def announced_address(text: str) -> Address:
    """An address that others are told to dial: an IP address and a port that can be dialled. Raises DecodeError."""
    address = parse_address(text)
    _check_dialled(address)
    return address


def address_of(remote: tuple[str, int]) -> Address:
    """The address for an IP address and a port, without a peer."""
    return Address("ip6" if ":" in remote[0] else "ip4", *remote)


def bootstrap_address(text: str) -> Address:
    """First peers to connect to: as `peer_address`, or /dnsaddr/NAME, perhaps with a peer. Raises DecodeError."""
    if not text.startswith(f"/{DNSADDR}/"):
        return peer_address(text)
    if len(text) > ADDRESS_BYTES_MAX:
        raise DecodeError("the address is too long")
    parts = text.split("/")
    if len(parts) not in (3, 5) or (len(parts) == 5 and parts[3] != "p2p"):
        raise DecodeError("a name of first peers looks like /dnsaddr/example.org or that with /p2p/PEER behind")
    if len(parts[2]) > _NAME_BYTES_MAX or not _DNS_NAME.fullmatch(parts[2]):
        raise DecodeError("this is not a DNS name")
    return Address(DNSADDR, parts[2].lower(), 0, key_of(parts[4]) if len(parts) == 5 else None)


def peer_address(text: str) -> Address:
    """A peer to connect to: an IP address or a DNS name, and a port that can be dialled. Raises DecodeError."""
    address = parse_address(text, allow_dns=True)
    _check_dialled(address)
    if address.peer is not None and not is_valid_key(address.peer):
        raise DecodeError("no peer can have this peer id")
    return address


def check_server(url: str) -> str:
    """The base URL of a model server, unchanged. Raises ValueError, which quotes the text, if it is not a base URL."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or brackets around something that is not an IPv6 address
        is_url = False
    if not is_url or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{url[:80]!r} is not a server's base URL, like http://127.0.0.1:8000/v1")
    return url


def _check_dialled(address: Address) -> None:
    """Raise DecodeError for an address to which no connection can be made."""
    if address.port == 0:
        raise DecodeError("nobody can dial port 0")
    if address.kind not in ("ip4", "ip6"):
        return
    ip = _plain(address.host)
    if ip.is_unspecified:
        raise DecodeError(f"nobody can dial {address.host}: it stands for all addresses of a machine")
    if ip.is_multicast or ip in _BROADCAST or ip in _THIS_NETWORK:
        raise DecodeError(f"nobody can dial {address.host}: it is not the address of one machine")
    if ip.version == 6 and ip.is_link_local:
        raise DecodeError(f"nobody can dial {address.host} without the name of a network interface")


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address; an IPv4 address written as IPv6 (::ffff:192.0.2.1) counts as IPv4."""
    ip = ipaddress.ip_address(host)
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
