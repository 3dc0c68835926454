"""Joining and leaving the network: the records that a peer writes once about itself, and its leave.

A leave is final: a peer that left joins again only if its operator says so, not because it was started again. If a
leave cannot be signed yet, it waits. A peer that the network has forgotten, because it was silent for long, signs
nothing more: it needs a new identity.
"""

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.encoding.canon import encode
from p2pverify.core.events import Effects
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.sponsor import Sponsor
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.keys.successor import Succession, Successor

FORGOTTEN = "the network has forgotten this identity, which was away or waited for too long"
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
        self._to_sponsor: list[bytes] = []

    def resume(self) -> None:
        """Find the earlier records of these kinds in the own log. The newest final view tells of its forgotten part."""
        context = self._context
        latest = context.fold.latest
        member = latest.members.get(context.key)
        kinds = [record.kind for record in context.ledger.chain(context.key)]
        self._said = set(kinds)
        if context.ledger.first(context.key) > 0:
            self._said.update(self._once)
        last = [kind for kind in kinds if kind in (*_ENTRIES, Kind.LEAVE)][-1:]
        is_away = member is not None and member.joined_index > 0 and not member.active
        has_left = last == [Kind.LEAVE] or (not last and is_away and context.key not in latest.handovers)
        self._is_joined = (bool(last) and last[0] in _ENTRIES) or (not last and member is not None and member.active)
        if has_left:
            self._said.discard(Kind.JOIN)
            self._once = self._once or (Kind.JOIN,)
            context.is_leaving |= not self._rejoin

    def sponsor(self, peer: bytes) -> None:
        """Stand for a newcomer, as soon as this peer may sign."""
        if peer not in self._to_sponsor and len(self._to_sponsor) < SPONSORED_MAX:
            self._to_sponsor.append(peer)

    def tick(self, now_ms: int) -> Effects[None]:
        """Founders publish the contract and the model's manifest. Every peer joins, and leaves if it is told to."""
        context = self._context
        if self._is_forgotten():
            context.silence.stop(FORGOTTEN)
            return
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
                yield from context.write(kind, self._payload(kind), now_ms)
                self._is_joined |= kind == Kind.JOIN
        while self._to_sponsor:
            yield from context.write(Kind.SPONSOR, Sponsor(self._to_sponsor.pop(0)).encode(), now_ms)

    def _payload(self, kind: Kind) -> bytes:
        """The payload of a record that a peer writes once."""
        context = self._context
        if kind == Kind.NETWORK:
            return context.fold.definition.encode()
        if kind == Kind.MANIFEST:
            return self._manifest.encode()
        return Join(context.class_index, context.vrf_key, self._hardware, context.box_key, context.next_key).encode()

    def _is_forgotten(self) -> bool:
        """Whether no row knows this peer, and its log is so old that no cut takes it in any more."""
        context = self._context
        latest, head = context.fold.latest, context.ledger.head(context.key)
        is_known = head is None or context.key in latest.members or context.key in latest.heads
        return not is_known and head is not None and not context.fold.is_young(latest, head)


def _written_once(context: Context, manifest: Manifest) -> tuple[Kind, ...]:
    """The kinds of the records that a peer writes once, in their order."""
    if context.key not in context.network.founders:
        return (Kind.JOIN,)
    is_listed = manifest.digest in context.network.manifests  # and no later version
    return (Kind.NETWORK, Kind.MANIFEST, Kind.JOIN) if is_listed else (Kind.NETWORK, Kind.JOIN)
