"""Signed addresses: a peer's own statement of where it listens, which other peers may pass on.

    statement = [ [ "p2pverify/addresses/1", network, peer, seq, [ address ... ] ], signature ]

This module defines the format, the signing and the reach of an address; `address_book` and `exchange` decide which
statements to use. Addresses are not records: they expire, and never enter the ledger. Protocol page:
protocol/streams.md.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import ifaddr

from p2pverify.core.encoding import canon, sign
from p2pverify.core.errors import DecodeError
from p2pverify.node.endpoints.address import ADDRESS_BYTES_MAX, Address, parse_address

DOMAIN = "p2pverify/addresses/1"
ADDRESSES_PER_PEER_MAX = 4
KEY_BYTES = 32
EXPIRY_MS = 24 * 3_600_000
AHEAD_MS_MAX = 3_600_000  # how far the signer's clock may be ahead of ours
RENEWAL_MS = 3_600_000  # the age at which our own statement is signed again

#: The reach of an address: this machine, the local network, everybody.
LOOPBACK, LOCAL, GLOBAL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class SignedAddresses:
    """Where a peer says it listens. `seq` is the time of signing in Unix ms; the newer statement counts."""

    network: bytes
    peer: bytes
    seq: int
    addresses: tuple[Address, ...]
    signature: bytes

    def signed_value(self) -> list[object]:
        return [DOMAIN, self.network, self.peer, self.seq, [address.without_peer_text() for address in self.addresses]]

    def to_value(self) -> list[object]:
        return [self.signed_value(), self.signature]

    def is_signed(self) -> bool:
        return sign.verify(self.peer, canon.encode(self.signed_value()), self.signature)

    def is_current(self, now_ms: int) -> bool:
        """Whether the statement is neither expired nor too far in the future, by our clock."""
        return now_ms - EXPIRY_MS < self.seq <= now_ms + AHEAD_MS_MAX


def sign_addresses(seed: bytes, network: bytes, seq: int, addresses: Sequence[Address]) -> SignedAddresses:
    """The statement of the holder of a seed; addresses beyond the limit are left out."""
    plain = tuple(address.with_peer(None) for address in addresses[:ADDRESSES_PER_PEER_MAX])
    unsigned = SignedAddresses(network, sign.public_key(seed), seq, plain, bytes(64))
    signature = sign.sign(seed, canon.encode(unsigned.signed_value()))
    return SignedAddresses(unsigned.network, unsigned.peer, seq, plain, signature)


def addresses_from_value(value: canon.Value) -> SignedAddresses:
    """Read a decoded statement; the signature is not checked here. Raises DecodeError."""
    signed, signature = canon.as_array(value, "signed addresses", length=2)
    domain, network, peer, seq, texts = canon.as_array(signed, "addresses", length=5)
    if domain != DOMAIN:
        raise DecodeError("not a statement of addresses")
    return SignedAddresses(
        canon.as_bytes(network, "the network id", size=KEY_BYTES),
        canon.as_bytes(peer, "a key", size=KEY_BYTES),
        canon.as_uint(seq, "seq", canon.UINT_MAX),
        _addresses(texts),
        canon.as_bytes(signature, "the signature", size=sign.SIGNATURE_SIZE),
    )


def _addresses(value: canon.Value) -> tuple[Address, ...]:
    entries = canon.as_array(value, "the addresses", length_max=ADDRESSES_PER_PEER_MAX)
    texts = (canon.as_text(entry, "an address", ADDRESS_BYTES_MAX) for entry in entries)
    parsed = tuple(parse_address(text, allow_relay=True) for text in texts)
    if any(address.peer is not None or address.port == 0 for address in parsed):
        raise DecodeError("an address of a statement names a peer or no port")
    return parsed


class OwnAddresses:
    """Our own statement, signed again when it has changed or grown old.

    The addresses of `announce` replace the listening addresses. A wildcard stands for the addresses of this machine's
    interfaces.
    """

    def __init__(
        self,
        seed: bytes,
        network: bytes,
        announce: Sequence[Address],
        clock: Callable[[], int],
        interfaces: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._seed = seed
        self._network = network
        self._announce = tuple(announce)
        self._clock = clock
        self._interfaces = interfaces or interface_hosts
        self._relayed: tuple[Address, ...] = ()
        self._mapped: tuple[Address, ...] = ()
        self._hidden: dict[str, int] = {}
        self._last: SignedAddresses | None = None
        self._last_of: object = None  # what it was made from; None if interfaces may change that

    def relay(self, addresses: Sequence[Address]) -> None:
        """Tell these addresses through relays before all others."""
        self._relayed = tuple(addresses)

    def map(self, addresses: Sequence[Address]) -> None:
        """The router forwards these addresses to us."""
        self._mapped = tuple(addresses)

    def hide(self, hidden: Mapping[str, int]) -> bool:
        """Do not tell addresses of these kinds from this reach on, because others could not dial them.

        Returns whether that is new.
        """
        before, self._hidden = self._hidden, dict(hidden)
        return before != self._hidden

    def direct(self, listening: Sequence[Address]) -> tuple[Address, ...]:
        """Where we listen, or what the operator announces instead, and what the router forwards."""
        return self._mapped + (self._announce or self.listening(listening))

    def addresses(self, listening: Sequence[Address]) -> tuple[Address, ...]:
        """Addresses at which other peers can reach us, as far as we know."""
        direct = (address for address in self.direct(listening) if not self._is_hidden(address))
        return self._relayed + tuple(direct)

    def _is_hidden(self, address: Address) -> bool:
        least = self._hidden.get(address.kind)
        return least is not None and address not in self._announce and reach(address.host) >= least

    def listening(self, listening: Sequence[Address]) -> tuple[Address, ...]:
        """Addresses at which the local network can dial us. The first of each listening address come first."""
        hosts = self._interfaces() if _has_wildcard(listening) else ()
        found = [expand(one, hosts) if one.is_wildcard else (one,) for one in listening]
        turns = (address for turn in zip_longest(*found) for address in turn if address is not None)
        return tuple(dict.fromkeys(turns))

    def statement(self, listening: Sequence[Address]) -> SignedAddresses:
        """The newest signed form of `addresses`. DNS names are left out, because other peers do not accept them."""
        last, now_ms = self._last, self._clock()
        made_of = (tuple(listening), self._relayed, self._mapped, tuple(sorted(self._hidden.items())))
        if last is not None and 0 <= now_ms - last.seq < RENEWAL_MS and self._last_of == made_of:
            return last
        self._last_of = None if _has_wildcard(listening) else made_of
        plain = [a.with_peer(None) for a in self.addresses(listening) if a.kind in ("ip4", "ip6")]
        fresh = tuple(plain[:ADDRESSES_PER_PEER_MAX])
        if last is None or last.addresses != fresh or not 0 <= now_ms - last.seq < RENEWAL_MS:
            seq = now_ms if last is None else max(now_ms, last.seq + 1)
            last = self._last = sign_addresses(self._seed, self._network, seq, fresh)
        return last


def _has_wildcard(listening: Sequence[Address]) -> bool:
    return any(address.is_wildcard for address in listening)


def interface_hosts() -> tuple[str, ...]:
    """The IP addresses of this machine."""
    ips = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return tuple(ip if isinstance(ip, str) else ip[0] for ip in ips)


def expand(wildcard: Address, hosts: Sequence[str]) -> tuple[Address, ...]:
    """The addresses that a wildcard stands for, the widest reach first. Loopback only if there is no other address."""
    version = int(wildcard.kind[2])
    ips = [ip for host in hosts if (ip := ipaddress.ip_address(host)).version == version and not ip.is_link_local]
    found = sorted({wildcard.with_host(str(ip)) for ip in ips}, key=lambda a: (-reach(a.host), a.host))
    return tuple([a for a in found if reach(a.host) > LOOPBACK] or found)[:ADDRESSES_PER_PEER_MAX]


def reach(host: str) -> int:
    """The reach of an IP address: LOOPBACK, LOCAL or GLOBAL."""
    ip = ipaddress.ip_address(host)
    if ip.is_loopback:
        return LOOPBACK
    return GLOBAL if ip.is_global else LOCAL


def usable(addresses: Sequence[Address], told_from: str | None) -> tuple[Address, ...]:
    """The addresses that are worth a dial: no names, no wildcards, and no smaller reach than that of the sender.

    The reach matters because otherwise a peer on the internet could make us dial addresses of our own machine or
    network.
    """
    least = GLOBAL if told_from is None else reach(told_from)
    plain = (a for a in addresses if a.kind in ("ip4", "ip6") and not a.is_wildcard)
    return tuple(a for a in plain if reach(a.host) >= least and not ipaddress.ip_address(a.host).is_multicast)


def seen_address(addresses: Sequence[Address], remote: str | None) -> Address | None:
    """An additional address for a peer, from the remote end of its connection; None if its own addresses suffice.

    It is for a peer that listens on all interfaces, or names only local addresses but connects from farther away.
    Nobody has signed it, so it is used but not passed on.
    """
    if remote is None or not addresses or any(a.host == remote for a in addresses):
        return None
    addresses = [a for a in addresses if a.relay is None]
    wildcard = next((a for a in addresses if a.is_wildcard), None)
    if wildcard is not None:
        return wildcard.with_host(remote)
    hidden = bool(addresses) and all(a.kind in ("ip4", "ip6") and reach(a.host) < reach(remote) for a in addresses)
    return addresses[0].with_host(remote) if hidden else None
