"""Attacks by a neighbour that the node fetches records from: it lies in sync sessions."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.replica.strangers.non_members import STRANGER_RECORDS_MAX, STRANGER_RECORDS_MAX_SHARED
from p2pverify.core.roles.context import Context
from p2pverify.core.sync.messages import (
    AskCommon,
    Between,
    Common,
    Digests,
    Fetch,
    Final,
    FinalCut,
    Ids,
    Reconcile,
    Reconciled,
    Records,
    Request,
    decode_answer,
    decode_request,
)
from p2pverify.core.sync.negentropy import FINGERPRINT, FINGERPRINT_BYTES
from p2pverify.core.sync.server import Sync
from p2pverify.net.border.stream import Stream
from p2pverify.net.protocols.sync import PROTOCOL
from tests.attack.enemy import insider
from tests.attack.live import PATIENCE_S, Author, Live, until

Lie = Callable[[Request, bytes], bytes]


def bent(record: Record) -> bytes:
    """The record with another signature and the same id."""
    return record.data.replace(record.signature, os.urandom(64))


class Liar:
    """A neighbour's records and its answers. `lie` gets each request and the right answer."""

    def __init__(self, live: Live, records: list[Record], lie: Lie) -> None:
        self._context = Context(live.node.context.network, bytes(31) + b"l", 0)
        self._sync = Sync(self._context)
        for record in records:
            self._context.ledger.add(record)
        self._lie = lie
        self.asked: list[Request] = []

    def answer(self, data: bytes) -> bytes:
        request = decode_request(data)
        self.asked.append(request)
        return self._lie(request, self._sync.answer(data))

    async def wait_asked(self, kind: type[Request], times: int = 1) -> None:
        """Wait until the node has sent this kind of request `times` times."""
        count = lambda: sum(isinstance(request, kind) for request in self.asked)  # noqa: E731
        await until(lambda: count() >= times, f"{times} {kind.__name__}", lambda: len(self.asked))


@asynccontextmanager
async def lying(live: Live, records: list[Record], lie: Lie):
    """A member of the network's mesh whose sync answers are lies."""
    liar = Liar(live, records, lie)
    async with insider(live.node) as (mesh, _):
        mesh._sync._inbox.sync_answer = liar.answer  # type: ignore[assignment]
        yield liar


def noise(request: Request, answer: bytes) -> bytes:
    return os.urandom(200)


def another(request: Request, answer: bytes) -> bytes:
    return Final(None).encode() if isinstance(request, Reconcile) else answer


def unasked(request: Request, answer: bytes) -> bytes:
    return Records((os.urandom(300),)).encode() if isinstance(request, Fetch) else answer


def too_long(request: Request, answer: bytes) -> bytes:
    return bytes(600_000)


def false_roots(request: Request, answer: bytes) -> bytes:
    return Ids((bytes(32),)).encode()


@pytest.mark.parametrize("lie", [noise, another, unasked, false_roots])
async def test_answers_that_are_none(live: Live, lie: Lie) -> None:
    """Garbage, another request's answer, and unrequested records and ids: the session ends and is counted."""
    records = live.new_author().log(20, live.node.epoch)
    with trio.fail_after(PATIENCE_S):
        async with lying(live, records, lie):
            await until(lambda: live.node.count("net sync_malformed") > 0, "a lie is counted")
    await live.survives("net sync_malformed")


async def test_an_answer_larger_than_allowed(live: Live) -> None:
    """The length alone ends the session, and nothing is kept."""
    with trio.fail_after(PATIENCE_S):
        async with lying(live, [], too_long):
            await until(lambda: live.node.count("net sync_malformed") > 0, "the length is counted")
    await live.survives("net sync_malformed")


async def test_records_that_are_announced_and_never_come(live: Live) -> None:
    """Ids that are not delivered are requested once, by the node and by its neighbour, and not in the next sessions."""
    records = live.new_author().log(1500, live.node.epoch)

    def nothing(request: Request, answer: bytes) -> bytes:
        return Records(()).encode() if isinstance(request, Fetch) else answer

    with trio.fail_after(PATIENCE_S):
        async with lying(live, records, nothing) as liar:
            await liar.wait_asked(AskCommon, 5)
            wanted = [record_id for request in liar.asked if isinstance(request, Fetch) for record_id in request.ids]
    assert len(set(wanted)) == 1500
    assert len(wanted) <= 3000
    await live.survives("net sync_sessions_done")


