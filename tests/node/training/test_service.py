"""Orders of training rounds: own rows, blobs from peers, what is on disk first, and orders that are given up."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import TrainingDone, TrainingJob
from p2pverify.core.training.orders import (
    DrawnRows,
    EvaluateOrder,
    ReportedLosses,
    ReportOrder,
    ShownUpdate,
    TrainedUpdate,
    TrainingFailed,
    TrainingOrder,
    TrainOrder,
)
from p2pverify.core.training.result import RoundResult
from p2pverify.node.data.making import Terms, new_dataset
from p2pverify.node.training.service import ORDERS_MAX, SeenBlobs, TrainingService
from p2pverify.node.user_error import UserError
from tests.node.training.bench import BASE, DATASET, WEIGHTS, Bench, opened
from tests.support.datasets import SCHEMA, rows
from tests.support.training import RULE

DRAWN = DrawnRows(bytes(32), 9, bytes(32), 4, 0, 2)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Feed:
    """The outcomes of a service, and how often it had a new version."""

    def __init__(self, service: TrainingService) -> None:
        self.service = service
        self.sender, self.receiver = trio.open_memory_channel[TrainingDone](100)
        self.ready = 0

    async def outcome(self, order: TrainingOrder) -> object:
        assert self.service.submit_nowait(TrainingJob(7, order)) is None
        done = await self.receiver.receive()
        assert done.job == 7
        return done.outcome

    def note_ready(self) -> None:
        self.ready += 1


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Feed]:
    service = TrainingService(bench.machine, bench.trainer, bench.rows, bench.training.versions, bench.blobs)
    feed = Feed(service)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run, bench.fetcher, feed.sender.send_nowait, feed.note_ready)
        with trio.fail_after(60):
            yield feed
        nursery.cancel_scope.cancel()


def train_order(root: bytes, dataset: bytes = DATASET, base: bytes = BASE.digest) -> TrainOrder:
    return TrainOrder(0, 1, RULE, base, dataset, DrawnRows(root, 9, bytes(32), 4, 0, 2), bytes(32))


def evaluate_order(bench: Bench, *blobs: tuple[bytes, bytes]) -> EvaluateOrder:
    updates = tuple(
        ShownUpdate(author, sha256(update), None, 5, sha256(shown), len(shown), DRAWN, bytes(32))
        for author, (update, shown) in zip(bench.keys[1:], blobs, strict=False)
    )
    return EvaluateOrder(0, 1, RULE, BASE.digest, bytes(32), updates, frozenset(), bytes(32))


def add_rows(bench: Bench) -> bytes:
    """Keep an own data set whose record is DATASET, and return its root."""
    made = new_dataset("cells", SCHEMA, rows(9), Terms("MIT", 0, (), None, 100), None)
    bench.rows.add(replace(made, record=DATASET, told=made.root))
    return made.root


async def test_training_on_own_rows(bench: Bench) -> None:
    """What the outcome names is on disk when it comes."""
    root = add_rows(bench)
    bench.open()
    async with running(bench) as feed:
        found = await feed.outcome(train_order(root))
        assert found == TrainedUpdate(sha256(b"update"), None, 9, sha256(b"shown by me"), 11)
        assert bench.blobs.get(sha256(b"update")) == b"update"
        assert bench.blobs.get(sha256(b"shown by me")) == b"shown by me"


async def test_orders_that_cannot_be_carried_out(bench: Bench) -> None:
    """Each says why, and may be given again."""
    root = add_rows(bench)
    bench.open()
    async with running(bench) as feed:
        for order, why in (
            (train_order(root, b"\x01" * 32), "this home does not have the data set 0101"),
            (train_order(b"\x02" * 32), "the rows of cells are not those that the ledger was told"),
            (train_order(root, base=b"\x03" * 32), "the version from which it starts is not on this machine"),
        ):
            found = await feed.outcome(order)
            assert isinstance(found, TrainingFailed)
            assert found.reason.startswith(why)
        bench.places.clear()
        assert isinstance(await feed.outcome(train_order(root)), TrainingFailed)


async def test_blobs_come_from_the_author_or_from_other_members(bench: Bench) -> None:
    """A peer that sends false bytes is asked once. A blob that nobody has right is missing in the evaluation."""
    one, two, three = (b"first!", b"rows one"), (b"second", b"rows two"), (b"third!", b"rows three")
    bench.open(*(opened(*each) for each in (one, two, three)))
    _, author, other, last = bench.keys
    bench.port.held = {
        author: {sha256(one[0]): one[0], sha256(one[1]): b"no rows!", sha256(two[0]): "busy"},
        other: {sha256(one[1]): one[1], sha256(two[0]): "not-served", sha256(two[1]): two[1]},
        last: {sha256(two[0]): two[0], sha256(three[1]): three[1]},
    }
    for peer in (author, other, last):
        bench.port.held[peer][sha256(three[0])] = b"false!"
    async with running(bench) as feed:
        await until(lambda: bench.fetcher.counters.get("blobs_fetched") == 5)  # before anybody asks for the result
        found = await feed.outcome(evaluate_order(bench, one, two, three))
        assert isinstance(found, RoundResult)
        had = {*one, *two, three[1]}
        assert set(bench.trainer.seen.values()) == had
        assert {bench.blobs.get(sha256(data)) for data in had} == had
        for digest in (found.weights, found.manifest):
            assert bench.blobs.get(digest) is not None
        assert bench.fetcher.counters["blobs_unseen"] == 2
        assert bench.fetcher.counters["blobs_false"] == 7


async def test_losses_on_own_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates are fetched, and one that nobody has is left out. Rows that are not as told are refused at once."""
    monkeypatch.setattr("p2pverify.node.training.service.BLOB_PERMILLE", 20)
    root = add_rows(bench)
    one, two = (b"first!", b"rows one"), (b"second", b"rows two")
    bench.open(opened(*one), opened(*two))
    bench.port.held = {bench.keys[1]: {sha256(one[0]): one[0]}}
    updates = tuple((author, sha256(update)) for author, (update, _) in zip(bench.keys[1:], (one, two), strict=False))
    order = ReportOrder(0, 1, RULE, BASE.digest, DATASET, DrawnRows(root, 9, bytes(32), 0, 0, 0), updates, frozenset())
    async with running(bench) as feed:
        assert await feed.outcome(order) == ReportedLosses((9, 1))
        assert set(bench.trainer.seen.values()) == {one[0]}
        found = await feed.outcome(replace(order, drawn=replace(order.drawn, root=bytes(32))))
        assert isinstance(found, TrainingFailed)
        assert found.reason == "the rows of cells are not those that the ledger was told"


