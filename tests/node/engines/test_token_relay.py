"""The tokens of a running job: all of them, in order, and without holding up the engine."""

import threading
from collections.abc import Sequence

import trio

from p2pverify.core.contract.output import Ask, Output
from p2pverify.node.engines.token_relay import TokenRelay
from p2pverify.node.engines.worker import Worker
from p2pverify.node.ports import Generated, Hear, unheard
from tests.node.engines.test_worker import job
from tests.node.fakes import FakeEngine


class StepEngine(FakeEngine):
    """Makes the next token only when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        for token in range(ask.tokens_max):
            assert self.steps.acquire(timeout=10)
            hear((token,))
        return Generated(Output(tuple(range(ask.tokens_max)), "length"), 1, 2)


async def test_tokens_are_told_while_the_engine_works(nursery: trio.Nursery) -> None:
    """Each token arrives before the next one is made, and the outcome after all of them."""
    engine = StepEngine()
    worker = Worker(engine)
    told: list[tuple[int, tuple[int, ...]]] = []
    changed, over = trio.Event(), trio.Event()

    def tell(number: int, tokens: Sequence[int]) -> None:
        nonlocal changed
        told.append((number, tuple(tokens)))
        changed.set()
        changed = trio.Event()

    nursery.start_soon(worker.run, lambda _event: over.set(), tell)
    worker.submit_nowait(job(7, tokens_max=3))
    with trio.fail_after(10):
        for token in range(3):
            engine.steps.release()
            while len(told) <= token:
                await changed.wait()
            assert told[token] == (7, (token,))
        await over.wait()
    assert len(told) == 3


async def test_a_busy_loop_does_not_hold_up_the_engine() -> None:
    """The thread makes all its tokens meanwhile. Then they are told at once, each of them one time."""
    told: list[list[int]] = []
    progress = TokenRelay(lambda tokens: told.append(list(tokens)))

    def make() -> None:
        for token in range(1000):
            progress.hear((token,))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join(10)  # the loop does nothing else before the thread has ended
    assert not thread.is_alive()
    assert told == []
    while not told:
        await trio.lowlevel.checkpoint()
    assert told == [list(range(1000))]


def test_an_engine_may_outlive_the_loop() -> None:
    """The thread of a cancelled job goes on, and its tokens are dropped."""

    async def make() -> TokenRelay:
        return TokenRelay(lambda _tokens: None)

    progress = trio.run(make)
    progress.hear((1, 2))
