"""Joining and leaving the network: the records that a peer writes once about itself, and its leave.

A leave is final: a peer that left joins again only if its operator says so, not because it was started again. If a
leave cannot be signed yet, it waits. A peer whose row was dropped, because it was silent for long, joins again.
"""

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.encoding.canon import encode
from p2pverify.core.events import Effects
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.sponsor import Sponsor
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.keys.successor import Succession, Successor
from p2pverify.core.state.rows import JOIN_EPOCHS

#: The records by which a peer takes part.
_ENTRIES = (Kind.JOIN, Kind.HANDOVER)
#: Newcomers that wait for their sponsor record.
SPONSORED_MAX = 16


class Membership(Part):
    """This peer's own membership. `hardware` is its claim; with `rejoin` it joins again after a leave in its log.

    With a `succession` it takes over the row of another key instead of joining.
    """

    def __init__(
        self,
        context: Context,
        manifest: Manifest,
        hardware: str,
        *,
        rejoin: bool,
        succession: Succession | None = None,
    ) -> None:
        self._context = context
        self._manifest = manifest
        self._hardware = hardware
        self._rejoin = rejoin
        self._successor = None if succession is None else Successor(context, succession)
        if self._successor is not None:
            context.takes_over = self._successor.progress
        self._once = _written_once(context, manifest) if succession is None else ()
        self._said: set[int] = set()
        self._is_joined = False
        self._joined_epoch = -1
        self._to_sponsor: list[bytes] = []

    def resume(self) -> None:
        """Find the earlier records of these kinds in the own log."""
        chain = list(self._context.ledger.chain(self._context.key))
        kinds = [record.kind for record in chain]
        self._said = set(kinds)
        last = [kind for kind in kinds if kind in (*_ENTRIES, Kind.LEAVE)][-1:]
        self._is_joined = bool(last) and last[0] in _ENTRIES
        self._joined_epoch = max((record.epoch for record in chain if record.kind in _ENTRIES), default=-1)
        if last == [Kind.LEAVE]:
            self._said.discard(Kind.JOIN)
            self._once = self._once or (Kind.JOIN,)
            self._context.is_leaving |= not self._rejoin

    def sponsor(self, peer: bytes) -> None:
        """Stand for a newcomer, as soon as this peer may sign."""
        if peer not in self._to_sponsor and len(self._to_sponsor) < SPONSORED_MAX:
            self._to_sponsor.append(peer)

    def tick(self, now_ms: int) -> Effects[None]:
        """Founders publish the contract and the model's manifest. Every peer joins, and leaves if it is told to."""
        context = self._context
        if self._is_forgotten(now_ms):
            self._once = self._once or (Kind.JOIN,)
            self._said.discard(Kind.JOIN)
        if context.is_leaving:
            if self._is_joined:
                self._is_joined = False
                yield from context.write(Kind.LEAVE, encode([]), now_ms)
            return
        if self._successor is not None and not self._once:
            yield from self._successor.tick(now_ms)
            self._is_joined |= self._successor.is_over
        for kind in self._once:
            if kind not in self._said:
                self._said.add(kind)
                record = yield from context.write(kind, self._payload(kind), now_ms)
                if kind == Kind.JOIN:
                    self._is_joined, self._joined_epoch = True, record.epoch
        while self._to_sponsor:
            yield from context.write(Kind.SPONSOR, Sponsor(self._to_sponsor.pop(0)).encode(), now_ms)

    def _payload(self, kind: Kind) -> bytes:
        """The payload of a record that a peer writes once."""
        context = self._context
        if kind == Kind.NETWORK:
            return context.network.encode()
        if kind == Kind.MANIFEST:
            return self._manifest.encode()
        return Join(context.class_index, context.vrf_key, self._hardware, context.box_key, context.next_key).encode()

    def _is_forgotten(self, now_ms: int) -> bool:
        """Whether no row knows this peer, and its join is so old that soon no cut could take it in."""
        context = self._context
        is_old = self._joined_epoch < context.params.epoch_at(now_ms) - JOIN_EPOCHS // 2
        latest = context.fold.latest
        waits = any(each.successor == context.key for each in latest.handovers.values())
        return self._is_joined and is_old and not waits and context.key not in latest.members


def _written_once(context: Context, manifest: Manifest) -> tuple[Kind, ...]:
    """The kinds of the records that a peer writes once, in their order."""
    if context.key not in context.network.founders:
        return (Kind.JOIN,)
    is_listed = manifest.digest in context.network.manifests  # and no later version
    return (Kind.NETWORK, Kind.MANIFEST, Kind.JOIN) if is_listed else (Kind.NETWORK, Kind.JOIN)
