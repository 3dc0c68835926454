"""The new key of a member: it writes its handover, and waits until the row is its own."""

from dataclasses import dataclass

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import Effects
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.records.payloads.keys.handover import Handover, Keys
from p2pverify.core.roles.context import Context
from p2pverify.core.state.keys.take import delay, refuse_handover

#: For so many epochs a handover waits until a certified cut holds all records of the old log that are here.
PATIENCE_EPOCHS = 4


@dataclass(frozen=True, slots=True)
class Succession:
    """This peer takes over the row of the key `old` (32 B). `consent` is the old key's signature, if it signed."""

    old: bytes
    consent: bytes | None


class Successor:
    """Writes the handover, again if it was refused for a reason that passes. `refused` says why it waits, or ""."""

    def __init__(self, context: Context, succession: Succession) -> None:
        self._context = context
        self._succession = succession
        self._waits_since: int | None = None
        self.refused = ""

    @property
    def is_over(self) -> bool:
        """Whether the row has moved to this peer by the newest certified cut."""
        return self._context.key in self._context.fold.latest.members

    def progress(self) -> str:
        """What this peer waits for; "" once it has the row."""
        if self.is_over:
            return ""
        name, found = peer_id(self._succession.old), self._context.fold.latest.handovers.get(self._succession.old)
        if found is not None and found.successor == self._context.key:
            until = found.since_epoch + delay(self._context.params, is_signed=found.is_signed)
            return f"takes over from {name}, in epoch {until} or soon after it"
        return f"waits to take over from {name}{self.refused and f': {self.refused}'}"

    def tick(self, now_ms: int) -> Effects[None]:
        """Write the handover if it is time. It names the newest certified record of the old log."""
        context, old = self._context, self._succession.old
        latest = context.fold.latest
        if self.is_over or self._is_on_its_way():
            return
        handover = self._handover(latest.heads.get(old))
        if handover is None:
            self.refused = "old key is no member, or convicted"
            return
        self.refused = refuse_handover(latest, context.key, handover) or ""
        if not self.refused and not self._is_early(old, latest.heads[old], context.params.epoch_at(now_ms)):
            yield from context.write(Kind.HANDOVER, handover.encode(), now_ms)

    def _is_on_its_way(self) -> bool:
        """Whether an own record waits for a cut, or the state has all that this peer can say."""
        context = self._context
        own, certified = context.ledger.head(context.key), context.fold.latest.heads.get(context.key)
        if own is not None and (certified is None or certified[1] < own[1]):
            return True
        found = context.fold.latest.handovers.get(self._succession.old)
        has_all = found is not None and (found.is_signed or self._succession.consent is None)
        return found is not None and found.successor == context.key and has_all

    def _handover(self, head: Head | None) -> Handover | None:
        context = self._context
        if head is None:
            return None
        keys = Keys(context.next_key, context.vrf_key, context.box_key)
        return Handover(self._succession.old, head[1:], keys, self._succession.consent)

    def _is_early(self, old: bytes, certified: Head, epoch: int) -> bool:
        """Whether records of the old log are here that a cut may still take in. They would count for nothing."""
        if self._waits_since is None:
            self._waits_since = epoch
        return self._context.ledger.head(old) != certified and epoch < self._waits_since + PATIENCE_EPOCHS
