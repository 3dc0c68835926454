"""Moving to another version of this peer's model, when the operator lets it follow the current one.

Protocol page: protocol/serve.md.
"""

from p2pverify.core.events import Effects, Note, VersionHeld
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.state.lines.take import refuse_serve
from p2pverify.core.state.lines.versions import current_manifest, model_of

#: A serve record that no cut has taken in after this many epochs is written again.
AGAIN_EPOCHS = 8


class VersionMover(Part):
    """Serves the current version of this peer's line as soon as its engine is ready.

    It does so if it `follows`, or if this peer cannot compute the version that it serves by the records. After a recall
    the version before is current again, so this peer goes back to it.
    """

    def __init__(self, context: Context, *, follows: bool) -> None:
        self._context = context
        self._follows = follows
        self._said: tuple[bytes, int] | None = None  # the manifest of the newest serve record, and its epoch

    def take(self, event: VersionHeld) -> None:
        """The engine of another version is ready."""
        self._context.held[event.model.manifest.digest] = event.model

    def tick(self, now_ms: int) -> Effects[None]:
        """Write a serve record if the current version is another one than this peer serves, and is held."""
        context = self._context
        if context.is_leaving or not context.may_write(now_ms):
            return
        latest, epoch = context.fold.latest, context.params.epoch_at(now_ms)
        wanted = current_manifest(context.network, latest, context.key)
        if not self._follows and (
            context.key not in latest.members or model_of(context.network, latest, context.key) in context.held
        ):
            return
        if wanted not in context.held or refuse_serve(context.network, latest, context.key, wanted) is not None:
            return
        if self._said is not None and self._said[0] == wanted and epoch < self._said[1] + AGAIN_EPOCHS:
            return
        self._said = (wanted, epoch)
        yield Note("info", f"serves the version with manifest {wanted.hex()[:16]} from now on")
        yield from context.write(Kind.SERVE, Serve(wanted).encode(), now_ms)
