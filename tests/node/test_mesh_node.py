"""Nodes with real sockets, real databases and a toy engine, all in one process."""

import hashlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.inference.question import Question, Request, decode_response, encode_request, sign_request
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.engine.toy import ToyEngine
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.net.protocols.sync import SyncLimits
from p2pverify.node.driver import Driver, unix_ms
from p2pverify.node.engines.classes import match_class
from p2pverify.node.files.networkfile import new_network
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.overview import NodeReports
from p2pverify.node.requests.asking import ask_streaming
from p2pverify.store.integrity.checkup import check_up
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store

LOCAL = "/ip4/127.0.0.1/tcp/0"
EPOCH_MS = 400
PATIENCE_S = 120  # a busy machine misses many epochs


@dataclass
class Node:
    """One running node and its parts."""

    driver: Driver
    mesh: Libp2pNetwork
    store: Store
    reports: NodeReports
    address: str


def seed_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def network_of(*names: str) -> tuple[Network, tuple[object, ...]]:
    founders = [sign.public_key(seed_of(name)) for name in names]
    return new_network(
        "small",
        founders,
        ToyEngine().info,
        genesis_ms=unix_ms() - EPOCH_MS,
        epoch_ms=EPOCH_MS,
        slots_milli=1000,
        panel_size=1,
        greedy_percent=0,
        spot_check_permille=0,
    )


@asynccontextmanager
async def running(name: str, made: tuple[Network, tuple], directory: Path, *bootstrap: str) -> AsyncIterator[Node]:
    """A node from its parts, assembled as in the application."""
    network, manifests = made
    seed, engine = seed_of(name), ToyEngine()
    store = Store.open(directory / f"{name}.db", network.id, sign.public_key(seed))
    try:
        index, manifest = match_class(network, manifests, engine.info)
        machine = Machine(network, seed, index, manifest, engine.info.context_tokens, hardware="testbox")
        journal = StoreJournal(store, machine.key)
        driver = Driver(machine, journal, engine)
        journal.load_into(driver)
        mesh = Libp2pNetwork(seed, network.id, [LOCAL], bootstrap, driver, sync_limits=SyncLimits(interval_s=0.3))
        reports = NodeReports(driver, mesh, journal, engine.info)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            addresses = await nursery.start(mesh.run)
            await nursery.start(driver.run, mesh)
            yield Node(driver, mesh, store, reports, addresses[0])
            nursery.cancel_scope.cancel()
    finally:
        store.close()


async def test_two_nodes_agree_on_cuts_and_survive_a_restart(tmp_path):
    """Alice and Bob certify cuts and audit each other, and Bob continues his own log after a restart."""
    made = network_of("alice", "bob")
    with trio.fail_after(PATIENCE_S):
        async with running("alice", made, tmp_path) as alice:
            async with running("bob", made, tmp_path, alice.address) as bob:
                await alice.driver.wait_final(4)
                await bob.driver.wait_final(4)
                own = bob.driver.machine.key
                said = [record.id for record in bob.driver.machine.context.ledger.chain(own)]
                check_reports(alice, bob)
            async with running("bob", made, tmp_path, alice.address) as bob:
                ledger = bob.driver.machine.context.ledger
                kept = [record.id for record in ledger.chain(own)]
                assert kept[: len(said)] == said[: len(kept)]  # records that were not on disk were not published
                assert len(kept) > 4
                assert bob.driver.machine.context.silence.is_on
                await bob.driver.wait_final(bob.driver.machine.fold.latest.index + 2)
                await alice.driver.wait_final(bob.driver.machine.fold.latest.index)
                chain = list(ledger.chain(own))
                assert len(chain) > len(kept)
                assert [record.seq for record in chain] == list(range(len(chain)))
                assert ledger.statistics()["forked"] == 0
                assert alice.driver.machine.fold.latest.members[own].fork_until == -1
                for node in (alice, bob):
                    assert "internal faults" not in node.driver.statistics()


