"""What a node keeps on disk and in memory, and how long it takes to start, after many records were written and pruned.

Run it by hand: python -m tests.bench.store.bench_window [RECORDS] [--authors N] [--per-epoch N] [--history window|all]
Most records sponsor peers that nobody knows, so they have no effect. Each epoch has a cut that all founders sign. The
records are signed, linked, folded and written as by a node, but not judged.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import trio

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.cut import Cut, CutSignature
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.sponsor import Sponsor
from p2pverify.core.replica.logs.shelf import MemoryShelf
from p2pverify.node.driver import Driver
from p2pverify.node.engines.none import NoEngine
from p2pverify.node.journal import History, Kept
from p2pverify.store.disk import disk_figures
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store
from tests.support.networks import MANIFEST, make_network, seeds

OWN = bytes([9]) * 32


class Writer:
    """Founders that write records into a machine's ledger, and certify cuts."""

    def __init__(self, machine: Machine, founders: list[bytes]) -> None:
        self._machine = machine
        self._founders = founders
        self._keys = {seed: sign.public_key(seed) for seed in founders}
        self._vrf = {seed: vrf.derive_seed(seed) for seed in founders}

    def join(self) -> Iterator[Record]:
        for seed in self._founders:
            yield self._say(seed, Kind.JOIN, Join(0, vrf.public_key(self._vrf[seed])).encode(), 0)

    def epoch(self, epoch: int, count: int) -> Iterator[Record]:
        """Records that stand for unknown peers, then a cut and its signatures."""
        for number in range(count):
            said = Sponsor(sha256(b"%d/%d" % (epoch, number)))
            yield self._say(self._founders[number % len(self._founders)], Kind.SPONSOR, said.encode(), epoch)
        fold = self._machine.fold
        seed = self._founders[epoch % len(self._founders)]
        base, own = fold.latest, self._vrf[seed]
        proof = vrf.prove(own, sortition.propose_alpha(fold.network_id, epoch, base.beacon))
        moved = tuple(fold.ledger.moved(base.heads))
        empty = Cut(epoch, base.id, vrf.public_key(own), proof, moved, bytes(32), bytes(32), bytes(32))
        filled = fold.propose(empty, self._keys[seed])
        assert filled is not None
        cut = self._say(seed, Kind.CUT, filled.encode(), epoch)
        yield cut
        for each in self._founders:
            yield self._say(each, Kind.CUT_SIGNATURE, CutSignature(cut.id).encode(), epoch)

    def _say(self, seed: bytes, kind: Kind, payload: bytes, epoch: int) -> Record:
        ledger, key = self._machine.fold.ledger, self._keys[seed]
        head = ledger.head(key)
        seq, prev = (0, NO_PREV) if head is None else (head[1] + 1, head[2])
        network = self._machine.fold.network_id
        made = make_record(seed, key, network, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload)
        for added in ledger.add(made):
            self._machine.fold.take(added)
        return made


def rss() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def make(options: argparse.Namespace, store: Store) -> tuple[Machine, list[bytes]]:
    founders = seeds(options.authors, "bench")
    shelf = MemoryShelf() if options.in_memory else store.shelf
    return Machine(make_network(founders), OWN, 0, MANIFEST, 1024, shelf=shelf), founders


def opened(options: argparse.Namespace) -> Store:
    return Store.open(options.path, make_network(seeds(options.authors, "bench")).id, sign.public_key(OWN))


async def grow(options: argparse.Namespace) -> None:
    """Write the records, epoch by epoch. Prints size and memory now and then."""
    with closing(opened(options)) as store:
        machine, founders = make(options, store)
        journal = StoreJournal(store, machine.key, options.history)
        journal.load_into(Driver(machine, journal, NoEngine()))  # so that the file says who judged its records
        writer = Writer(machine, founders)
        began, written, epoch, told = time.process_time(), 0, 0, 0
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            batch = list(writer.join())
            while written < options.records:
                machine.fold.settle()
                moved = machine.context.horizon.advance()
                await journal.persist([Kept(record, True) for record in batch], [], prune=moved[0] if moved else None)
                written += len(batch)
                if written - told >= options.records // 10:
                    told = written
                    show(store, written, time.process_time() - began)
                epoch += 1
                batch = list(writer.epoch(epoch, options.per_epoch))
            nursery.cancel_scope.cancel()
        show(store, written, time.process_time() - began)


def show(store: Store, written: int, seconds: float) -> None:
    figures = store.statistics()
    size = disk_figures(store.path)["bytes"]
    print(
        f"{written:>9} written, {figures['records']:>8} held, {size / 1e6:>7.1f} MB, "
        f"{size / max(1, figures['records']):>6.0f} B a held record, RSS {rss() / 1e6:>6.1f} MB, "
        f"{seconds:>6.1f} s CPU, {1e6 * seconds / written:>4.0f} us a record",
        flush=True,
    )


def start(options: argparse.Namespace) -> None:
    """Start as a node does, and print the time, the memory, and how long reads take."""
    before, began = rss(), time.process_time()
    with closing(opened(options)) as store:
        checked = time.process_time()
        machine, _ = make(options, store)
        journal = StoreJournal(store, machine.key, options.history)
        taken = journal.load_into(Driver(machine, journal, NoEngine()))
        loaded = time.process_time()
        ids = [record_id for _, _, record_id in machine.fold.ledger.heads()]
        ids += [record.id for record in machine.fold.ledger.records()][:: max(1, taken // 5000)]
        asked = time.process_time()
        for record_id in ids:
            machine.fold.ledger.get(record_id)
        read = time.process_time() - asked
        print(
            f"start, records {'in memory' if options.in_memory else 'on disk'}: {loaded - began:.2f} s CPU "
            f"({checked - began:.2f} s to check the file), {taken} records, "
            f"cut {machine.fold.latest.index}; RSS {before / 1e6:.1f} -> {rss() / 1e6:.1f} MB, "
            f"{(rss() - before) / max(1, taken):.0f} B a record; a read {1e6 * read / len(ids):.0f} us"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, nargs="?", default=100_000)
    parser.add_argument("--authors", type=int, default=20)
    parser.add_argument("--per-epoch", type=int, default=400)
    parser.add_argument("--history", choices=("window", "all"), default="window")
    parser.add_argument("--in-memory", action="store_true", help="with --path: keep all records as objects")
    parser.add_argument("--path", type=Path, help="start with this database, and write nothing")
    options = parser.parse_args()
    history: History = options.history
    options.history = history
    if options.path is not None:
        start(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.path = Path(folder) / "node.db"
        trio.run(grow, options)
        again = [sys.executable, "-m", __spec__.name, "--authors", str(options.authors), "--path", str(options.path)]
        for more in ([], ["--in-memory"]):
            subprocess.run([*again, *more], check=True)  # another process, so that its memory is its own


if __name__ == "__main__":
    main()
