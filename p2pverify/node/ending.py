"""Why a node must end, as one task finds it and another one raises it."""

import trio

from p2pverify.node.user_error import UserError


class Ending:
    """The first error for which this run must end."""

    def __init__(self) -> None:
        self._found = trio.Event()
        self._why: UserError | None = None

    def note(self, why: UserError) -> None:
        self._why = self._why or why
        self._found.set()

    async def wait(self) -> None:
        """Wait for the error, and raise it."""
        await self._found.wait()
        assert self._why is not None
        raise self._why
