"""Signed addresses: a peer's own word on where it listens, which others may pass on.

    statement = [ [ "p2pverify/addresses/1", network, peer, seq, [ address ... ] ], signature ]

Here is the form, the signing and what an address reaches; who believes what is up to `book` and `peers`. Addresses
are no records: they expire, and never enter the ledger. Protocol page: protocol/streams.md.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ifaddr

from p2pverify.core.encoding import canon, sign
from p2pverify.core.errors import DecodeError
from p2pverify.node.endpoints.address import ADDRESS_BYTES_MAX, Address, parse_address

DOMAIN = "p2pverify/addresses/1"
ADDRESSES_PER_PEER_MAX = 4
KEY_BYTES = 32
EXPIRY_MS = 24 * 3_600_000
AHEAD_MS_MAX = 3_600_000  # that the clock of whoever signed may be ahead of ours
RENEWAL_MS = 3_600_000  # how old our own may become before it is signed anew

#: What an address reaches: this machine, the local network, everybody.
LOOPBACK, LOCAL, GLOBAL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class SignedAddresses:
    """Where a peer says it listens. `seq` is Unix ms at signing: the newer replaces the older."""

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
        """Neither expired nor dated into the future, by our clock."""
        return now_ms - EXPIRY_MS < self.seq <= now_ms + AHEAD_MS_MAX


def sign_addresses(seed: bytes, network: bytes, seq: int, addresses: Sequence[Address]) -> SignedAddresses:
    """The statement of the holder of a seed, cut to the limit."""
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
    parsed = tuple(parse_address(canon.as_text(entry, "an address", ADDRESS_BYTES_MAX)) for entry in entries)
    if any(address.peer is not None or address.port == 0 for address in parsed):
        raise DecodeError("an address of a statement names a peer or no port")
    return parsed


class OwnAddresses:
    """What we tell of ourselves, signed again when it has changed or grown old.

    `announce` goes before where we listen; a wildcard stands for the addresses of this machine's interfaces.
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
        self._last: SignedAddresses | None = None

    def addresses(self, listening: Address) -> tuple[Address, ...]:
        """Where others can dial us, as far as we know."""
        return self._announce or self.listening(listening)

    def listening(self, listening: Address) -> tuple[Address, ...]:
        """Where the local network can dial us."""
        return expand(listening, self._interfaces()) if listening.is_wildcard else (listening,)

    def statement(self, listening: Address) -> SignedAddresses:
        """The newest signed form of `addresses`; names are left out, since strangers may not give us any."""
        last, now_ms = self._last, self._clock()
        if last is not None and 0 <= now_ms - last.seq < RENEWAL_MS and not listening.is_wildcard:
            return last
        plain = [a.with_peer(None) for a in self.addresses(listening) if a.kind in ("ip4", "ip6")]
        fresh = tuple(plain[:ADDRESSES_PER_PEER_MAX])
        if last is None or last.addresses != fresh or not 0 <= now_ms - last.seq < RENEWAL_MS:
            seq = now_ms if last is None else max(now_ms, last.seq + 1)
            last = self._last = sign_addresses(self._seed, self._network, seq, fresh)
        return last


def interface_hosts() -> tuple[str, ...]:
    """The IP addresses of this machine."""
    ips = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return tuple(ip if isinstance(ip, str) else ip[0] for ip in ips)


def expand(wildcard: Address, hosts: Sequence[str]) -> tuple[Address, ...]:
    """The addresses that a wildcard stands for, the widest reach first; loopback only if there is nothing else."""
    version = int(wildcard.kind[2])
    ips = [ip for host in hosts if (ip := ipaddress.ip_address(host)).version == version and not ip.is_link_local]
    found = sorted({wildcard.with_host(str(ip)) for ip in ips}, key=lambda a: (-reach(a.host), a.host))
    return tuple([a for a in found if reach(a.host) > LOOPBACK] or found)[:ADDRESSES_PER_PEER_MAX]


def reach(host: str) -> int:
    """Whom an IP address can be reached by: LOOPBACK, LOCAL or GLOBAL."""
    ip = ipaddress.ip_address(host)
    if ip.is_loopback:
        return LOOPBACK
    return GLOBAL if ip.is_global else LOCAL


def usable(addresses: Sequence[Address], told_from: str | None) -> tuple[Address, ...]:
    """Those that are worth a dial: no names, no wildcards, and none that reaches less far than who told us.

    So nobody on the internet has us knock at doors of our own machine or network.
    """
    least = GLOBAL if told_from is None else reach(told_from)
    plain = (a for a in addresses if a.kind in ("ip4", "ip6") and not a.is_wildcard)
    return tuple(a for a in plain if reach(a.host) >= least and not ipaddress.ip_address(a.host).is_multicast)


def seen_address(addresses: Sequence[Address], remote: str | None) -> Address | None:
    """Where to dial a peer beside what it says itself, judged by where its connection comes from.

    That is for who listens on all interfaces, or names only local addresses while it comes from farther away.
    Nobody signed it, so it is used and not passed on.
    """
    if remote is None or not addresses or any(a.host == remote for a in addresses):
        return None
    wildcard = next((a for a in addresses if a.is_wildcard), None)
    if wildcard is not None:
        return wildcard.with_host(remote)
    hidden = all(a.kind in ("ip4", "ip6") and reach(a.host) < reach(remote) for a in addresses)
    return addresses[0].with_host(remote) if hidden else None
