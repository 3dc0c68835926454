"""Answers that stream: tokens as they are made, the rest at last, and peers on either side that break the rules."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
import trio

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import encode
from p2pverify.core.inference.question import Answer, Receipt, RequestRefused, encode_answer, encode_refusal
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import Stream
from p2pverify.net.protocols import requests
from p2pverify.net.protocols.requests import EVIDENCE_PROTOCOL, LAST, PROTOCOL, REFUSED, TOKENS, RequestLimits
from p2pverify.node.ports import AskError, Hear
from tests.net.real_peers import (
    FakeInbox,
    Peer,
    assert_answers,
    call,
    introduce,
    join,
    list_of_nobody,
    stranger,
)

RECEIPT = Receipt(bytes(32), bytes(32), bytes(32), 0, bytes(32), 3, 1, 2, 3, bytes(64))


def answer(*tokens: int) -> bytes:
    return encode_answer(Answer(Output(tokens, "length"), RECEIPT))


LAST_OF_AN_ANSWER = LAST + answer()
FEW = TOKENS + encode([1, 2, 3])


class SteppedInbox(FakeInbox):
    """Makes a token when a test lets it, and answers with all tokens, or with `response`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.steps = trio.Semaphore(0)
        self.made = 0
        self.cancelled = trio.Event()
        self.finished = trio.Event()
        self.last: bytes | None = None

    async def serve(self, request: bytes, source: bytes, hear: Hear = lambda _tokens: None) -> bytes:
        try:
            for token in range(self.count):
                await self.steps.acquire()
                self.made += 1
                hear((token,))
        except trio.Cancelled:
            self.cancelled.set()
            raise
        self.finished.set()
        return answer(*range(self.count)) if self.last is None else self.last

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.steps.release()


class Heard:
    """The tokens that an asker has heard so far."""

    def __init__(self) -> None:
        self.parts: list[list[int]] = []
        self.changed = trio.Event()

    @property
    def tokens(self) -> list[int]:
        return [token for part in self.parts for token in part]

    def __call__(self, tokens: Sequence[int]) -> None:
        self.parts.append(list(tokens))
        self.changed.set()
        self.changed = trio.Event()

    async def wait(self, count: int) -> None:
        while len(self.tokens) < count:
            await self.changed.wait()


async def _pair(nursery: trio.Nursery, inbox: FakeInbox, **options: object) -> tuple[Peer, Peer]:
    alice = await join(nursery, "alice", inbox=inbox, **options)
    bob = await join(nursery, "bob", alice.address)
    await bob.mesh.wait_connected(alice.key)
    return alice, bob


async def test_tokens_travel_as_they_are_made(nursery: trio.Nursery) -> None:
    """Each token is heard before the next one is made. The response comes last and is whole."""
    inbox, heard = SteppedInbox(3), Heard()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox)
        replies: list[bytes] = []

        async def ask() -> None:
            replies.append((await bob.mesh.ask(alice.key, b"?", tokens_max=3, hear=heard)).data)

        async with trio.open_nursery() as inner:
            inner.start_soon(ask)
            for count in (1, 2, 3):
                inbox.step()
                await heard.wait(count)
                assert heard.tokens == list(range(count))
        assert replies == [answer(0, 1, 2)]
    assert (alice.count("asks_answered"), bob.count("asks_succeeded")) == (1, 1)


async def test_tokens_that_gather_travel_together(nursery: trio.Nursery) -> None:
    """However fast the engine is, the responder writes at most once in each interval, and a long answer whole."""
    inbox, heard = SteppedInbox(5000), Heard()
    with trio.fail_after(20):
        alice, bob = await _pair(nursery, inbox)
        inbox.step(5000)
        began = trio.current_time()
        reply = await bob.mesh.ask(alice.key, b"?", tokens_max=5000, hear=heard)
        writes = 2 + (trio.current_time() - began) / requests.RHYTHM_SECONDS
        assert reply.data == answer(*range(5000))
        assert heard.tokens == list(range(5000))
        assert len(heard.parts) <= writes + 5  # a write has several frames if the tokens do not fit into one


