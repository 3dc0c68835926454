"""One way to call the plain client and the async one, so that a test can be written once."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from p2pverify.client import AsyncClient, Client, Reply
from tests.client.serving import BACKENDS, in_thread, on

KINDS = ("plain", *BACKENDS)


@dataclass
class Caller:
    """A client of one kind: "plain", or the name of a backend. `where` are the arguments of the client."""

    kind: str
    where: dict[str, Any] = field(default_factory=dict)

    async def call(self, name: str, *args: Any, **named: Any) -> Any:
        """Call a method of a new client."""
        if self.kind == "plain":
            return await in_thread(partial(getattr(Client(**self.where), name), *args, **named))
        return await on(self.kind, partial(getattr(AsyncClient(**self.where), name), *args, **named))

    async def read(self, *args: Any, stop_after: int | None = None, **named: Any) -> tuple[list[str], Reply | None]:
        """The pieces of a stream, and its reply; None if it was left after `stop_after` pieces."""
        if self.kind == "plain":
            return await in_thread(partial(self._read_plain, stop_after, *args, **named))
        return await on(self.kind, partial(self._read_async, stop_after, *args, **named))

    def _read_plain(self, stop_after: int | None, *args: Any, **named: Any) -> tuple[list[str], Reply | None]:
        found: list[str] = []
        with Client(**self.where).stream(*args, **named) as pieces:
            for piece in pieces:
                found.append(piece)
                if len(found) == stop_after:
                    return found, None
            return found, pieces.reply

    async def _read_async(self, stop_after: int | None, *args: Any, **named: Any) -> tuple[list[str], Reply | None]:
        found: list[str] = []
        async with AsyncClient(**self.where).stream(*args, **named) as pieces:
            async for piece in pieces:
                found.append(piece)
                if len(found) == stop_after:
                    return found, None
            return found, pieces.reply
