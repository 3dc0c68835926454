"""How fast a late joiner takes records over real sockets, and how many round trips peers need that differ by few.

    uv run python -m tests.bench.gossip.bench_sync [--peers 8] [--records 100000] [--cache FILE]

One process serves the records of a simulated network without cheaters; another one joins with an empty database. The
yardstick is one core that checks the signatures of the same records and does nothing else. Making the records takes
longest; a cache keeps them.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.contract.sortition import duty_alpha
from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.events import StoredAnswer, StoredEvidence
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record, decode_record
from p2pverify.core.records.floors import Prune
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.records.payloads.conflict import decode_conflict
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.settle.exchange import StoredCredit
from p2pverify.core.sync.index import RecordIndex
from p2pverify.core.sync.negentropy import Initiator, RangeResponder
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.net.protocols.sync import SyncLimits
from p2pverify.node.driver import Driver
from p2pverify.node.journal import Kept
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.node.fakes import FakeEngine, FakeJournal
from tests.support.worlds import make_world

LOCAL = "/ip4/127.0.0.1/tcp/0"
SERVER, JOINER = b"s" * 32, b"j" * 32
DIFFERENCE = 100


def make_records(peers: int, count: int, path: Path) -> None:
    """Write a network's definition and its first records, each after its length."""
    world = make_world(peers, seed=1, derive_ms=1, answer_ms=1, latency_ms=(1, 3), jitter_ms=0, slots_milli=3000)
    while (held := len(world.peers[0].machine.context.ledger)) < count:
        world.run_epochs(20)
        print(f"\rmaking records: {held}/{count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    with path.open("wb") as file:
        for data in (world.network.encode(), *world.peers[0].disk.read()[0][:count]):
            file.write(len(data).to_bytes(4, "big") + data)


def read_records(path: Path) -> tuple[Network, list[bytes]]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : end])
        at = end
    return decode_network(found[0]), found[1:]


def check_signatures(records: list[Record]) -> int:
    """Only check every Ed25519 signature in the records. Returns the number of checks."""
    checks = 0
    for record in records:
        assert record.is_signed()
        checks += 1
        if record.kind == Kind.AUDIT:
            receipts = [asked.receipt for asked in audit_of(record).asked if asked.receipt is not None]
            assert all(receipt.is_signed() for receipt in receipts)
            checks += len(receipts)
        elif record.kind == Kind.CONFLICT:
            conflict = decode_conflict(record.payload)
            assert conflict.first.is_signed()
            assert conflict.second.is_signed()
            checks += 2
    return checks


def check_proofs(network: Network, records: list[Record]) -> int:
    """Only check every VRF proof in the duties. Returns the number of checks."""
    duties = [decode_duty(record.payload) for record in records if record.kind == Kind.DUTY]
    for duty in duties:
        assert vrf.verify(duty.vrf_key, duty_alpha(network.id, duty.epoch, duty.beacon), duty.proof)
    return len(duties)


def timed(function: Callable[..., int], *arguments: object) -> tuple[float, float, int]:
    """Wall and CPU seconds of a call, and its result."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    found = function(*arguments)
    return time.perf_counter() - begin, time.process_time() - begin_cpu, found


def end_ms(network: Network, records: list[bytes]) -> int:
    """A time after all records. It stands still, so that no peer adds records."""
    return network.params.epoch_start_ms(max(decode_record(data).epoch for data in records[-1000:]) + 2)


async def serve(path: Path) -> None:
    """Serve the records, print the address, and end when standard input closes."""
    network, records = read_records(path)
    now = end_ms(network, records)
    driver = Driver(Machine(network, SERVER, 0, MANIFEST, 512), FakeJournal(), FakeEngine(), clock=lambda: now)
    driver.load(records, ())
    mesh = Libp2pNetwork(SERVER, network.id, [LOCAL], (), driver)
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(mesh.run)
        await nursery.start(driver.run, mesh)
        print(address, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


class _Journal(StoreJournal):
    """The node's journal, which reports when all records are on disk."""

    def __init__(self, store: Store, count: int) -> None:
        super().__init__(store, bytes(32))
        self.full = trio.Event()
        self._missing = count

    async def persist(
        self,
        records: Sequence[Kept],
        answers: Sequence[StoredAnswer],
        evidence: Sequence[StoredEvidence] = (),
        evidence_from: int = 0,
        credit: Sequence[StoredCredit] = (),
        prune: Prune | None = None,
    ) -> None:
        await super().persist(records, answers, evidence, evidence_from, credit, prune)
        self._missing -= len(records)
        if self._missing <= 0:
            self.full.set()