async def test_a_refusal_may_follow_tokens(nursery: trio.Nursery) -> None:
    """An engine that fails in the middle gives no answer."""
    inbox, heard = SteppedInbox(2), Heard()
    inbox.last = encode_refusal(RequestRefused("engine", "it broke"))
    inbox.step(2)
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox)
        reply = await bob.mesh.ask(alice.key, b"?", tokens_max=3, hear=heard)
        assert (reply.data, heard.tokens) == (inbox.last, [0, 1])


async def test_a_response_unlike_its_stream_does_not_leave(nursery: trio.Nursery) -> None:
    """A fault of the responder's own node: the asker is told so."""
    inbox = SteppedInbox(2)
    inbox.last = answer(0, 7)
    inbox.step(2)
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox)
        with pytest.raises(AskError, match="failed"):
            await bob.mesh.ask(alice.key, b"?", tokens_max=3)
    assert alice.count("asks_refused_failed") == 1


async def test_serving_is_limited_between_tokens(nursery: trio.Nursery) -> None:
    """A long answer may take longer than the limit in all. An engine that stops making tokens is a timeout."""
    inbox, heard = SteppedInbox(20), Heard()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox, request_limits=RequestLimits(serve_seconds_max=1.5))
        reasons: list[str] = []

        async def ask() -> None:
            with pytest.raises(AskError) as caught:
                await bob.mesh.ask(alice.key, b"?", tokens_max=20, hear=heard)
            reasons.append(caught.value.reason)

        async with trio.open_nursery() as inner:
            inner.start_soon(ask)
            for count in range(1, 6):
                inbox.step()
                await heard.wait(count)
                await trio.sleep(0.4)
        assert (reasons, heard.tokens) == (["timeout"], list(range(5)))


async def test_an_asker_that_leaves_ends_the_work_for_it(nursery: trio.Nursery) -> None:
    """The next write fails, and then the node is no longer waited for. Others are served."""
    inbox, heard = SteppedInbox(100), Heard()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox)
        async with trio.open_nursery() as inner:

            async def ask() -> None:
                await bob.mesh.ask(alice.key, b"?", tokens_max=100, hear=heard)

            inner.start_soon(ask)
            inbox.step(5)
            await heard.wait(5)
            inner.cancel_scope.cancel()
        while not inbox.cancelled.is_set():
            inbox.step()
            await trio.sleep(requests.RHYTHM_SECONDS / 2)
        assert inbox.made < 100
        while not alice.count("asks_abandoned"):
            await trio.lowlevel.checkpoint()
        assert not alice.mesh._requests._turns.working
        inbox.count = 0
        assert (await bob.mesh.ask(alice.key, b"?")).data == answer()


async def _member(nursery: trio.Nursery, peer: Peer) -> Callable[[str], Awaitable[Stream]]:
    """A stranger that has shown the network; opens streams to the peer."""
    link = await call(await stranger(nursery), peer)
    async with await link.open_stream("/p2pverify/peers/2") as stream:
        await write_frame(stream, list_of_nobody())
        await read_frame(stream, 65536)
    return link.open_stream


