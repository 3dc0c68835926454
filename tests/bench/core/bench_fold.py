"""How fast records are judged, stored and folded: CPU time, of storing the time that passes, and ratios to one Ed25519
check on this machine.

    uv run python -m tests.bench.core.bench_fold [--peers 8] [--records 100000]

Records come from a simulated network without cheaters, made in this process; making them takes most of the time.
"""

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.sortition import vrf_output
from p2pverify.core.encoding import decode_once, sign
from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import FAR_FUTURE, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import take_records
from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutRecord
from tests.support.worlds import make_world


def make_records(peers: int, count: int) -> tuple[Network, list[Record]]:
    world = make_world(peers, seed=1, derive_ms=1, answer_ms=1, latency_ms=(1, 3), jitter_ms=0, slots_milli=3000)
    while len(world.peers[0].machine.context.ledger) < count:
        world.run_epochs(20)
        held = len(world.peers[0].machine.context.ledger)
        print(f"\rmaking records: {held}/{count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rules = Rules(world.network, world.network.id, FAR_FUTURE)
    return world.network, [judge(data, rules) for data in world.peers[0].disk.read()[0][:count]]


def signature_check_s() -> float:
    seed, message = bytes(32), bytes(300)
    key, signature = sign.public_key(seed), sign.sign(seed, message)
    begin = time.process_time()
    for _ in range(2000):
        assert sign.verify(key, message, signature)
    return (time.process_time() - begin) / 2000


def fold_s(network: Network, records: list[Record]) -> tuple[float, Fold]:
    ledger = Ledger()
    fold = Fold(network, ledger)
    begin = time.process_time()
    for record in records:
        for added in ledger.add(record):
            fold.take(added)
    fold.settle()
    return time.process_time() - begin, fold


def one_more_s(fold: Fold) -> float:
    """CPU seconds for the provisional view after one more record."""
    begin = time.process_time()
    for _ in range(20):
        fold.provisional(fold.latest.epoch + 1)
    return (time.process_time() - begin) / 20


def forget() -> None:
    """Clear the caches of proofs and payloads."""
    decode_once.forget()
    vrf_output.cache_clear()
    decode_cut.cache_clear()


def load_s(network: Network, records: list[Record]) -> float:
    """CPU seconds of a late joiner's core for new bytes: judge, link, fold."""
    forget()
    fold = Fold(network, Ledger())
    begin = time.process_time()
    for _ in take_records(fold, Rules(network, network.id, FAR_FUTURE), (record.data for record in records), _fail):
        pass
    return time.process_time() - begin


def _fail(number: int, refused: GossipIgnore | GossipReject) -> None:
    raise AssertionError(f"record {number}: {refused.reason}")


def judge_s(network: Network, records: list[Record]) -> float:
    """CPU seconds for the judgement of new bytes."""
    forget()
    rules = Rules(network, network.id, FAR_FUTURE)
    begin = time.process_time()
    for record in records:
        judge(record.data, rules)
    return time.process_time() - begin


async def store_s(network: Network, records: list[Record]) -> float:
    writes = [PutRecord(r.id, r.author, r.seq, r.kind, r.epoch, r.data, received=True) for r in records]
    with tempfile.TemporaryDirectory() as folder:
        store = await trio.to_thread.run_sync(Store.open, Path(folder) / "node.db", network.id, bytes(32))
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            begin = time.perf_counter()
            for at in range(0, len(writes), 256):
                await store.append(writes[at : at + 256])
            spent = time.perf_counter() - begin
            nursery.cancel_scope.cancel()
        store.close()
    return spent


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--peers", type=int, default=8)
    arguments.add_argument("--records", type=int, default=100_000)
    chosen = arguments.parse_args()
    network, records = make_records(chosen.peers, chosen.records)
    gc.collect()  # the simulated peers are removed, so that one process holds one ledger
    check = signature_check_s()
    sample = records[-20_000:]
    small = max(1, len(records) // 100)
    _, small_fold = fold_s(network, records[:small])
    whole, fold = fold_s(network, records)  # after judgement, as in a node, so duties' proofs are cached
    judged = judge_s(network, sample) / len(sample)
    stored = trio.run(store_s, network, sample) / len(sample)
    few, many = one_more_s(small_fold), one_more_s(fold)
    loaded = load_s(network, records)
    count, both = len(records), judged + stored
    rows = [
        ("one signature check", check, f"1.0 checks, {1 / check:.0f}/s"),
        ("judge a record", judged, f"{judged / check:.1f} checks, {1 / judged:.0f}/s"),
        ("judge and store a record", both, f"{both / check:.1f} checks, {1 / both:.0f}/s"),
        (f"fold {count} records", whole, f"{whole / count / check:.1f} checks a record, {fold.latest.index} cuts"),
        (f"judge and fold {count} records", loaded, f"{loaded / count / check:.1f} checks, {count / loaded:.0f}/s"),
        (f"view after one more at {small}", few, "1.0"),
        (f"view after one more at {count}", many, f"{many / few:.2f} times that"),
    ]
    for name, seconds, ratio in rows:
        print(f"{name:<32} {seconds * 1000:>12.3f} ms   {ratio}")


if __name__ == "__main__":
    main()
