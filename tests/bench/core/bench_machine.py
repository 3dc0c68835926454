"""What a machine costs in a network of many, in CPU time: per event, per cut, and in memory.

    uv run python -m tests.bench.core.bench_machine [--members 1000] [--weighted 16] [--watchers 4] [--epochs 6]

Machines of all weighted members and of a few watchers without weight run in virtual time and share one memo, as in a
simulated world; the other members only write records. Each record travels alone, as in the worst case by gossip.
"""

import argparse
import gc
import heapq
import itertools
import time
import tracemalloc
from collections import defaultdict

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import AskFailed, Compute, Computed, Event, GossipArrived, Publish, RecordBatch, Send, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.vote import Vote
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.logs.shelf import SharedShelf
from p2pverify.core.replica.memo import Memo
from tests.support.networks import MANIFEST, make_network, seeds

LATENCY_MS = 20


class Author:
    """A member that only writes."""

    def __init__(self, network: Network, seed: bytes) -> None:
        self.network, self.seed, self.key = network.id, seed, sign.public_key(seed)
        self.last: Record | None = None

    def write(self, kind: Kind, payload: bytes, epoch: int) -> bytes:
        seq, prev = (0, NO_PREV) if self.last is None else (self.last.seq + 1, self.last.id)
        self.last = make_record(
            self.seed, self.key, self.network, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload
        )
        return self.last.data

    def join(self, epoch: int) -> bytes:
        return self.write(Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(self.seed))).encode(), epoch)

    def vote(self, epoch: int) -> bytes:
        """A vote in an unknown dispute: a record that moves a head and has no effect."""
        vote = Vote(DisputeKey(bytes(32), epoch - 1, 0), bytes(32), 0, bytes(32), (bytes(32),))
        return self.write(Kind.VOTE, vote.encode(), epoch)


class Bench:
    """Machines, a queue of events, and the time of handling them, by role and kind of event."""

    def __init__(self, members: int, weighted: int, watchers: int) -> None:
        identities = seeds(members, "bench")
        self.network = make_network(identities, founders=weighted, epoch_ms=10_000, slots_milli=1000)
        self.memo = Memo()
        self.machines = [
            Machine(self.network, seed, 0, MANIFEST, 4096, memo=self.memo) for seed in identities[: weighted + watchers]
        ]
        self.authors = [Author(self.network, seed) for seed in identities[weighted + watchers :]]
        self.weighted = weighted
        self.now = self.network.params.genesis_ms
        self.spent: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._queue: list[tuple[int, int, int, Event]] = []
        self._order = itertools.count()
        self._judged: set[bytes] = set()
        for which in range(len(self.machines)):
            self._post(which, Tick(), 0)

    def _post(self, which: int, event: Event, delay: int) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._order), which, event))

    def run(self, until_ms: int) -> None:
        while self._queue and self._queue[0][0] < until_ms:
            self.now, _, which, event = heapq.heappop(self._queue)
            self._handle(which, event)
        self.now = until_ms

    def _handle(self, which: int, event: Event) -> None:
        machine = self.machines[which]
        what = self._name(event)
        before = machine.fold.latest
        begin = time.process_time()
        effects = machine.handle(event, self.now)
        wake = machine.next_wake_ms(self.now)
        spent = time.process_time() - begin
        if machine.fold.latest is not before:
            what = "a record with which a cut becomes final"
        elif any(isinstance(effect, Publish) for effect in effects):
            what += ", and writes"
        self.spent["weighted" if which < self.weighted else "watcher", what].append(spent)
        if isinstance(event, Tick):
            self._post(which, Tick(), max(1, wake - self.now))
        for effect in effects:
            if isinstance(effect, Publish):
                for data in effect.records:
                    self.publish(data, which)
            elif isinstance(effect, Send):
                self._post(which, AskFailed(effect.ask, "nobody there"), 5)
            elif isinstance(effect, Compute):
                prompt = tuple(sha256(effect.prompt_seed or b"")[: effect.prompt_tokens])
                self._post(which, Computed(effect.job, prompt, Output(prompt, "stop"), 1, 1, 1), 5)

    def _name(self, event: Event) -> str:
        if isinstance(event, GossipArrived):
            known = event.records[0] in self._judged
            self._judged.update(event.records)
            return "a record judged before" if known else "a record never judged"
        return type(event).__name__

    def publish(self, data: bytes, source: int = -1) -> None:
        batch = RecordBatch((data,), self.machines[max(source, 0)].key)
        for which in range(len(self.machines)):
            if which != source:
                self._post(which, GossipArrived((batch,)), LATENCY_MS)

    def epoch(self, number: int, writers: list[Author], *, joining: bool) -> None:
        start = self.network.params.epoch_start_ms(number)
        self.run(start + 100)
        for author in writers:
            self.publish(author.join(number) if joining else author.vote(number))
        self.run(start + self.network.params.epoch_ms)


def ledger_bytes(machine: Machine) -> tuple[float, float]:
    """Bytes per record of one more ledger over the same records, with the shelf of a memo and with its own."""
    records = list(machine.context.ledger.records())
    shared = SharedShelf()
    for record in records:
        shared.put(record)
    found = []
    for shelf in (shared, None):
        gc.collect()
        tracemalloc.start()
        ledger = Ledger(shelf)
        for record in records:
            ledger.add(record)
        found.append(tracemalloc.get_traced_memory()[0] / len(records))
        tracemalloc.stop()
    return found[0], found[1]


def main() -> None:
    arguments = argparse.ArgumentParser()
    for name, default in (("members", 1000), ("weighted", 16), ("watchers", 4), ("epochs", 6), ("writers", 200)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    chosen = arguments.parse_args()
    bench = Bench(chosen.members, chosen.weighted, chosen.watchers)
    waiting, epoch = list(bench.authors), 0
    while waiting or len(bench.machines[0].fold.latest.members) < chosen.members:
        bench.epoch(epoch, waiting[:14], joining=True)
        del waiting[:14]
        epoch += 1
    bench.spent.clear()
    writers = bench.authors[: chosen.writers]
    for number in range(epoch, epoch + chosen.epochs):
        bench.epoch(number, writers, joining=False)
    latest = bench.machines[0].fold.latest
    print(
        f"{len(latest.members)} members, {latest.total_weight} with weight, final in epoch {latest.epoch} of {number}"
    )
    for (role, what), times in sorted(bench.spent.items()):
        times.sort()
        mean, middle = sum(times) / len(times), times[len(times) // 2]
        print(
            f"{role:<9} {what:<42} {len(times) / chosen.epochs:>8.1f} per epoch"
            f"   mean {mean * 1e6:>8.1f} us   median {middle * 1e6:>8.1f} us   max {times[-1] * 1e6:>9.0f} us"
        )
    for role, count in (("weighted", chosen.weighted), ("watcher", chosen.watchers)):
        whole = sum(sum(times) for (of, _), times in bench.spent.items() if of == role)
        print(f"{role:<9} {whole / count / chosen.epochs * 1000:.2f} ms per machine and epoch")
    shared, own = ledger_bytes(bench.machines[-1])
    held = len(bench.machines[-1].context.ledger)
    print(f"memory of one more ledger of {held} records: {shared:.0f} B each with the ids of a memo, {own:.0f} B alone")


if __name__ == "__main__":
    main()
