"""The requests inside this node: each waits for its response, and hears the tokens that the engine makes for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.events import Follow, Respond
from p2pverify.core.inference.question import RequestRefused, encode_refusal, is_refusal
from p2pverify.node.ports import Hear

TICKETS_MAX = 256


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits for its response. It has heard the first `heard` tokens of its answer."""

    ticket: int
    hear: Hear
    heard: list[int] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)
    data: bytes = b""

    def tell(self, tokens: Sequence[int]) -> None:
        if tokens:
            self.heard += tokens
            self.hear(tokens)


@dataclass(slots=True, eq=False)
class _Followed:
    """A job of the engine: its tokens so far, and the tickets that hear them."""

    made: list[int] = field(default_factory=list)
    tickets: list[int] = field(default_factory=list)


class Tickets:
    """Gives each request a ticket, by which the machine names it."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._numbers = count(1)
        self._waiting: dict[int, Waiter] = {}
        self._followed: dict[int, _Followed] = {}  # by job

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= TICKETS_MAX

    @contextmanager
    def take(self, hear: Hear) -> Iterator[Waiter]:
        """A ticket for the length of the block."""
        waiter = Waiter(next(self._numbers), hear)
        self._waiting[waiter.ticket] = waiter
        try:
            yield waiter
        finally:
            del self._waiting[waiter.ticket]

    def follow(self, follow: Follow) -> None:
        """Let a request hear the tokens of a job, also those that were made before."""
        followed = self._followed.setdefault(follow.job, _Followed())
        followed.tickets.append(follow.ticket)
        waiter = self._waiting.get(follow.ticket)
        if waiter is not None:
            waiter.tell(followed.made)

    def tell(self, job: int, tokens: Sequence[int]) -> None:
        """The engine has made further tokens."""
        followed = self._followed.get(job)
        if followed is None:
            return
        followed.made += tokens
        for waiter in filter(None, map(self._waiting.get, followed.tickets)):
            waiter.tell(tokens)

    def ended(self, job: int) -> None:
        """The job is over: its requests get responses, and hear nothing more of it."""
        self._followed.pop(job, None)

    def respond(self, response: Respond) -> None:
        """Wake the request that waits for this response. It hears the rest of the answer first."""
        waiter = self._waiting.get(response.ticket)
        if waiter is None:
            self._counters.count("responses to nobody")
            return
        waiter.data = response.data
        known = len(waiter.heard)
        if tuple(waiter.heard) == response.tokens[:known]:
            waiter.tell(response.tokens[known:])
        elif not is_refusal(response.data):
            self._counters.count("answers unlike their stream")
            unlike = RequestRefused("failed", "the engine told other tokens than its answer has; ask again")
            waiter.data = encode_refusal(unlike)
        waiter.done.set()
