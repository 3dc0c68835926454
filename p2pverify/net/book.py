"""The address book: whom we could dial, where, and when to try next. Data only; the clock comes in.

A peer's own word replaces what others said of it; hearsay only fills gaps, and is forgotten when it proves
wrong. Bootstrap addresses stay forever. Delays double from one failure to the next, and are jittered.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from p2pverify.net.address import Address
from p2pverify.net.peer_list import ADDRESSES_PER_PEER_MAX

PEERS_MAX = 1024
DELAY_S_MIN = 0.4
DELAY_S_MAX = 30.0
FAILURES_MAX = 8  # of a peer that is known by hearsay
BAN_S = 300.0


@dataclass(slots=True)
class Target:
    """One peer to dial; `peer` is None for a bootstrap address whose peer has not answered yet."""

    peer: bytes | None
    addresses: list[Address]
    is_bootstrap: bool
    first_hand: bool = False
    failures: int = 0
    due_s: float = 0.0
    dialling: bool = field(default=False, compare=False)


class Book:
    """Targets by peer. `own` is our key; of two peers the one with the lesser key dials first."""

    def __init__(self, own: bytes, bootstrap: Sequence[Address], dice: random.Random) -> None:
        self._own = own
        self._dice = dice
        self._targets: dict[bytes, Target] = {}
        self._nameless: list[Target] = []
        for address in bootstrap:
            if address.peer is None:
                self._nameless.append(Target(None, [address], is_bootstrap=True))
            elif address.peer != own:
                target = self._targets.setdefault(address.peer, Target(address.peer, [], is_bootstrap=True))
                target.addresses.append(address)

    def __len__(self) -> int:
        return len(self._targets) + len(self._nameless)

    def addresses(self, peer: bytes) -> tuple[Address, ...]:
        target = self._targets.get(peer)
        return () if target is None else tuple(target.addresses)

    def learn(self, peer: bytes, addresses: Sequence[Address], now_s: float, *, first_hand: bool) -> None:
        """Take note of where a peer listens; `first_hand` if it said so itself."""
        if peer == self._own or not addresses:
            return
        target = self._targets.get(peer)
        if target is None:
            if len(self._targets) >= PEERS_MAX and not self._forget_worst():
                return
            target = self._targets[peer] = Target(peer, [], is_bootstrap=False)
            target.due_s = now_s + self._yielding(peer)
        if target.first_hand and not first_hand:
            return
        fresh = [address.with_peer(peer) for address in addresses]
        kept = [known for known in target.addresses if known not in fresh and target.is_bootstrap]
        target.addresses = (fresh + kept)[: 2 * ADDRESSES_PER_PEER_MAX]
        target.first_hand = target.first_hand or first_hand

    def due(self, now_s: float, connected: Collection[bytes]) -> list[Target]:
        """The targets to dial now."""
        return [target for target in self._waiting(connected) if target.due_s <= now_s]

    def next_due_s(self, connected: Collection[bytes]) -> float:
        """When `due` will next have something, if nothing changes."""
        return min((target.due_s for target in self._waiting(connected)), default=float("inf"))

    def failed(self, target: Target, now_s: float) -> None:
        target.failures += 1
        delay_s = min(DELAY_S_MAX, DELAY_S_MIN * 2.0**target.failures)
        target.due_s = now_s + delay_s * self._dice.uniform(0.5, 1.0)
        if not target.is_bootstrap and target.failures >= FAILURES_MAX and target.peer is not None:
            self._targets.pop(target.peer, None)

    def lost(self, peer: bytes, now_s: float, *, confirmed: bool) -> None:
        """A connection ended. Both sides want it back, and one of them should be first.

        One that came to nothing (`confirmed` is false) counts as a failed dial.
        """
        for target in [*self._nameless, *self._targets.values()]:
            if target.peer != peer:
                continue
            if confirmed:
                target.failures = 0
                target.due_s = max(target.due_s, now_s + self._yielding(peer))
            elif target.due_s <= now_s:
                self.failed(target, now_s)

    def ban(self, peer: bytes, now_s: float) -> None:
        """Leave a peer alone for a while: it is of another network."""
        for target in (*self._nameless, *self._targets.values()):
            if target.peer == peer:
                target.due_s = now_s + BAN_S

    def _waiting(self, connected: Collection[bytes]) -> list[Target]:
        everyone = (*self._nameless, *self._targets.values())
        return [target for target in everyone if not target.dialling and target.peer not in (*connected, self._own)]

    def _yielding(self, peer: bytes) -> float:
        base_s = DELAY_S_MIN / 2 if self._own < peer else 3 * DELAY_S_MIN
        return base_s * self._dice.uniform(0.5, 1.0)

    def _forget_worst(self) -> bool:
        hearsay = [t for t in self._targets.values() if not t.is_bootstrap and not t.first_hand]
        worst = max(hearsay, key=lambda target: target.failures, default=None)
        if worst is None or worst.peer is None or worst.failures == 0:
            return False
        del self._targets[worst.peer]
        return True