async def join(network: Network, records: list[bytes], address: str) -> tuple[float, float]:
    """Join with an empty home. Returns wall and CPU seconds until all records are in the ledger and in the database."""
    now = end_ms(network, records)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(network, JOINER, 0, MANIFEST, 512)
        store = await trio.to_thread.run_sync(Store.open, Path(folder) / "node.db", network.id, machine.key)
        journal = _Journal(store, len(records))
        driver = Driver(machine, journal, FakeEngine(), clock=lambda: now)
        mesh = Libp2pNetwork(JOINER, network.id, [LOCAL], (address,), driver, sync_limits=SyncLimits(interval_s=0.5))
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            await nursery.start(mesh.run)
            await nursery.start(driver.run, mesh)
            await mesh.wait_connected(public_key(SERVER))
            begin, begin_cpu = time.perf_counter(), time.process_time()
            await journal.full.wait()
            spent = time.perf_counter() - begin, time.process_time() - begin_cpu
            assert machine.context.ledger.statistics()["records"] == len(records)
            assert store.statistics()["records"] == len(records)
            nursery.cancel_scope.cancel()
        store.close()
    return spent


def round_trips(records: list[Record]) -> dict[str, int]:
    """Two peers lack DIFFERENCE records together, scattered over all epochs. Returns how they find out."""
    lacking = random.Random(1).sample(range(len(records)), DIFFERENCE)
    ours, theirs = set(lacking[::2]), set(lacking[1::2])
    mine, others = RecordIndex(), RecordIndex()
    for number, record in enumerate(records):
        if number not in ours:
            mine.add(record.epoch, record.id)
        if number not in theirs:
            others.add(record.epoch, record.id)
    mine.settle()
    others.settle()
    initiator, responder = Initiator(mine), RangeResponder(others)
    found = dict.fromkeys(("round trips", "bytes", "milliseconds", "have", "need"), 0)
    begin = time.perf_counter()
    message: bytes | None = initiator.initiate()
    while message is not None:
        answer = responder.answer(message)
        found["round trips"] += 1
        found["bytes"] += len(message) + len(answer)
        message, differences = initiator.reconcile(answer)
        found["have"] += len(differences.have)
        found["need"] += len(differences.need)
    found["milliseconds"] = round((time.perf_counter() - begin) * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=int, default=8)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        trio.run(serve, chosen.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.cache or Path(folder) / "records"
        if not path.exists():
            make_records(chosen.peers, chosen.records, path)
        network, data = read_records(path)
        data = data[: chosen.records]
        records = [decode_record(each) for each in data]
        sign_wall, sign_cpu, checks = timed(check_signatures, records)
        proof_wall, proof_cpu, proofs = timed(check_proofs, network, records)
        both_wall, both_cpu = sign_wall + proof_wall, sign_cpu + proof_cpu
        count = len(records)
        size = sum(map(len, data)) // count
        rest = both_wall * checks / sign_wall / count
        print(
            f"{count} records of {size} B, each with {checks / count:.2f} Ed25519 signatures and {proofs / count:.2f}"
        )
        print(f"VRF proofs, which takes {rest:.1f} checks of a signature. Per second, and per second of CPU time:")
        print(f"  signatures alone       {count / sign_wall:8.0f} records   {count / sign_cpu:8.0f}")
        print(f"  signatures and proofs  {count / both_wall:8.0f} records   {count / both_cpu:8.0f}")
        found = round_trips(records)
        del records
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.gossip.bench_sync", "--serve", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        assert server.stdin is not None
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        wall, cpu = trio.run(join, network, data, address)
        server.stdin.close()
        server.wait()
        print(f"  late joiner            {count / wall:8.0f} records   {count / cpu:8.0f}")
        print(f"late joiner / signatures alone        {sign_wall / wall:5.2f}   {sign_cpu / cpu:5.2f}")
        print(f"late joiner / signatures and proofs   {both_wall / wall:5.2f}   {both_cpu / cpu:5.2f}")
        print(f"two peers that differ by {DIFFERENCE} among {count}: {found}")


if __name__ == "__main__":
    main()
