"""Says of each open amendment with features that this program can run the rules that it makes.

The operator says whether the amendment is wanted. This is only about the program.
"""

from p2pverify.core.events import Effects
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.amendment import Approval, Word
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.state.rules.take import refuse_approval


class Announcer(Part):
    """Announces that this peer is ready. Nobody else's readiness matters to it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._said: frozenset[bytes] = frozenset()

    def tick(self, now_ms: int) -> Effects[None]:
        context = self._context
        latest, definition = context.fold.latest, context.fold.definition
        for key, note in latest.amendments.items():
            amendment = note.amendment
            if not amendment.features or context.key in note.ready or key in self._said:
                continue
            is_ready = context.fold.following.is_ready_for(definition, latest, amendment)
            if is_ready and context.may_write(now_ms) and refuse_approval(latest, context.key, key) is None:
                self._said |= {key}
                yield from context.write(Kind.APPROVAL, Approval(key, Word.READY).encode(), now_ms)
        self._said &= frozenset(latest.amendments)