async def test_records_with_wrong_signatures(live: Live) -> None:
    """They are refused one by one. Other records in the same answer are accepted."""
    author, good = live.new_author(), live.new_author().join(live.node.epoch)
    wrong = author.log(10, live.node.epoch)
    answers = {record.id: bent(record) for record in wrong} | {good.id: good.data}

    def forged(request: Request, answer: bytes) -> bytes:
        return Records(tuple(answers[one] for one in request.ids)).encode() if isinstance(request, Fetch) else answer

    with trio.fail_after(PATIENCE_S):
        async with lying(live, [good, *wrong], forged):
            await until(lambda: good.id in live.node.context.ledger, "the good record is taken")
    assert all(record.id not in live.node.context.ledger for record in wrong)
    await live.survives("judged bad signature")


def fresh_fingerprints() -> Iterator[bytes]:
    """Messages that only say that the sets differ."""
    while True:
        yield b"\x61\x00\x00" + bytes([FINGERPRINT]) + os.urandom(FINGERPRINT_BYTES)


async def test_a_reconciliation_without_end(live: Live) -> None:
    """The session ends after a number of useless rounds, and the next neighbour has its turn."""
    messages = fresh_fingerprints()

    def endless(request: Request, answer: bytes) -> bytes:
        return Reconciled(next(messages)).encode() if isinstance(request, Reconcile) else answer

    with trio.fail_after(PATIENCE_S):
        async with lying(live, [], endless) as liar:
            await liar.wait_asked(Reconcile, 200)
            await until(lambda: live.node.count("net sync_sessions_done") > 0, "the session ends")
    await live.survives("net sync_sessions_done")


async def test_a_certified_cut_that_does_not_exist(live: Live) -> None:
    """The node compares epochs and lists ids without a result, and backs off."""
    numbers = itertools.count(1)

    def invented(request: Request, answer: bytes) -> bytes:
        match request:
            case AskCommon():
                common = decode_answer(answer)
                assert isinstance(common, Common)
                return replace(common, final=FinalCut(bytes(31) + b"c", 2**39, bytes(32), bytes(32))).encode()
            case Between() | Reconcile() | Fetch():
                return answer
        if type(request).__name__ == "AskFinal":
            return Final(FinalCut(bytes(31) + b"c", 2**39, bytes(32), bytes(32))).encode()
        if type(request).__name__ == "AskDigests":
            return Digests(((next(numbers), os.urandom(32)),), False).encode()
        return Ids(tuple(sorted(os.urandom(32) for _ in range(100)))).encode()

    with trio.fail_after(2 * PATIENCE_S):
        async with lying(live, [], invented) as liar:
            await until(lambda: any(isinstance(r, Fetch) for r in liar.asked), "ids are listed and asked for")
    await live.survives("net sync_sessions_done")


async def test_replay_of_a_strangers_log_through_sync(live: Live) -> None:
    """The number of held records of a non-member is limited, whichever peer delivers them. The others are refused.

    The log holds no join: the node's next cut would name it, and the stranger would be a member.
    """
    author: Author = live.new_author()
    first = author.record(Kind.CUT_SIGNATURE, encode([bytes(32)]), live.node.epoch - 500)
    records = [first, *author.log(1000, live.node.epoch)]
    with trio.fail_after(PATIENCE_S):
        async with lying(live, records, lambda request, answer: answer) as liar:
            await liar.wait_asked(AskCommon, 3)
    held = sum(record.id in live.node.context.ledger for record in records)
    assert STRANGER_RECORDS_MAX <= held <= STRANGER_RECORDS_MAX + STRANGER_RECORDS_MAX_SHARED
    await live.survives("net sync_sessions_done")


async def test_answers_that_never_come(live: Live) -> None:
    """A neighbour that delays its answer blocks only one session."""
    asked = trio.Event()

    async def hold(stream: Stream) -> None:
        asked.set()
        await trio.sleep_forever()

    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            mesh._host._handlers[PROTOCOL] = hold
            await live.node.mesh.wait_connected(mesh.peer)
            with trio.move_on_after(5):
                await asked.wait()
            assert asked.is_set()
            await live.is_well()
    await live.survives("net sync_failed")
