"""Finds first peers by DNS, as libp2p's `/dnsaddr` does (multiformats: multiaddr, dnsaddr).

    _dnsaddr.seeds.example.org.   TXT  "dnsaddr=/ip4/192.0.2.1/tcp/4747/p2p/12D3Koo..."
                                  TXT  "dnsaddr=/dnsaddr/more.example.org"

An answer of DNS proves nothing. So each entry must name its peer, which then proves its key, and entries are hearsay in
the address book: they have a share of it, and are dialled after the peers that we know.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import dns.exception
import dns.rdatatype
import dns.resolver
import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.net.peers.signed_addresses import LOCAL, LOOPBACK, reach
from p2pverify.node.endpoints.address import DNSADDR, Address, bootstrap_address, peer_address

RESULTS_MAX = 16  # addresses of one name in all
DEPTH_MAX = 2  # names that lead to names
ANSWER_BYTES_MAX = 4096  # of the texts of one name
LOOKUP_SECONDS_MAX = 5.0
AGAIN_S = 600.0  # from one look-up to the next
AGAIN_S_MIN = 30.0  # after a failure; doubles up to AGAIN_S
_PREFIX = "_dnsaddr."
_KEY = b"dnsaddr="

log = logging.getLogger(__name__)

#: The texts of TXT records of a name, each joined from its strings. Blocks. Raises LookupFailedError.
LookUp = Callable[[str], Sequence[bytes]]


class LookupFailedError(Exception):
    """A name has no answer that we can use; the reason is for people."""


def look_up(name: str, resolver: dns.resolver.Resolver | None = None) -> Sequence[bytes]:
    """Ask the DNS servers of this machine, or of `resolver`. Blocks for LOOKUP_SECONDS_MAX."""
    try:
        resolver = resolver or dns.resolver.Resolver()
        answer = resolver.resolve(name, dns.rdatatype.TXT, lifetime=LOOKUP_SECONDS_MAX, search=False)
        texts = [b"".join(record.strings) for record in answer]
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise LookupFailedError(f"{type(error).__name__}: {str(error)[:200]}") from None
    return texts


def decode_texts(texts: Sequence[bytes]) -> tuple[Address, ...]:
    """The entries of one name that we can use, at most RESULTS_MAX: peers with their keys, and further names.

    Other texts are ignored. Raises DecodeError if there are too many bytes.
    """
    if sum(map(len, texts)) > ANSWER_BYTES_MAX:
        raise DecodeError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    entries = (_entry(text[len(_KEY) :]) for text in texts if text.startswith(_KEY))
    return tuple(entry for entry in entries if entry is not None)[:RESULTS_MAX]


def _entry(text: bytes) -> Address | None:
    try:
        plain = text.decode("ascii")
        address = bootstrap_address(plain) if plain.startswith(f"/{DNSADDR}/") else peer_address(plain)
    except (UnicodeDecodeError, DecodeError):
        return None
    if address.kind == DNSADDR:
        return address
    return address if address.peer is not None and address.kind in ("ip4", "ip6") else None


def resolve(seed: Address, look: LookUp, *, loopback: bool) -> tuple[list[Address], list[str]]:
    """The peers behind a `/dnsaddr` address, and the reasons of names without a usable answer. Blocks.

    `loopback`: whether addresses of this machine count.
    """
    found: dict[Address, None] = {}
    reasons: list[str] = []
    names, asked = [seed], {seed.host}
    for _ in range(DEPTH_MAX):
        further: list[Address] = []
        for name in names:
            try:
                entries = decode_texts(look(_PREFIX + name.host))
            except (LookupFailedError, DecodeError) as error:
                reasons.append(f"{name.host}: {error}")
                continue
            for entry in entries:
                if seed.peer is not None and entry.peer not in (seed.peer, None):
                    continue
                if entry.kind == DNSADDR:
                    further += [] if entry.host in asked or len(further) >= RESULTS_MAX else [entry]
                    asked.add(entry.host)
                elif len(found) < RESULTS_MAX and reach(entry.host) >= (LOOPBACK if loopback else LOCAL):
                    found[entry] = None
        names = further
    return list(found), reasons


class DnsSeeds:
    """Looks names up until cancelled, and tells what it finds."""

    def __init__(
        self, seeds: Sequence[Address], counters: Counters, *, loopback: bool, look: LookUp | None = None
    ) -> None:
        self._seeds = tuple(seeds)
        self._counters = counters
        self._loopback = loopback
        self._look = look or look_up
        self._limiter = trio.CapacityLimiter(1)

    async def run(self, hear: Callable[[bytes, Sequence[Address]], None]) -> None:
        """`hear` gets the key of a peer, and its addresses."""
        async with trio.open_nursery() as nursery:
            for seed in self._seeds:
                nursery.start_soon(self._follow, seed, hear)

    async def find(self, seed: Address) -> list[Address]:
        """The peers behind one name now."""
        found, reasons = await trio.to_thread.run_sync(
            partial(resolve, seed, self._look, loopback=self._loopback),
            limiter=self._limiter,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
        )
        self._counters.count("dnsaddr_found", len(found))
        self._counters.count("dnsaddr_failed", len(reasons))
        for reason in reasons:
            log.info("no first peers by DNS from %s", reason)
        return found

    async def _follow(self, seed: Address, hear: Callable[[bytes, Sequence[Address]], None]) -> None:
        wait_s = AGAIN_S_MIN
        while True:
            by_peer: dict[bytes, list[Address]] = {}
            for address in await self.find(seed):
                if address.peer is not None:
                    by_peer.setdefault(address.peer, []).append(address)
            for peer, addresses in by_peer.items():
                hear(peer, addresses)
            wait_s = AGAIN_S if by_peer else min(AGAIN_S, 2 * wait_s)
            await trio.sleep(wait_s)
