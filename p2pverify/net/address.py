"""Peer ids and addresses in libp2p's spelling: `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo...`.

Only what we dial: IPv4, IPv6 or a DNS name, over TCP. Strangers may name IP addresses only.
"""

import ipaddress
import re
from dataclasses import dataclass, replace

from p2pverify.core.errors import DecodeError
from p2pverify.core.peerid import key_of, peer_id

ADDRESS_BYTES_MAX = 160
_ED25519_PREFIX = bytes.fromhex("002408011220")  # identity multihash of a protobuf-encoded Ed25519 public key
_DNS_NAME = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?)*\.?"
)
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer listens. `kind` is ip4, ip6, dns, dns4 or dns6; `peer` its 32-byte key, where known."""

    kind: str
    host: str
    port: int
    peer: bytes | None = None

    @property
    def is_wildcard(self) -> bool:
        return self.host in _WILDCARDS

    def with_peer(self, peer: bytes | None) -> "Address":
        return replace(self, peer=peer)

    def with_host(self, host: str) -> "Address":
        return replace(self, kind="ip6" if ":" in host else "ip4", host=host)

    def without_peer_text(self) -> str:
        return f"/{self.kind}/{self.host}/tcp/{self.port}"

    def to_multiaddr_bytes(self) -> bytes:
        """The binary form (multiformats/multiaddr) of an IP address without its peer."""
        code = b"\x29" if self.kind == "ip6" else b"\x04"
        return code + ipaddress.ip_address(self.host).packed + b"\x06" + self.port.to_bytes(2, "big")

    def __str__(self) -> str:
        suffix = "" if self.peer is None else f"/p2p/{peer_id(self.peer)}"
        return self.without_peer_text() + suffix


def peer_id_bytes(peer: bytes) -> bytes:
    """The libp2p peer id (38 B) of an Ed25519 public key (32 B)."""
    return _ED25519_PREFIX + peer


def peer_from_id_bytes(peer_id: bytes) -> bytes:
    """The Ed25519 public key (32 B) inside a peer id. Raises DecodeError for other kinds of key."""
    if len(peer_id) != 38 or not peer_id.startswith(_ED25519_PREFIX):
        raise DecodeError("the peer id is not that of an Ed25519 key")
    return peer_id[6:]


def parse_address(text: str, *, allow_dns: bool = False) -> Address:
    """Read `/ip4|ip6/HOST/tcp/PORT[/p2p/PEER]`, and `/dns|dns4|dns6/...` if allowed. Raises DecodeError."""
    if len(text) > ADDRESS_BYTES_MAX:
        raise DecodeError("the address is too long")
    parts = text.split("/")
    if len(parts) not in (5, 7) or parts[0] or parts[3] != "tcp" or (len(parts) == 7 and parts[5] != "p2p"):
        raise DecodeError("an address looks like /ip4/192.0.2.1/tcp/4001 or that with /p2p/PEER behind")
    kind, host = parts[1], parts[2]
    if kind in ("ip4", "ip6"):
        _check_ip(kind, host)
    elif not (allow_dns and kind in ("dns", "dns4", "dns6") and len(host) <= 253 and _DNS_NAME.fullmatch(host)):
        raise DecodeError("the address has no host that can be dialled")
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", parts[4]) or int(parts[4]) > 65535:
        raise DecodeError("the port of the address is not one")
    return Address(kind, host, int(parts[4]), key_of(parts[6]) if len(parts) == 7 else None)


def _check_ip(kind: str, host: str) -> None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise DecodeError("the IP address is not one") from None
    if ip.version != int(kind[2]) or "%" in host:
        raise DecodeError("the IP address is of another version")