def _question(made: tuple[Network, tuple], requester: str, responder: str) -> tuple[Request, bytes, Question]:
    """A request for 200 tokens, and its bytes."""
    network, seed = made[0], seed_of(requester)
    prompt, key = (1, *b"tell me", 2), sign.public_key(seed)
    question = Question(network.classes[0].manifest, prompt, 200, 900, bytes(16), key)
    expiry = network.params.epoch_at(unix_ms()) + 32
    request = Request(network.id, key, sign.public_key(seed_of(responder)), question.id, os.urandom(32), expiry)
    return request, encode_request(request, question, sign_request(seed, request)), question


async def test_a_question_streams_from_the_own_engine_and_from_a_peer(tmp_path):
    """Both give all tokens, and then a response whose receipt covers them. After a restart the store gives the same."""
    made = network_of("alice", "bob")
    with trio.fail_after(PATIENCE_S):
        async with running("alice", made, tmp_path) as alice:
            request, data, question = _question(made, "alice", "alice")
            heard: list[int] = []
            response = await alice.driver.serve(data, request.requester, heard.extend)
            answer = decode_response(response, request)
            assert tuple(heard) == answer.output.tokens == ToyEngine().answer(question.ask).output.tokens
            async with running("bob", made, tmp_path, alice.address) as bob:
                await bob.mesh.wait_connected(request.responder)
                request, data, question = _question(made, "bob", "alice")
                first: list[int] = []
                reply = await ask_streaming(
                    bob.mesh, request.responder, data, tokens_max=question.tokens_max, hear=first.extend
                )
                answer = decode_response(reply.data, request)
                assert tuple(first) == answer.output.tokens == ToyEngine().answer(question.ask).output.tokens
        async with running("alice", made, tmp_path) as alice:
            again: list[int] = []
            response = await alice.driver.serve(data, request.requester, again.extend)
            assert decode_response(response, request).output == answer.output
            assert again == first


def check_reports(alice: Node, bob: Node) -> None:
    """Two nodes with a common final cut report the same about it, in the documented shape."""
    cuts = [{cut.cut: cut for cut in node.reports.status().recent_cuts} for node in (alice, bob)]
    common = set(cuts[0]) & set(cuts[1])
    assert common
    assert all(cuts[0][cut] == cuts[1][cut] for cut in common)
    status = bob.reports.status()
    assert status.neighbours == 1
    assert status.final.index == status.recent_cuts[-1].index
    assert [cut.index for cut in status.recent_cuts] == list(range(1, status.final.index + 1))
    assert bob.reports.peers().peers[0].standing
    scores = bob.reports.scores(final=True)
    assert len(scores.scores) == 2
    assert scores.cut == status.final.cut
    check_speed(bob, scores)
    assert bob.reports.scores(final=False).cut is None
    audits = bob.reports.audits(limit=100).audits
    assert audits
    assert {audit.status for audit in audits} <= {"waiting", "agreed", "unanswered"}
    assert [audit.epoch for audit in audits] == sorted((audit.epoch for audit in audits), reverse=True)
    assert bob.reports.audits(limit=1).audits == audits[:1]
    counters = bob.reports.figures()
    assert counters["judged accepted"] > 0
    assert 0 < counters["driver records persisted"] <= counters["store records_added"]  # the driver counts later
    assert all(type(value) is int for value in counters.values())


def check_speed(node: Node, scores: ScoresDocument) -> None:
    """Every audited answer has a time. Two peers are too few for a judgement of their hardware claims."""
    records = node.driver.machine.context.ledger.records()
    asked = [one for record in records if record.kind == Kind.AUDIT for one in audit_of(record).asked]
    assert any(one.receipt is not None for one in asked)
    assert all((one.receipt is not None) is (one.elapsed_ms > 0) for one in asked)
    assert {score.hardware.claim for score in scores.scores} == {"testbox"}
    assert {score.hardware.fit for score in scores.scores} == {"too few"}
    (group,) = scores.hardware
    assert (group.claim, group.peers, group.consistent, group.inconsistent) == ("testbox", 2, 0, 0)


