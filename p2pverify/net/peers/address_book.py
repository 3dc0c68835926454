"""The address book: which peers we could dial, at which addresses, and when to try next.

It is data only; callers pass the time. Of two signed statements of a peer, the newer counts. Unsigned addresses (mDNS)
only fill gaps. A peer that is known only from others ("hearsay") is forgotten when dials fail too often. Bootstrap
addresses stay forever. The back-off doubles from one failure to the next, with jitter. Each source of hearsay has a
limited share of the book, so it cannot push out the entries of other sources.
"""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from p2pverify.net.peers.signed_addresses import ADDRESSES_PER_PEER_MAX, SignedAddresses
from p2pverify.node.endpoints.address import Address

PEERS_MAX = 1024
PEERS_PER_SOURCE_MAX = 256
DELAY_S_MIN = 0.4
DELAY_S_MAX = 30.0
DELAY_S_MAX_GONE = 300.0  # once FAILURES_MAX is reached
FAILURES_MAX = 8  # failed dials before a peer counts as gone
KEEP_S = 86_400.0  # how long we keep trying a peer that we were once connected to
BAN_S = 300.0
NOBODY = b""
SHELF = b"shelf"  # the source of hearsay that our own disk has kept


@dataclass(slots=True)
class Target:
    """One peer to dial; `peer` is None for a bootstrap address whose peer has not answered yet.

    `source` is the peer that told us of it. `met_s` is the time of our last connection to it, below 0 if there was
    none.
    """

    peer: bytes | None
    addresses: list[Address]
    is_bootstrap: bool
    source: bytes = NOBODY
    statement: SignedAddresses | None = None
    met_s: float = -1.0
    failures: int = 0
    due_s: float = 0.0
    dialling: bool = field(default=False, compare=False)

    @property
    def is_direct(self) -> bool:
        """Whether there is an address without a relay. Circuits are opened only for requests, because they are few."""
        return any(address.relay is None for address in self.addresses)

    @property
    def is_hearsay(self) -> bool:
        return not self.is_bootstrap and self.met_s < 0


