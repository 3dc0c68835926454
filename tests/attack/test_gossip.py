"""Attacks with well-formed gossip frames: floods of subscriptions, IHAVEs, IWANTs and messages."""

import os
from contextlib import suppress

import pytest
import trio

from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import GossipMessage, Rpc, message_id
from p2pverify.net.border.framing import varint_frame
from p2pverify.net.border.harden import rpc_pb2
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.node.messages import encode_batches
from tests.attack.enemy import GOSSIP, Gossiper, gossiper, stranger
from tests.attack.live import PATIENCE_S, Live, until

PARAMS = GossipParams()
BURST = 3000


async def pester(mallory: Gossiper, rpc: Rpc, times: int) -> None:
    """Send the same RPC repeatedly until the node ends it."""
    frame = varint_frame(Gossiper.encode(rpc))
    try:
        for _ in range(times):
            await mallory.stream.write(frame)
    except StreamBrokenError:
        return


async def test_subscription_flood(live: Live) -> None:
    """A peer's topics are limited. The others are counted, and frames with too many are faults."""
    topics = tuple((True, f"topic {number}") for number in range(200))
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.say(Rpc(subscriptions=topics))
            await until(lambda: live.node.count("net router_subscriptions_refused") >= 136, "136 are refused")
            await pester(mallory, Rpc(subscriptions=topics * 20), 100)
            await mallory.wait_shut_out()
    await live.survives("net router_faults_misbehaviour")


async def test_topics_of_any_length(live: Live) -> None:
    """A topic longer than allowed is not remembered."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.say(Rpc(subscriptions=((True, "x" * 500_000),), graft=("y" * 400_000,)))
            await live.is_well()
    await live.survives("net router_subscriptions_refused")


async def test_ihave_spam(live: Live) -> None:
    """The ids of missing messages are requested and remembered up to a limit, and then ignored."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            for _ in range(40):
                ids = tuple(os.urandom(32) for _ in range(2000))
                await mallory.say(Rpc(ihave=((mallory.topic, ids),)))
            await until(lambda: live.node.count("net router_ihaves_ignored") > 0, "offers are ignored")
            assert live.node.count("net router_size_promises") <= PARAMS.promises_per_peer_max
            await live.is_well()
    await live.survives("net router_iwant_ids_sent")
    assert live.node.count("net router_size_promises") == 0


async def test_offers_of_malformed_ids(live: Live) -> None:
    """Ids that are not 32 bytes are faults. The IHAVEs of a peer that continues are ignored."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            offer = Rpc(ihave=((mallory.topic, (b"short", b"x" * 5000)),))
            while not live.node.count("net router_ihaves_ignored"):
                await pester(mallory, offer, 1)
    await live.survives("net router_faults_misbehaviour")


async def test_iwant_spam(live: Live) -> None:
    """The number of looked-up ids per heartbeat, and of copies of a message per peer, is limited."""
    node = live.node
    record = live.new_author().join(node.epoch)
    (message,) = encode_batches([record.data])
    await live.spread(record)
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node) as mallory:
            await mallory.say(Rpc(iwant=(message_id(message),) * 500))
            await until(lambda: node.count("net router_iwant_ids_unanswered") > 400, "most are not answered")
            assert 1 <= node.count("net router_iwant_ids_answered") <= PARAMS.retransmissions_max
            for _ in range(10):
                await mallory.say(Rpc(iwant=tuple(os.urandom(32) for _ in range(2000))))
            await until(lambda: node.count("net router_iwants_ignored") > 0, "wishes are ignored")
    await live.survives()


async def test_graft_flood(live: Live) -> None:
    """GRAFT during backoff is a fault. A peer that continues is no longer read, even after reconnecting."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.join_mesh()
            await mallory.say(Rpc(prune=((mallory.topic, 2**63),)))
            await pester(mallory, Rpc(graft=(mallory.topic,)), 100)
            await mallory.wait_shut_out()
        await until(lambda: live.node.count("net links") == 1, "mallory is gone")
        before = live.node.count("net router_rpcs_graylisted"), live.node.count("net router_peers_refused")
        async with stranger(live.node) as again:
            with suppress(StreamBrokenError):
                stream = await again.link.open_stream(GOSSIP)
                await stream.write(varint_frame(Gossiper.encode(Rpc())))
            await until(
                lambda: (
                    before
                    != (live.node.count("net router_rpcs_graylisted"), live.node.count("net router_peers_refused"))
                ),
                "mallory is remembered",
            )
    await live.survives("net router_grafts_in_backoff")


