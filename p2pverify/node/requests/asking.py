"""Asking a peer with a limit on the time between two frames of its answer."""

from collections.abc import Sequence

import trio

from p2pverify.node.ports import AskError, AskingPort, Hear, Reply, unheard

#: How long a peer may be silent after it has begun to answer. Its engine is at work then, and makes a token in less.
STALL_SECONDS_MAX = 30.0


async def ask_streaming(
    network: AskingPort,
    peer: bytes,
    request: bytes,
    *,
    tokens_max: int,
    hear: Hear = unheard,
    stall_s: float = STALL_SECONDS_MAX,
) -> Reply:
    """Ask as `AskingPort.ask` does. Raises AskError, "stalled" if nothing follows a token for `stall_s` seconds.

    The caller sets the deadline of the whole. Challenges and all other requests are sent through here, so that a peer
    cannot tell them apart by the patience of the requester.
    """

    def heard(tokens: Sequence[int]) -> None:
        scope.deadline = trio.current_time() + stall_s
        hear(tokens)

    with trio.CancelScope() as scope:
        return await network.ask(peer, request, tokens_max=tokens_max, hear=heard)
    raise AskError("stalled")
