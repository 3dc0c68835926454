"""Attacks with records: invalid keys and signatures, unknown kinds, other times, other networks, repeats."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
import trio

from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.records.envelope import Header, Kind, Record
from p2pverify.core.records.payloads.amendment import Amendment
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.logs.waiting import WAITING_PER_AUTHOR_MAX
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.node.messages import encode_batches
from tests.attack.enemy import gossiper
from tests.attack.live import PATIENCE_S, Author, Live, until

PATIENT = 60  # more wrong messages than any node accepts before it ends the connection


def bent(record: Record, *, signature: bytes | None = None, payload: bytes | None = None, **header: Any) -> bytes:
    """A record's bytes with other fields, so that its signature is invalid."""
    changed = replace(record.header, **header)
    return encode([changed.to_value(), signature or record.signature, record.payload if payload is None else payload])


def unsigned(author: bytes, record: Record) -> bytes:
    return bent(record, author=author)


LOW_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
HIGH_S = (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little")
REJECTED: dict[str, tuple[str, Callable[[Author, int], bytes]]] = {
    "wrong signature": ("bad signature", lambda a, e: bent(a.join(e), signature=os.urandom(64))),
    "another's signature": ("bad signature", lambda a, e: unsigned(Author(bytes(32), "other").key, a.join(e))),
    "signature with a great S": (
        "bad signature",
        lambda a, e: bent(r := a.join(e), signature=r.signature[:32] + HIGH_S),
    ),
    "author key of zeros": ("bad signature", lambda a, e: unsigned(bytes(32), a.join(e))),
    "author key of low order": ("bad signature", lambda a, e: unsigned(LOW_ORDER, a.join(e))),
    "author key that is no point": ("bad signature", lambda a, e: unsigned(b"\xff" * 32, a.join(e))),
    "VRF key that is no point": (
        "malformed join: the VRF key is not a valid point",
        lambda a, e: a.record(Kind.JOIN, Join(0, b"\xff" * 32).encode(), e).data,
    ),
    "another payload": (
        "malformed record: the payload is not the one that was signed",
        lambda a, e: bent(a.join(e), payload=b"\x80"),
    ),
    "deeply nested payload": (
        "malformed audit: too deep",
        lambda a, e: a.record(Kind.AUDIT, b"\x81" * 3000 + b"\x80", e).data,
    ),
    "payload that is no CBOR": (
        "malformed audit: reserved initial byte",
        lambda a, e: a.record(Kind.AUDIT, b"\x1c" * 100, e).data,
    ),
    "another network": ("wrong network", lambda a, e: Author(sha256(b"another"), a.key.hex()).join(e).data),
    "class that no rules can have": (
        "malformed join: class: above 31",
        lambda a, e: a.record(Kind.JOIN, Join(32, a.key).encode(), e).data,
    ),
    "amendment without end": (
        "an amendment is open for 1 to 43200 epochs",
        lambda a, e: a.record(Kind.AMENDMENT, Amendment(bytes(32), (), 1, 0, e + 2**20, bytes(32)).encode(), e).data,
    ),
    "another contract": (
        "not this network's definition",
        lambda a, e: a.record(Kind.NETWORK, encode([]), e).data,
    ),
}


@pytest.mark.parametrize("name", REJECTED)
async def test_wrong_records(live: Live, name: str) -> None:
    """A peer that forwards invalid records is soon no longer read. None of the records is kept."""
    reason, make = REJECTED[name]
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            with suppress(StreamBrokenError):  # after the node has ended the stream
                for _ in range(PATIENT):
                    await mallory.publish_records([make(live.new_author(), live.node.epoch)])
            await mallory.wait_shut_out()
    await live.survives(f"judged {reason}")
    assert live.node.count(f"judged {reason}") == live.node.count("net router_verdicts_reject") < PATIENT
    await until(lambda: live.node.count("store records") == live.node.count("records"), "the same is stored")


IGNORED: dict[str, tuple[str, Callable[[Author, int], bytes]]] = {
    "unknown kind": ("unknown kind", lambda a, e: a.record(cast("Kind", 200), encode([1, 2, 3]), e).data),
    "dated far ahead": ("dated in the future", lambda a, e: a.join(2**40).data),
    "dated two epochs ahead": ("dated in the future", lambda a, e: a.join(e + 4).data),
}


@pytest.mark.parametrize("name", IGNORED)
async def test_records_that_are_not_for_now(live: Live, name: str) -> None:
    """Unknown kinds and future dates are ignored, and their forwarder is not blamed."""
    reason, make = IGNORED[name]
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            for _ in range(20):
                await mallory.publish_records([make(live.new_author(), live.node.epoch)])
            await until(lambda: live.node.count(f"judged {reason}") == 20, "all are ignored")
            await live.is_well()
            assert not mallory.stranger.link.closed.is_set()
    await live.survives("net router_verdicts_ignore")
    assert live.node.count("net router_faults_invalid") == 0


async def test_records_of_the_far_past(live: Live) -> None:
    """Records dated to the first epochs are accepted and change no final cut, and new cuts still come."""
    node = live.node
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node) as mallory:
            records = [live.new_author().join(epoch) for epoch in range(40)]
            await mallory.publish_records([record.data for record in records])
            await until(lambda: all(r.id in node.context.ledger for r in records), "all are taken")
            index = node.driver.machine.fold.latest.index
            await node.driver.wait_final(index + 2)
    await live.survives()