async def test_control_for_topics_that_are_none(live: Live) -> None:
    """GRAFT, PRUNE, IHAVE and messages on topics without a subscription have no effect."""
    topics = [f"nothing {number}" for number in range(200)]
    rpc = Rpc(
        publish=tuple(GossipMessage(topic, b"x") for topic in topics),
        ihave=tuple((topic, (os.urandom(32),)) for topic in topics),
        graft=tuple(topics),
        prune=tuple((topic, None) for topic in topics),
    )
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.say(rpc)
            await until(lambda: live.node.count("net router_messages_unsubscribed") == 200, "all are passed over")
    await live.survives()
    assert live.node.count("net router_iwant_ids_sent") == 0


@pytest.mark.parametrize("field", ["from_id", "seqno", "signature", "key"])
async def test_signed_messages(live: Live, field: str) -> None:
    """StrictNoSign: a message with any of the signed fields is a fault, even if its data is valid."""
    record = live.new_author().join(live.node.epoch)
    rpc = rpc_pb2.RPC()
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            for message in encode_batches([record.data]):
                rpc.publish.add(data=message, topicIDs=[mallory.topic], **{field: b"1"})
            await mallory.stream.write(varint_frame(rpc.SerializeToString()))
            await until(lambda: live.node.count("net router_faults_invalid") == 1, "a fault is counted")
            assert record.id not in live.node.context.ledger
    await live.survives()


async def test_a_message_larger_than_allowed(live: Live) -> None:
    """It is a fault and gets no verdict."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.publish(b"x" * (PARAMS.message_bytes_max + 1))
            await until(lambda: live.node.count("net router_faults_invalid") == 1, "a fault is counted")
    await live.survives()


async def test_a_second_gossip_stream(live: Live) -> None:
    """One connection has one gossip stream in each direction. Another is reset, and the first continues."""
    record = live.new_author().join(live.node.epoch)
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.say(Rpc())
            await until(lambda: live.node.count("net router_rpcs_received") > 0, "the first is read")
            await live.is_well()
            second = await mallory.stranger.link.open_stream(GOSSIP)
            with pytest.raises(StreamBrokenError):
                await second.read_exact(1)
            await mallory.publish_records([record.data])
            await until(lambda: record.id in live.node.context.ledger, "a record on the first stream is taken")
    await live.survives("net streams_malformed")


async def test_a_burst_of_garbage(live: Live) -> None:
    """Of thousands of messages without records, some are judged. Then their sender is no longer read."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            with suppress(StreamBrokenError):
                for _ in range(BURST // 10):
                    await mallory.publish(*(os.urandom(100) for _ in range(10)))
            await mallory.wait_shut_out()
    await live.survives("driver malformed gossip:*", "net router_verdicts_reject")
    assert live.node.count("net router_verdicts_reject") <= BURST // 50


async def test_a_burst_of_one_message(live: Live) -> None:
    """The same valid message is judged once, although it comes thousands of times."""
    record = live.new_author().join(live.node.epoch)
    (message,) = encode_batches([record.data])
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            for _ in range(BURST // 500):
                await mallory.publish(*[message] * 500)
            await until(lambda: live.node.count("net router_messages_duplicate") >= BURST - 1, "all have come")
    await live.survives()
    assert record.id in live.node.context.ledger
    assert live.node.count("judged known") == 0


async def test_a_burst_of_good_messages(live: Live) -> None:
    """Thousands of records, one per message, are accepted in order, up to the sender's share."""
    node, author = live.node, live.new_author()
    await live.admit(author)
    records = author.log(BURST, node.epoch)
    passed_over = "driver batches beyond a neighbour's share"
    with trio.fail_after(2 * PATIENCE_S):
        async with gossiper(node) as mallory:
            for at in range(0, BURST, 50):
                await mallory.publish(*(next(iter(encode_batches([r.data]))) for r in records[at : at + 50]))
            await until(
                lambda: sum(record.id in node.context.ledger for record in records) + node.count(passed_over) >= BURST,
                "each was taken or passed over",
                node.reports.figures,
            )
            assert records[BURST // 10].id in node.context.ledger
    await live.survives("net gossip_delivered")
