"""The router's parts: dice, caches, outbox, parameters."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.cache import MessageCache, NearFirst, PendingMessages, Promises, SeenCache
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.outbox import RpcOutbox, merge
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import GossipMessage, Rpc, SendRpc, message_id, records_topic

PARAMS = GossipParams()
ALICE, BOB = b"a" * 32, b"b" * 32


def mid(number: int) -> bytes:
    return message_id(b"%d" % number)


def test_names_on_the_wire() -> None:
    """Topic and message id are as on the protocol page."""
    assert records_topic(bytes(31) + b"\xab") == "p2pverify/1/" + "00" * 31 + "ab"
    assert message_id(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_dice_are_fixed() -> None:
    """The random numbers of a key are equal on every machine. Other keys give other numbers."""
    throws = [Dice(b"key").below(6) for _ in range(2)]
    dice = Dice(b"key")
    assert throws == [dice.below(6)] * 2
    assert [dice.below(100) for _ in range(8)] == [7, 36, 24, 9, 63, 18, 91, 16]
    assert Dice(b"key").below(2**64) != Dice(b"yek").below(2**64)


def test_dice_are_fair() -> None:
    """Over many throws, all sides come about equally often."""
    dice = Dice(b"fair")
    throws = [dice.below(6) for _ in range(6_000)]
    assert all(850 < throws.count(side) < 1150 for side in range(6))


@given(st.lists(st.integers(), max_size=30, unique=True), st.integers(0, 40), st.binary())
def test_samples_are_subsets(items: list[int], count: int, key: bytes) -> None:
    """A sample has distinct members of the sequence, as many as wanted if there are enough. It does not change the
    sequence."""
    before = list(items)
    sample = Dice(key).sample(items, count)
    assert items == before
    assert len(sample) == len(set(sample)) == min(count, len(items))
    assert set(sample) <= set(items)


def test_seen_is_bounded() -> None:
    """The oldest ids are removed first, by number and by age."""
    seen = SeenCache(replace(PARAMS, seen_max=4))
    for number in range(7):
        seen.add(("t", mid(number)), GossipVerdict.ACCEPT)
        assert len(seen) <= 4
    assert [seen.get(("t", mid(number))) is not None for number in range(7)] == [False] * 4 + [True] * 3
    assert seen.get(("u", mid(6))) is None
    seen.expire(0)
    seen.expire(PARAMS.seen_ttl_ms)
    assert len(seen) == 1
    seen.add(("t", mid(6)), GossipVerdict.REJECT)
    assert (seen.get(("t", mid(6))), len(seen)) == (GossipVerdict.REJECT, 1)
    seen.expire(2 * PARAMS.seen_ttl_ms)
    assert len(seen) == 1
    seen.expire(3 * PARAMS.seen_ttl_ms)
    assert len(seen) == 0


def test_near_first_counts_each_peer_once() -> None:
    """Within the window after the verdict, each further peer counts once. After it, or without an entry, no peer
    counts."""
    near = NearFirst(replace(PARAMS, pending_max=1))
    message, other = GossipMessage("t", b"m"), GossipMessage("t", b"n")
    near.add(message.key, [ALICE], 100)
    near.add(other.key, [ALICE], 100)
    window_ms = PARAMS.score.delivery_window_ms
    asked = [(ALICE, 100), (BOB, 100 + window_ms), (BOB, 100 + window_ms), (b"c" * 32, 101 + window_ms)]
    assert [near.first_of(one, message.key, at_ms) for one, at_ms in asked] == [False, True, False, False]
    assert not near.first_of(BOB, other.key, 100)
    near.expire(101 + window_ms)
    near.add(other.key, [], 200)
    assert near.first_of(BOB, other.key, 200)


def test_pending_counts_what_it_holds() -> None:
    """Bytes and places are freed with the verdict."""
    pending = PendingMessages(replace(PARAMS, pending_max=2, pending_per_peer_max=1))
    first, second, third = (GossipMessage("t", data) for data in (b"000", b"111", b"2"))
    assert pending.add(first, ALICE, 0)
    assert not pending.add(second, ALICE, 0)
    assert pending.add(third, BOB, 0)
    assert not pending.add(GossipMessage("t", b"3"), b"c" * 32, 0)
    assert (len(pending), pending.size_bytes) == (2, 4)
    assert pending.pop(first.key[1]) is not None
    assert pending.pop(first.key[1]) is None
    assert (len(pending), pending.size_bytes) == (1, 1)
    assert pending.add(second, ALICE, 5)
    assert pending.expire(PARAMS.pending_ms) == 1
    assert pending.get(second.key[1]) is not None


def test_message_cache_is_bounded() -> None:
    """The oldest messages are removed first, by number and by bytes, together with their ids."""
    cache = MessageCache(replace(PARAMS, mcache_messages_max=3, mcache_bytes_max=100))
    messages = [GossipMessage("t", b"%d" % number) for number in range(4)]
    for message in messages[:3]:
        cache.put(message)
    cache.shift()
    cache.put(messages[3])
    cache.put(messages[3])
    assert cache.ids("t") == [mid(1), mid(2), mid(3)]
    assert cache.ids("u") == []
    large, larger = GossipMessage("t", bytes(99)), GossipMessage("t", bytes(101))
    cache.put(large)
    assert (cache.ids("t"), cache.size_bytes) == ([mid(3), large.key[1]], 100)
    cache.put(larger)
    assert (len(cache), cache.size_bytes, cache.ids("t")) == (0, 0, [])


def test_message_cache_windows() -> None:
    """Messages are advertised for gossip_windows heartbeats and kept for history_windows."""
    cache = MessageCache(PARAMS)
    cache.put(GossipMessage("t", b"0"))
    life = []
    for _ in range(6):
        life.append((bool(cache.ids("t")), cache.peek(mid(0)) is not None))
        cache.shift()
    assert life == [(True, True)] * 3 + [(False, True)] * 2 + [(False, False)]


def test_promises_are_limited_and_balanced() -> None:
    """Asked ids are limited per message, per peer and in total. Every way of ending frees the room."""
    promises = Promises(replace(PARAMS, promises_per_peer_max=2, promises_max=3, iwant_parallel_max=2))
    promises.add(mid(0), ALICE, 0)
    promises.add(mid(1), ALICE, 0, tracked=True)
    assert (promises.room(ALICE), promises.room(BOB)) == (0, 1)
    assert not promises.wanted(mid(0), ALICE)
    promises.add(mid(0), BOB, 1)
    assert not promises.wanted(mid(0), b"c" * 32)
    assert promises.room(BOB) == 0
    promises.fulfil(mid(0))
    assert len(promises) == 1
    assert promises.expire(PARAMS.iwant_followup_ms) == (1, [ALICE])
    promises.add(mid(0), BOB, 0)
    assert promises.expire(PARAMS.iwant_followup_ms) == (1, [])
    promises.add(mid(0), BOB, 0, tracked=True)
    promises.forget(BOB)
    promises.forget(BOB)
    assert len(promises) == 0
    assert promises.room(ALICE) == promises.room(BOB) == 2


def test_frames_keep_their_limits() -> None:
    """Each frame stays within its limits of bytes, messages and ids, however much waits for a peer, and nothing is
    lost."""
    params = replace(PARAMS, rpc_messages_max=10)
    outbox = RpcOutbox(params)
    datas = [bytes([number]) * size for number, size in enumerate([250_000] * 6 + [10] * 25)]
    for data in datas:
        outbox.message(ALICE, GossipMessage("t", data), 0)
    ids = tuple(mid(number) for number in range(params.ihave_ids_max))
    for topic in "abcdefgh":
        outbox.ihave(ALICE, topic, ids, 0)
    for number in range(params.ihave_ids_max + 1):
        outbox.iwant(ALICE, mid(number), 0)
    frames = [sent.rpc for sent in outbox.flush(0)]
    whole = merge(frames)
    assert [message.data for message in whole.publish] == datas
    assert [topic for topic, _ in whole.ihave] == list("abcdefgh")
    assert len(whole.iwant) == params.ihave_ids_max + 1
    for rpc in frames:
        size = sum(len(message.data) for message in rpc.publish)
        offered_and_wanted = sum(len(ids) for _, ids in rpc.ihave) + len(rpc.iwant)
        assert offered_and_wanted <= params.ihave_ids_max
        size += 34 * offered_and_wanted
        assert size <= params.rpc_bytes_max
        assert len(rpc.publish) <= 10
    assert outbox.flush(0) == []


def test_outbox_order_and_omissions() -> None:
    """Peers come in the order of their keys. A PRUNE replaces a GRAFT. Messages that a peer has are not sent to it."""
    outbox = RpcOutbox(PARAMS)
    outbox.graft(BOB, "t", 0)
    outbox.prune(BOB, "t", 15, 0)
    outbox.subscription(ALICE, subscribe=True, topic="t", now_ms=0)
    message = GossipMessage("t", b"0")
    outbox.message(ALICE, message, 0)
    assert outbox.discard(ALICE, message.key, 0)
    assert not outbox.discard(BOB, message.key, 0)
    outbox.graft(b"c" * 32, "t", 0)
    outbox.forget(b"c" * 32)
    assert outbox.flush(0) == [
        SendRpc(ALICE, Rpc(subscriptions=((True, "t"),))),
        SendRpc(BOB, Rpc(prune=(("t", 15),))),
    ]
    assert outbox.due_ms is None


@pytest.mark.parametrize("batch_ms", [0, 10])
def test_equal_frames_are_one_object(batch_ms: int) -> None:
    """Peers with the same messages get the same RPC object, so it is encoded only once."""
    outbox = RpcOutbox(replace(PARAMS, batch_ms=batch_ms))
    message = GossipMessage("t", b"0")
    assert outbox.spread(message, (ALICE, BOB, b"c" * 32), {BOB: None}, 0) == 2
    assert outbox.due_ms == batch_ms
    one, other = outbox.flush(0)
    assert (one.peer, other.peer) == (ALICE, b"c" * 32)
    assert one.rpc is other.rpc
    assert one.rpc.publish[0] is message


def test_messages_remember_their_id() -> None:
    """A message is hashed once. The cached id changes neither its equality nor its text."""
    message, twin = (GossipMessage("t", b"abc") for _ in range(2))
    assert message.key == ("t", message_id(b"abc"))
    assert message.key is message.key
    assert (message, repr(message), hash(message)) == (twin, repr(twin), hash(twin))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda: replace(PARAMS, degree_low=7), "D_lo"),
        (lambda: replace(PARAMS, degree_out=4), "D_out"),
        (lambda: replace(PARAMS, degree=4, degree_out=3), "D_out <= D / 2"),
        (lambda: replace(PARAMS, gossip_windows=6), "mcache"),
        (lambda: replace(PARAMS, batch_ms=PARAMS.heartbeat_ms), "batch_ms"),
        (lambda: replace(PARAMS, message_bytes_max=PARAMS.rpc_bytes_max), "message"),
        (lambda: replace(PARAMS, ihave_ids_max=100_000), "IHAVE"),
        (lambda: replace(PARAMS, degree_score=7), "D_score"),
        (lambda: replace(PARAMS, opportunistic_graft_heartbeats=0), "opportunistic_graft_heartbeats"),
        (lambda: replace(PARAMS, seen_max=-1), "seen_max"),
    ],
)
def test_contradicting_parameters_are_refused(change: Callable[[], GossipParams], rule: str) -> None:
    """Numbers that contradict each other say which rule they break."""
    with pytest.raises(ValueError, match=rule):
        change()
