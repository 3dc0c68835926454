"""What a peer does when another key takes over from it."""

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import Effect, Note
from p2pverify.core.roles.context import Context
from p2pverify.core.state.state import State


def say_farewell(context: Context, before: State) -> list[Effect]:
    """Stop signing once the row is gone and no cut needs its weight; tell of a handover that the state `before` lacks.

    Call it when the newest certified cut has changed.
    """
    successor = context.moves_to
    if successor is None:
        return []
    name = peer_id(successor)
    if context.is_succeeded:
        context.silence.stop(f"this identity was handed over to {name}")
    if context.key in before.handovers or context.key in before.moved:
        return []
    return [Note("warning", f"{name} takes over from this identity; 'p2pverify identity object' stops that")]
