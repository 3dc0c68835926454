"""How fast a model file comes from peers, beside a plain stream of the same bytes between the same hosts.

    uv run python -m tests.bench.net.bench_blobs [--file MODEL.gguf]

Every peer is a process of its own on loopback. The file is the bundled model. It is fetched from one honest peer, and
from three, of which one sends false bytes and one is killed when a third of the file is here. Both times the file must
come out whole, by its SHA-256. The plain stream has libp2p, Noise and Yamux, and no requests, checks or files.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.counters import Counters
from p2pverify.engine.gguf import weights
from p2pverify.net.border.host import Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.stream import Stream
from p2pverify.node.blobs.fetcher import BlobFetcher, BlobProgress
from p2pverify.node.blobs.serving import BlobServer, InventingServer
from p2pverify.node.endpoints.address import parse_address
from p2pverify.store.blobs.measure import measure_file
from p2pverify.store.blobs.store import BlobStore
from tests.net.real_peers import LOCAL, join, seed_of

PLAIN = "/plain/1"
PIECE = 1024 * 1024
GOAL_MB_PER_S = 15


async def serve(kind: str, name: str, path: Path) -> None:
    """Serve the file, print the address, and end when standard input closes."""
    async with trio.open_nursery() as nursery:
        if kind == "plain":
            print(await _serve_plain(nursery, path), flush=True)
        else:
            with tempfile.TemporaryDirectory() as folder:
                store = BlobStore(Path(folder), 0)
                entry = store.register(path).entry(path.name)
                allowed = {entry.sha256: entry}
                server = (InventingServer if kind == "lying" else BlobServer)(store, lambda: allowed)
                print((await join(nursery, name, blobs=server)).address, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def _serve_plain(nursery: trio.Nursery, path: Path) -> str:
    host = Host(seed_of("plain"), [LOCAL], Counters())

    async def answer(stream: Stream) -> None:
        with path.open("rb") as file:
            while data := file.read(PIECE):
                await stream.write(data)

    host.handle(PLAIN, answer)
    nursery.start_soon(host.run, host.listen(), _attend, lambda _link: None)
    return str(host.addresses[0])


async def _attend(_link: Link) -> None:
    await trio.sleep_forever()


async def plain(address: str, size: int) -> float:
    """Seconds for all bytes over one stream."""
    async with trio.open_nursery() as nursery:
        host = Host(seed_of("reader"), [LOCAL], Counters())
        nursery.start_soon(host.run, host.listen(), _attend, lambda _link: None)
        link = await host.dial(parse_address(address))
        async with await link.open_stream(PLAIN) as stream:
            begin, got = time.perf_counter(), 0
            while data := await stream.read_some():
                got += len(data)
            spent = time.perf_counter() - begin
        assert got == size
        nursery.cancel_scope.cancel()
    return spent


async def fetch(entry: FileEntry, processes: list["Serving"], victim: int | None) -> tuple[float, float, Counters]:
    """Wall and CPU seconds of a download, and what the fetcher has counted. A third of the way the victim is killed."""
    with tempfile.TemporaryDirectory() as folder:
        store = BlobStore(Path(folder) / "blobs", 10 * entry.size)

        def watch(progress: BlobProgress) -> None:
            if victim is not None and progress.done > entry.size / 3:
                processes[victim].process.kill()

        async with trio.open_nursery() as nursery:
            peer = await join(nursery, "fetcher", *(each.address for each in processes))
            keys = [key for each in processes if (key := parse_address(each.address).peer) is not None]
            for key in keys:
                await peer.mesh.wait_connected(key)
            allowed = {entry.sha256: entry}
            fetcher = BlobFetcher(peer.mesh, store, lambda: allowed)
            begin, begin_cpu = time.perf_counter(), time.process_time()
            path = await fetcher.fetch(entry, keys, progress=watch)
            spent = time.perf_counter() - begin, time.process_time() - begin_cpu
            assert measure_file(path).sha256 == entry.sha256
            nursery.cancel_scope.cancel()
    return *spent, fetcher.counters


class Serving:
    """A process that serves the file."""

    def __init__(self, kind: str, name: str, path: Path) -> None:
        arguments = [sys.executable, "-m", "tests.bench.net.bench_blobs", "--file", str(path), "--serve", kind]
        self.process = subprocess.Popen(
            [*arguments, "--name", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path)
    parser.add_argument("--serve", choices=("plain", "honest", "lying"), help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    path = chosen.file or weights.bundled()
    if chosen.serve:
        trio.run(serve, chosen.serve, chosen.name, path)
        return
    entry = measure_file(path).entry(path.name)
    megabytes = entry.size / 1e6
    serving = Serving("plain", "plain", path)
    reference = megabytes / trio.run(plain, serving.address, entry.size)
    serving.end()
    print(f"{path.name}, {megabytes:.0f} MB          MB/s   of the plain stream   CPU s of the fetcher   counted")
    print(f"  plain stream                     {reference:6.1f}                  1.00")
    rate = 0.0
    for title, kinds, victim in (
        ("one honest peer", ("honest",), None),
        ("three: honest, lying, killed", ("honest", "lying", "honest"), 2),
    ):
        processes = [Serving(kind, f"{kind} {number}", path) for number, kind in enumerate(kinds)]
        wall, cpu, counted = trio.run(fetch, entry, processes, victim)
        for each in processes:
            each.end()
        rate = megabytes / wall
        print(f"  {title:<32} {rate:6.1f}                  {rate / reference:4.2f}   {cpu:20.1f}   {dict(counted)}")
    print(f"the goal from three peers is {GOAL_MB_PER_S} MB/s: {'reached' if rate >= GOAL_MB_PER_S else 'missed'}")


if __name__ == "__main__":
    main()
