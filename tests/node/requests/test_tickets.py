"""Requests inside a node: what they hear of the engine's work, and when they are answered."""

from collections.abc import Sequence

import trio

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.counters import Counters
from p2pverify.core.events import (
    Compute,
    Computed,
    Effect,
    Event,
    Follow,
    Persist,
    RequestArrived,
    Respond,
    StoredAnswer,
)
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import RequestRefused, encode_refusal
from p2pverify.node.ports import Generated, unheard
from p2pverify.node.requests.tickets import Tickets
from tests.node.bench import SOURCE, Bench
from tests.support.networks import MANIFEST

BUSY = encode_refusal(RequestRefused("busy", "later"))


class Ear:
    """Keeps the tokens that it hears."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, ...]] = []

    def __call__(self, tokens: Sequence[int]) -> None:
        self.parts.append(tuple(tokens))


def test_followers_hear_a_job_from_its_beginning() -> None:
    """A second request for the same question hears what was made before. Each answer is completed by its response."""
    tickets, first, second, other = Tickets(Counters()), Ear(), Ear(), Ear()
    with tickets.take(first) as one, tickets.take(second) as two, tickets.take(other) as three:
        tickets.follow(Follow(one.ticket, 7))
        tickets.tell(7, [1])
        tickets.tell(7, [2, 3])
        tickets.follow(Follow(two.ticket, 7))
        tickets.tell(7, [4])
        tickets.tell(8, [9])
        tickets.ended(7)
        tickets.tell(7, [5])
        tickets.respond(Respond(one.ticket, b"answer", (1, 2, 3, 4, 5)))
        assert first.parts == [(1,), (2, 3), (4,), (5,)]
        assert second.parts == [(1, 2, 3), (4,)]
        assert other.parts == []
        assert (one.done.is_set(), two.done.is_set(), three.done.is_set()) == (True, False, False)
    assert len(tickets) == 0


def test_an_answer_is_held_against_its_stream() -> None:
    """An engine whose answer has other tokens than it told gives no answer. A refusal can follow any tokens."""
    counters = Counters()
    tickets = Tickets(counters)
    for tokens, data in (((1, 3), b"answer"), ((1,), b"answer"), ((), b"answer")):
        with tickets.take(unheard) as waiter:
            waiter.tell([1, 2])
            tickets.respond(Respond(waiter.ticket, data, tokens))
            assert b"failed" in waiter.data
    with tickets.take(unheard) as waiter:
        waiter.tell([1, 2])
        tickets.respond(Respond(waiter.ticket, BUSY))
        assert waiter.data == BUSY
    assert counters["answers unlike their stream"] == 3


def test_who_has_left_hears_nothing() -> None:
    """The job goes on, and its response is for nobody."""
    counters, ear = Counters(), Ear()
    tickets = Tickets(counters)
    with tickets.take(ear) as waiter:
        tickets.follow(Follow(waiter.ticket, 7))
    tickets.tell(7, [1])
    tickets.respond(Respond(waiter.ticket, b"answer", (1,)))
    assert ear.parts == []
    assert counters["responses to nobody"] == 1


def _script(event: Event) -> list[Effect]:
    """A machine that computes an answer of four tokens, and stores it before it responds."""
    if isinstance(event, RequestArrived):
        job = Compute(3, Purpose.REQUEST, 2**53, Ask((5,), 4, 0, bytes(32)), model=MANIFEST.digest)
        return [job, Follow(event.ticket, 3)]
    if isinstance(event, Computed):
        stored = StoredAnswer(SOURCE, bytes(32), event.output)
        return [Persist(answers=(stored,)), Respond(1, b"answer", event.output.tokens)]
    return []


async def test_tokens_leave_before_the_disk_has_the_answer_and_the_response_after(nursery: trio.Nursery) -> None:
    """A token is no acknowledgement. Nothing that is acknowledged can be lost."""
    bench, ear = Bench(_script), Ear()
    bench.journal.gate = trio.Event()
    await nursery.start(bench.driver.run, bench.network)
    responses: list[bytes] = []

    async def serve() -> None:
        responses.append(await bench.driver.serve(b"request", SOURCE, ear))

    with trio.fail_after(5):
        async with trio.open_nursery() as inner:
            inner.start_soon(serve)
            await bench.journal.writing.wait()
            assert [token for part in ear.parts for token in part] == list(_made(bench).tokens)
            assert (responses, bench.journal.answers) == ([], [])
            bench.journal.gate.set()
    assert responses == [b"answer"]
    assert [stored.output for stored in bench.journal.answers] == [_made(bench)]
    nursery.cancel_scope.cancel()


async def test_an_answer_outlives_its_asker(nursery: trio.Nursery) -> None:
    """If the asker leaves in the middle, the answer is stored all the same, for its repeat."""
    bench = Bench(_script)
    await nursery.start(bench.driver.run, bench.network)
    left = trio.CancelScope()

    def leave(_tokens: Sequence[int]) -> None:
        left.cancel()

    with trio.fail_after(5), left:
        await bench.driver.serve(b"request", SOURCE, leave)
    with trio.fail_after(5):
        await bench.machine.wait_events(Computed)
        while not bench.journal.answers:
            await trio.lowlevel.checkpoint()
    assert [stored.output for stored in bench.journal.answers] == [_made(bench)]
    assert bench.driver.statistics()["requests waiting"] == 0
    nursery.cancel_scope.cancel()


def _made(bench: Bench) -> Output:
    made: Generated = bench.engine.answer(Ask((5,), 4, 0, bytes(32)))
    return made.output