async def test_a_log_that_forks_everywhere(live: Live) -> None:
    """A member that signs many records with one number is reported, and cuts continue."""
    node, author = live.node, live.new_author()
    machine = node.driver.machine
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node) as mallory:
            await live.admit(author)
            author.any(node.epoch)
            forks = [
                author.record(Kind.CUT_SIGNATURE, encode([os.urandom(32)]), node.epoch, again=True) for _ in range(60)
            ]
            await mallory.publish_records([record.data for record in forks])
            await until(lambda: node.count("forked") >= 59, "the forks are seen")
            await node.driver.wait_final(machine.fold.latest.index + 2)
    await live.survives(logged="forked its log")


async def test_records_without_those_before_them(live: Live) -> None:
    """Records that wait for an earlier one are held up to a limit. The earlier one makes them valid."""
    node, author = live.node, live.new_author()
    await live.admit(author)
    first, *rest = author.log(WAITING_PER_AUTHOR_MAX + 200, node.epoch)
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node) as mallory:
            await mallory.publish_records([record.data for record in rest])
            reason = "judged too many records wait for an earlier one"
            await until(lambda: node.count(reason) >= 199, "those beyond the limit are ignored")
            assert node.count("waiting") == WAITING_PER_AUTHOR_MAX
            await mallory.publish_records([first.data])
            await until(lambda: node.count("waiting") == 0, "those that waited are let in")
            assert rest[WAITING_PER_AUTHOR_MAX - 1].id in node.context.ledger
    await live.survives()


async def test_replay_of_a_whole_old_ledger(live: Live) -> None:
    """All records of the ledger, sent again in other batches by another peer, are known and change nothing."""
    node, author = live.node, live.new_author()
    await live.admit(author)
    old = author.log(1000, node.epoch)
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node, "first") as first:
            await first.publish_records([record.data for record in old])
            await until(lambda: old[-1].id in node.context.ledger, "the ledger is there")
        known = list(node.context.ledger.records())
        messages = [m for at in range(0, len(known), 3) for m in encode_batches([r.data for r in known[at : at + 3]])]
        received = node.count("net router_messages_received")
        async with gossiper(node, "second") as second:
            for message in messages:
                await second.publish(message)
            await until(
                lambda: node.count("net router_messages_received") >= received + len(messages), "all have come again"
            )
            assert not second.stranger.link.closed.is_set()
    assert node.count("judged known") >= 1000
    assert node.count("forked") == 0
    await live.survives()
    assert node.count("net router_faults_invalid") == 0


async def test_the_ledger_of_another_network(live: Live) -> None:
    """All records of another network are rejected."""
    author = Author(sha256(b"another network"), "author")
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            with suppress(StreamBrokenError):
                for _ in range(PATIENT):
                    await mallory.publish_records([author.any(live.node.epoch).data])
            await mallory.wait_shut_out()
    await live.survives("judged wrong network")
    assert live.node.context.ledger.head(author.key) is None


BATCHES = {
    "too deep": b"\x81" * 60_000 + b"\x80",
    "trailing bytes": encode([b"x"]) + b"\x00",
    "indefinite length": b"\x9f\x41x\xff",
    "batch: more than 16 items": encode([b"x"] * 17),
    "batch: not an array": encode(b"x" * 1000),
    "an empty batch": encode([]),
    "record: not a byte string": encode([5]),
    "record: longer than 65536 bytes": encode([b"x" * 65_537]),
    "too long": encode([b"x" * 60_000] * 3),
    "truncated": b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00",
}


@pytest.mark.parametrize("reason", BATCHES)
async def test_batches_that_are_none(live: Live, reason: str) -> None:
    """A gossip message that is no batch of records is counted by its fault and rejected."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.publish(BATCHES[reason])
            await until(lambda: live.node.count(f"driver malformed gossip: {reason}") == 1, "the fault is counted")
            assert live.node.count("net router_faults_invalid") == 1
    await live.survives()


def test_bent_headers_are_headers() -> None:
    """The changed records differ from valid ones only in the changed field."""
    record = Author(bytes(32), "author").join(3)
    assert isinstance(record.header, Header)
    assert bent(record) == record.data