class AddressBook:
    """Targets by peer. `own` is our key. Of two peers, the one with the lesser key dials first."""

    def __init__(self, own: bytes, bootstrap: Sequence[Address], dice: random.Random) -> None:
        self.bootstrap = tuple(bootstrap)
        self._own = own
        self._dice = dice
        self._targets: dict[bytes, Target] = {}
        self._nameless: list[Target] = []
        self.own_addresses: list[Address] = []  # bootstrap addresses with our own key
        self._told: Counter[bytes] = Counter()  # hearsay targets by source
        for address in bootstrap:
            if address.peer is None:
                self._nameless.append(Target(None, [address], is_bootstrap=True))
            elif address.peer == own:
                self.own_addresses.append(address)
            else:
                target = self._targets.setdefault(address.peer, Target(address.peer, [], is_bootstrap=True))
                target.addresses.append(address)

    def __len__(self) -> int:
        return len(self._targets) + len(self._nameless)

    def addresses(self, peer: bytes) -> tuple[Address, ...]:
        target = self._targets.get(peer)
        return () if target is None else tuple(target.addresses)

    def statement(self, peer: bytes) -> SignedAddresses | None:
        """The newest signed statement of a peer."""
        target = self._targets.get(peer)
        return None if target is None else target.statement

    def meet(self, peer: bytes, addresses: Sequence[Address], statement: SignedAddresses | None, now_s: float) -> None:
        """Note where a connected peer listens; `addresses` may hold more than its signed statement."""
        target = self._targets.get(peer)
        if target is None and (peer == self._own or not addresses or not self._make_room(NOBODY)):
            return
        if target is None:
            target = self._targets[peer] = Target(peer, [], is_bootstrap=False)
        elif target.is_hearsay:
            self._untell(target)
        target.met_s = now_s
        if statement is not None and (target.statement is None or statement.seq > target.statement.seq):
            target.statement = statement
        if addresses:
            self._replace(target, addresses)

    def hear(
        self,
        peer: bytes,
        addresses: Sequence[Address],
        statement: SignedAddresses | None,
        now_s: float,
        *,
        source: bytes,
    ) -> None:
        """`source` tells of another peer. Without a signed statement of that peer, it can only fill a gap."""
        if peer == self._own or not addresses:
            return
        target = self._targets.get(peer)
        if target is None:
            if not self._make_room(source):
                return
            target = self._targets[peer] = Target(peer, [], is_bootstrap=False, source=source)
            target.due_s = now_s + self._yielding(peer)
            self._told[source] += 1
        known = target.statement
        if statement is None:
            if known is None and target.met_s < 0:
                self._replace(target, addresses)
        elif known is None or statement.seq > known.seq:
            target.statement = statement
            self._replace(target, addresses)

    def targets(self) -> tuple[Target, ...]:
        """All peers of the book, by key."""
        return tuple(target for _, target in sorted(self._targets.items()))

    def restore(
        self,
        peer: bytes,
        addresses: Sequence[Address],
        statement: SignedAddresses,
        now_s: float,
        *,
        was_met: bool,
        failures: int,
        is_first: bool,
    ) -> None:
        """Put a peer into the book that it held before a restart. `is_first`: it is dialled before all others."""
        target = self._targets.get(peer)
        if peer == self._own or (target is None and len(self._targets) >= PEERS_MAX):
            return
        if target is None:
            target = self._targets[peer] = Target(peer, [], is_bootstrap=False)
            if not was_met:
                target.source = SHELF
                self._told[SHELF] += 1
        target.statement = statement
        target.met_s = now_s if was_met else target.met_s
        target.failures = min(failures, FAILURES_MAX - 1)  # one more dial decides
        target.due_s = 0.0 if is_first else now_s + self._yielding(peer)
        target.failures = 0 if is_first else target.failures
        self._replace(target, addresses)

    def forget_expired(self, now_ms: int) -> None:
        """Drop the peers that are known only from statements that have expired. `now_ms` is Unix time.

        An expired statement of another peer is kept for the disk, and is not passed on.
        """
        for target in list(self._targets.values()):
            is_old = target.statement is not None and not target.statement.is_current(now_ms)
            if is_old and target.is_hearsay and not target.dialling:
                self._drop(target)

    def due(self, now_s: float, connected: Collection[bytes]) -> list[Target]:
        """The targets to dial now, the most promising first; sources of hearsay take turns."""
        found = [target for target in self._waiting(connected) if target.due_s <= now_s]
        found.sort(key=lambda t: (t.failures, t.due_s))
        turns: Counter[bytes] = Counter()
        ranked = []
        for target in found:
            turns[target.source] += target.is_hearsay
            turn = turns[target.source] if target.is_hearsay else 0
            ranked.append((turn, target))
        ranked.sort(key=lambda each: each[0])
        return [target for _, target in ranked]

    def next_due_s(self, connected: Collection[bytes], *, hearsay: bool = True) -> float:
        """The time at which `due` will next return a target, with or without hearsay, if nothing changes."""
        waiting = (target for target in self._waiting(connected) if hearsay or not target.is_hearsay)
        return min((target.due_s for target in waiting), default=float("inf"))

    def failed(self, target: Target, now_s: float) -> None:
        target.failures += 1
        is_gone = target.failures >= FAILURES_MAX and not target.is_bootstrap
        delay_s = min(DELAY_S_MAX_GONE if is_gone else DELAY_S_MAX, DELAY_S_MIN * 2.0**target.failures)
        target.due_s = now_s + delay_s * self._dice.uniform(0.5, 1.0)
        if is_gone and (target.is_hearsay or now_s - target.met_s > KEEP_S):
            self._drop(target)

    def lost(self, peer: bytes, now_s: float, *, confirmed: bool) -> None:
        """A connection ended. Both sides want it back, and a different delay on each side decides which dials first.

        An unconfirmed connection counts as a failed dial.
        """
        for target in [*self._nameless, *self._targets.values()]:
            if target.peer != peer:
                continue
            if confirmed:
                target.failures = 0
                target.met_s = max(target.met_s, now_s) if target.met_s >= 0 else target.met_s
                target.due_s = max(target.due_s, now_s + self._yielding(peer))
            elif target.due_s <= now_s:
                self.failed(target, now_s)

    def ban(self, peer: bytes, now_s: float) -> None:
        """Do not dial a peer for a while, because it belongs to another network."""
        for target in (*self._nameless, *self._targets.values()):
            if target.peer == peer:
                target.due_s = now_s + BAN_S

    def _waiting(self, connected: Collection[bytes]) -> list[Target]:
        everyone = (*self._nameless, *self._targets.values())
        busy = {*connected, self._own}
        return [t for t in everyone if not t.dialling and t.peer not in busy and t.is_direct]

    def _yielding(self, peer: bytes) -> float:
        base_s = DELAY_S_MIN / 2 if self._own < peer else 3 * DELAY_S_MIN
        return base_s * self._dice.uniform(0.5, 1.0)

    def _replace(self, target: Target, addresses: Sequence[Address]) -> None:
        fresh = [address.with_peer(target.peer) for address in addresses]
        kept = [known for known in target.addresses if known not in fresh and target.is_bootstrap]
        target.addresses = (fresh + kept)[: 2 * ADDRESSES_PER_PEER_MAX]

    def _make_room(self, source: bytes) -> bool:
        """Whether one more target of this source fits, perhaps instead of one whose dials failed."""
        if source != NOBODY and self._told[source] >= PEERS_PER_SOURCE_MAX:
            return self._drop_worst(source, failures_min=1)
        if len(self._targets) < PEERS_MAX:
            return True
        most = max(sorted(self._told), key=lambda each: self._told[each], default=NOBODY)
        is_modest = self._told[source] + 1 < self._told[most]
        return self._drop_worst(most, failures_min=0 if is_modest else 1)

    def _drop_worst(self, source: bytes, *, failures_min: int) -> bool:
        told = (t for t in self._targets.values() if t.is_hearsay and t.source == source and not t.dialling)
        worst = max(told, key=lambda target: target.failures, default=None)
        if worst is None or worst.failures < failures_min:
            return False
        self._drop(worst)
        return True

    def _drop(self, target: Target) -> None:
        if target.peer is not None and self._targets.pop(target.peer, None) is not None and target.is_hearsay:
            self._untell(target)

    def _untell(self, target: Target) -> None:
        self._told[target.source] -= 1
        if self._told[target.source] <= 0:
            del self._told[target.source]
