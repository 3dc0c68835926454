"""Limits on the connections of one address: half-open and inbound ones.

An IPv4 address counts by itself. IPv6 addresses count by their /64, because that is what one customer gets. Loopback is
not counted by default, because all peers of a testnet use it. The host decides what happens to a connection.
"""

import ipaddress
from collections import Counter

import trio

HALF_OPEN_MAX = 64
HALF_OPEN_PER_ADDRESS_MAX = 16
INBOUND_PER_ADDRESS_MAX = 16


def group_of(remote: tuple[str, int] | None, *, loopback_counts: bool = False) -> str:
    """The address under which a connection is counted; "" if it is not counted."""
    if remote is None:
        return ""
    try:
        ip = ipaddress.ip_address(remote[0].partition("%")[0])
    except ValueError:
        return remote[0]
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback and not loopback_counts:
        return ""
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


class HalfOpen:
    """Connections during their handshake. If there are too many, the oldest one of the busiest address is cancelled."""

    def __init__(self) -> None:
        self._scopes: dict[int, tuple[str, trio.CancelScope]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._scopes)

    def enter(self, group: str, scope: trio.CancelScope) -> tuple[int, bool]:
        """Add a connection. Returns its number, and whether another one was cancelled for it."""
        counts = Counter(each for each, _ in self._scopes.values())
        evicted = False
        if group and counts[group] >= HALF_OPEN_PER_ADDRESS_MAX:
            evicted = self._evict(group)
        elif len(self._scopes) >= HALF_OPEN_MAX:
            evicted = self._evict(max(sorted(counts), key=lambda each: counts[each]))
        self._next += 1
        self._scopes[self._next] = (group, scope)
        return self._next, evicted

    def leave(self, number: int) -> None:
        self._scopes.pop(number, None)

    def _evict(self, group: str) -> bool:
        number = next(number for number, (each, _) in self._scopes.items() if each == group)
        self._scopes.pop(number)[1].cancel()
        return True