async def test_a_blob_that_cannot_be_kept_fails_the_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one refusal, whatever number of blobs; and blobs are in memory one after the other."""
    given = [(b"first!", b"rows one"), (b"second", b"rows two")]
    bench.open(*(opened(*each) for each in given))
    bench.port.held = {bench.keys[1]: {sha256(data): data for each in given for data in each}}

    def keep(_data: bytes) -> bytes:
        raise UserError("the disk is full")

    monkeypatch.setattr(bench.blobs, "keep", keep)
    async with running(bench) as feed:
        assert await feed.outcome(evaluate_order(bench, *given)) == TrainingFailed("the disk is full")


def test_seen_blobs_are_read_when_they_are_asked_for() -> None:
    """One that is dropped meanwhile, for example after an erasure, is as one that nobody had."""
    held, read = {b"one": b"1", b"two": b"2"}, list[bytes]()

    def get(digest: bytes) -> bytes | None:
        read.append(digest)
        return held.get(digest)

    seen = SeenBlobs(frozenset((b"one", b"gone")), get)
    assert (len(seen), set(seen), read) == (2, {b"one", b"gone"}, [])
    assert (seen.get(b"one"), seen.get(b"two"), seen.get(b"gone")) == (b"1", None, None)
    assert read == [b"one", b"gone"]


async def test_a_round_that_is_over_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = trio.Event()

    async def fetch_blob(*_given: object) -> bytes:
        begun.set()
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(bench.port, "fetch_blob", fetch_blob)
    monkeypatch.setattr("p2pverify.node.training.service.BLOB_PERMILLE", 10**9)
    bench.open(opened(b"first!", b"rows"))
    async with running(bench) as feed:
        assert feed.service.submit_nowait(TrainingJob(1, evaluate_order(bench, (b"first!", b"rows")))) is None
        await begun.wait()
        bench.close()
        feed.service.look_again()
        assert await feed.receiver.receive() == TrainingDone(1, TrainingFailed("the round is over"))


def test_orders_are_bounded(bench: Bench) -> None:
    service = TrainingService(bench.machine, bench.trainer, bench.rows, bench.training.versions, bench.blobs)
    taken = [service.submit_nowait(TrainingJob(n, train_order(bytes(32)))) for n in range(ORDERS_MAX + 1)]
    assert taken[:-1] == [None] * ORDERS_MAX
    assert taken[-1] is not None
    assert isinstance(taken[-1].outcome, TrainingFailed)


async def test_a_version_that_others_decided(bench: Bench) -> None:
    """A node that did not compute it fetches the weights that the votes name, and derives the manifest."""
    version = bench.version(b"weights of version 1")
    weights = sha256(b"weights of version 1")
    bench.port.held = {bench.keys[3]: {weights: b"weights of version 1"}}
    async with running(bench) as feed:
        await until(lambda: feed.ready == 1)
        assert bench.training.manifests[version.manifest].weights == weights
        assert bench.blobs.get(weights) == b"weights of version 1"
        assert bench.blobs.get(version.manifest) is not None
        assert bench.blobs.is_served(weights)
    bench.start()  # from its own disk
    bench.port.held.clear()
    async with running(bench) as feed:
        await until(lambda: feed.ready == 1)
        assert list(bench.training.manifests) == [version.manifest]


async def test_a_version_whose_file_is_made_here(bench: Bench) -> None:
    """Engines load another file than the weights: it is made of these, kept, and not fetched."""
    bench.trainer.serves_another = True
    version = bench.version(b"weights of version 1")
    made = sha256(b"served weights of version 1")
    bench.port.held = {bench.keys[3]: {sha256(b"weights of version 1"): b"weights of version 1"}}
    async with running(bench) as feed:
        await until(lambda: feed.ready == 1)
        assert bench.training.manifests[version.manifest].weights == made
        assert bench.blobs.get(made) == b"served weights of version 1"
        assert bench.blobs.is_served(made)
        bench.final()
        feed.service.look_again()
        await bench.blobs.tidy()
        assert bench.blobs.has(made)


@pytest.mark.parametrize("fault", ["", "another class"])
async def test_a_machine_proves_at_its_start_what_it_can_judge(
    bench: Bench, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Its operator reads in the log if it cannot; it goes on, because it can still serve the line."""
    caplog.set_level("INFO")
    network = bench.machine.network
    bench.machine.network = replace(network, lines=(replace(network.lines[0], training=RULE),))
    bench.trainer.fault = fault
    root = add_rows(bench)
    bench.open()
    async with running(bench) as feed:
        await until(lambda: "judge the updates of line" in caplog.text)
        assert bench.trainer.prepared == [(WEIGHTS, RULE)]
        assert ("cannot judge the updates of line story: another class" in caplog.text) == bool(fault)
        assert isinstance(await feed.outcome(train_order(root)), TrainedUpdate)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await trio.lowlevel.checkpoint()