async def test_a_slow_asker_holds_up_nobody(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine finishes, the place is free for others, and the rest is not kept for longer than its time."""
    inbox = SteppedInbox(120_000)  # more bytes than a window
    inbox.step(120_000)
    limits = RequestLimits(working_max=1, take_seconds_max=0.5)
    with trio.fail_after(30):
        alice, bob = await _pair(nursery, inbox, request_limits=limits)
        open_stream = await _member(nursery, alice)
        stream = await open_stream(PROTOCOL)
        await write_frame(stream, b"?")
        await inbox.finished.wait()
        inbox.count = 0
        assert (await bob.mesh.ask(alice.key, b"?")).data == answer()
        while not alice.count("asks_abandoned"):
            await trio.lowlevel.checkpoint()
        assert not alice.mesh._requests._open


BROKEN: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "garbage instead of tokens": ("malformed", (TOKENS + b"\xff\xff",)),
    "a frame without tokens": ("malformed", (TOKENS + encode([]), LAST_OF_AN_ANSWER)),
    "more tokens than were asked for": ("malformed", (FEW, TOKENS + encode([4]), LAST_OF_AN_ANSWER)),
    "tokens in the last frame": ("malformed", (LAST + answer(1, 2),)),
    "a second last frame": ("malformed", (FEW, LAST_OF_AN_ANSWER, LAST_OF_AN_ANSWER)),
    "tokens after the last frame": ("malformed", (LAST_OF_AN_ANSWER, FEW)),
    "an unknown kind of frame": ("malformed", (FEW, b"\x07")),
    "an unknown refusal": ("malformed", (FEW, REFUSED + b"because")),
    "a last frame that is too large": ("too-large", (FEW, LAST + bytes(1025))),
    "a frame of tokens that is too large": ("too-large", (TOKENS + bytes(5124),)),
    "no last frame": ("reset", (FEW,)),
    "nothing": ("reset", ()),
    "a refusal after tokens": ("timeout", (FEW, REFUSED + b"timeout")),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_streams_that_are_no_answer(nursery: trio.Nursery, name: str) -> None:
    """Each has its reason, and the asker goes on."""
    reason, frames = BROKEN[name]

    async def respond(stream: Stream) -> None:
        await read_frame(stream, 100)
        for frame in frames:
            await write_frame(stream, frame)

    with trio.fail_after(10):
        assert await _ask_mallory(nursery, {PROTOCOL: respond}) == reason


async def test_a_responder_that_stalls(nursery: trio.Nursery) -> None:
    """The caller's deadline ends the wait, and the connection stays usable."""
    heard = Heard()

    async def stall(stream: Stream) -> None:
        await read_frame(stream, 100)
        await write_frame(stream, FEW)
        await trio.sleep_forever()

    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        mallory.handle(PROTOCOL, stall)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        with trio.move_on_after(0.3) as scope:
            await alice.mesh.ask(mallory.peer, b"?", tokens_max=3, hear=heard)
        assert scope.cancelled_caught
        assert heard.tokens == [1, 2, 3]
        await assert_answers(nursery, alice)


async def test_evidence_does_not_stream(nursery: trio.Nursery) -> None:
    """Frames of tokens have no place there."""

    async def respond(stream: Stream) -> None:
        await read_frame(stream, 300)
        await write_frame(stream, FEW)
        await write_frame(stream, LAST)

    with trio.fail_after(10):
        assert await _ask_mallory(nursery, {EVIDENCE_PROTOCOL: respond}, is_evidence=True) == "malformed"


async def test_a_peer_of_another_version_is_named_so(nursery: trio.Nursery) -> None:
    """It does not speak the protocol, in either direction: the asker learns why."""

    async def respond(stream: Stream) -> None:
        await read_frame(stream, 100)

    with trio.fail_after(10):
        assert await _ask_mallory(nursery, {"/p2pverify/ask/1": respond}) == "unsupported"


async def _ask_mallory(
    nursery: trio.Nursery, handlers: dict[str, Callable[[Stream], Awaitable[None]]], *, is_evidence: bool = False
) -> str:
    """The reason for the failure of a request to a peer with these handlers."""
    alice = await join(nursery, "alice")
    mallory = await stranger(nursery)
    mallory.handle("/p2pverify/peers/2", introduce)
    for protocol, handler in handlers.items():
        mallory.handle(protocol, handler)
    await call(mallory, alice)
    await alice.mesh.wait_connected(mallory.peer)
    ask = alice.mesh.fetch if is_evidence else partial(alice.mesh.ask, tokens_max=3)
    with pytest.raises(AskError) as caught:
        await ask(mallory.peer, b"?")
    await assert_answers(nursery, alice)
    return caught.value.reason