async def test_a_latecomer_gets_everything_by_catching_up(tmp_path):
    """Carol is no founder. She joins after some cuts, fetches the earlier records, and becomes a member."""
    made = network_of("alice", "bob")
    with trio.fail_after(PATIENCE_S):
        async with (
            running("alice", made, tmp_path) as alice,
            running("bob", made, tmp_path, alice.address) as bob,
        ):
            await alice.driver.wait_final(2)
            async with running("carol", made, tmp_path, alice.address) as carol:
                key = carol.driver.machine.key
                index = 0
                while key not in bob.driver.machine.fold.latest.members:
                    index += 1
                    await bob.driver.wait_final(index)
                await carol.driver.wait_final(bob.driver.machine.fold.latest.index)
                assert carol.driver.machine.fold.latest.members[key].weight == 0
                while carol.reports.unready():
                    await carol.driver.wait_final(carol.driver.machine.fold.latest.index + 1)
                kinds = {decode_record(data).kind for data in carol.store.load_records()}
                assert {Kind.NETWORK, Kind.JOIN, Kind.CUT} <= kinds


def test_time_is_in_unix_milliseconds():
    """The default clock is the wall clock in Unix milliseconds."""
    assert abs(unix_ms() - time.time() * 1000) < 60_000


def damage_records(path: Path, *ids: bytes) -> None:
    """Flip one bit of each of these stored records."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (text,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'records_no_update'").fetchone()
        database.execute("DROP TRIGGER records_no_update")
        for record_id in ids:
            data = bytearray(database.execute("SELECT bytes FROM records WHERE id = ?", (record_id,)).fetchone()[0])
            data[-3] ^= 1
            database.execute("UPDATE records SET bytes = ? WHERE id = ?", (bytes(data), record_id))
        database.execute(text)


async def test_what_was_damaged_on_disk_comes_back_from_neighbours(tmp_path):
    """While Bob cannot read one of his own records, he signs nothing. He continues once he has got it back."""
    made = network_of("alice", "bob")
    with trio.fail_after(PATIENCE_S):
        async with running("alice", made, tmp_path) as alice:
            async with running("bob", made, tmp_path, alice.address) as bob:
                await alice.driver.wait_final(4)
                await bob.driver.wait_final(4)
                own, other = bob.driver.machine.key, alice.driver.machine.key
                said = [record.id for record in bob.driver.machine.context.ledger.chain(own)]
                heard = [record.id for record in bob.driver.machine.context.ledger.chain(other)]
            damage_records(tmp_path / "bob.db", said[3], said[5], heard[2])
            async with running("bob", made, tmp_path) as bob:
                context = bob.driver.machine.context
                assert context.own_missing == 3
                assert not context.may_write(unix_ms() + 100 * EPOCH_MS)
                assert "own record number 3 is missing" in str(bob.reports.unready())
                assert bob.store.statistics()["records_damaged"] == 3
            async with running("bob", made, tmp_path, alice.address) as bob:
                context = bob.driver.machine.context
                await bob.driver.wait_final(alice.driver.machine.fold.latest.index + 3)
                await alice.driver.wait_final(bob.driver.machine.fold.latest.index)
                assert context.own_missing is None
                assert context.ledger.statistics()["forked"] == 0
                assert bob.store.statistics()["records_damaged"] == 0
                chain = [record.id for record in context.ledger.chain(own)]
                assert chain[: len(said)] == said
                assert len(chain) > len(said)
                assert alice.driver.machine.fold.latest.members[own].fork_until == -1
        assert check_up(tmp_path / "bob.db", made[0].id, own).faults == ()
