"""A process that appends own records for ever and prints each acknowledged id. Tests kill it.

Usage: appender.py DATABASE NETWORK_HEX OWN_HEX. Three writers share the sequence, so that batches mix.
"""

import hashlib
import os
import sys
from pathlib import Path

import trio

from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutAnswer, PutRecord


def record_of(own: bytes, seq: int) -> PutRecord:
    """A record whose id determines its bytes."""
    data = seq.to_bytes(8, "big") * 40
    return PutRecord(id=hashlib.sha256(data).digest(), author=own, seq=seq, kind=5, epoch=1, data=data)


async def append_for_ever(store: Store, own: bytes, first: int, step: int) -> None:
    seq = first
    while True:
        record = record_of(own, seq)
        await store.append([record, PutAnswer(own, seq.to_bytes(8, "big"), b"answer")])
        os.write(1, f"{seq} {record.id.hex()}\n".encode())
        seq += step


async def main(path: Path, network: bytes, own: bytes) -> None:
    store = Store.open(path, network, own)
    start = max((seq for seq, _ in store.load_own_log()), default=-1) + 1
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        for writer in range(3):
            nursery.start_soon(append_for_ever, store, own, start + writer, 3)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3]))
