"""How many records per second the store keeps, by batch size and by how long a commit waits for the disk.

Run it by hand: python tests/bench/store/bench_store.py [--directory DIR] [--seconds S]
The directory should be on the disk that will hold the node's home.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import trio

from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutRecord

NETWORK = bytes(32)
OWN = bytes([1]) * 32
STRANGER = bytes([2]) * 32
RECORD_BYTES = 400


def record(author: bytes, seq: int) -> PutRecord:
    data = seq.to_bytes(8, "big") + bytes(RECORD_BYTES - 8)
    return PutRecord(hashlib.sha256(author + data).digest(), author, seq, 5, 1, data)


async def measure(directory: Path, *, callers: int, per_append: int, author: bytes, full: bool, seconds: float) -> None:
    """Let `callers` tasks append for some seconds and print one line."""
    sequence = 0
    waits_ms: list[float] = []

    async def caller(store: Store) -> None:
        nonlocal sequence
        while time.perf_counter() < end:
            records = [record(author, sequence + i) for i in range(per_append)]
            sequence += per_append
            before = time.perf_counter()
            await store.append(records)
            waits_ms.append((time.perf_counter() - before) * 1e3)

    with tempfile.TemporaryDirectory(dir=directory) as made:
        path = Path(made) / "node.db"
        with closing(Store.open(path, NETWORK, OWN)) as store:
            if not full:
                store._writer.execute("PRAGMA synchronous = NORMAL")
            begin = time.perf_counter()
            end = begin + seconds
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                async with trio.open_nursery() as tasks:
                    for _ in range(callers):
                        tasks.start_soon(caller, store)
                took = time.perf_counter() - begin
                nursery.cancel_scope.cancel()
            counted = store.statistics()
        begin = time.perf_counter()
        with closing(Store.open(path, NETWORK, OWN)) as store:
            opened = time.perf_counter()
            read = sum(1 for _ in store.load_records())
            loaded = time.perf_counter()
        assert read == counted["records"]
    waits_ms.sort()
    print(
        f"{'FULL' if full else 'NORMAL':<7}{'own' if author == OWN else 'other':<6}"
        f"{callers:>8}{per_append:>11}{counted['records'] / took:>11.0f}{counted['batches'] / took:>11.0f}"
        f"{statistics.median(waits_ms):>10.2f}{waits_ms[int(len(waits_ms) * 0.99)]:>10.2f}"
        f"{(opened - begin) * 1e3:>10.1f}{read / (loaded - opened):>12.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    print("sync   author callers  rec/append  records/s  commits/s    p50 ms    p99 ms   open ms      read/s")
    for full in (False, True):
        for author, callers, per_append in (
            (OWN, 1, 1),
            (STRANGER, 1, 1),
            (STRANGER, 16, 1),
            (STRANGER, 256, 1),
            (STRANGER, 1, 256),
            (STRANGER, 4, 1024),
        ):
            trio.run(
                lambda a=author, c=callers, p=per_append, f=full: measure(
                    options.directory, callers=c, per_append=p, author=a, full=f, seconds=options.seconds
                )
            )


if __name__ == "__main__":
    main()
