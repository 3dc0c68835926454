"""Carries the tokens of an answer from the engine's thread to the event loop, without ever holding up the engine."""

from collections.abc import Sequence

import trio

from p2pverify.node.ports import Hear


class TokenRelay:
    """The tokens of one job. `hear` is for the engine's thread; `told` is called in the loop that made this object.

    Tokens that gather while the loop is busy are told together. So they take no more room than the answer itself.
    """

    def __init__(self, told: Hear) -> None:
        self._told = told
        self._trio = trio.lowlevel.current_trio_token()
        self._made: list[int] = []  # only the thread appends
        self._told_count = 0

    def hear(self, tokens: Sequence[int]) -> None:
        """Take the next tokens. Returns at once; the tokens of an engine that outlives the loop are dropped."""
        self._made.extend(tokens)
        try:
            self._trio.run_sync_soon(self._tell, idempotent=True)
        except trio.RunFinishedError:
            return

    def _tell(self) -> None:
        tokens = self._made[self._told_count :]
        self._told_count += len(tokens)
        if tokens:
            self._told(tokens)
