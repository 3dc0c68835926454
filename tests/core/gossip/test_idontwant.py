"""IDONTWANT: messages are announced before they are forwarded, and are not sent to those that have them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.forwards import ResponseTime
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import GossipMessage, PublishMessage, Rpc, message_id
from tests.support.router import ALICE, BOB, CAROL, PARAMS, TOPIC, Bench, peer
from tests.support.routers import World, random_graph

BATCH_MS = 100
BATCHED = replace(PARAMS, batch_ms=BATCH_MS, batch_at_rest=False)
DATA = bytes(PARAMS.idontwant_bytes_min)
MID = message_id(DATA)


def hearing(*peers: bytes, params: GossipParams = BATCHED) -> Bench:
    """A router whose mesh is these peers, which speak v1.2, and Carol, who speaks v1.1."""
    bench = Bench(params)
    bench.join(*peers, hears_idontwant=True)
    bench.join(CAROL)
    bench.wait(3 * PARAMS.heartbeat_ms)
    assert set(bench.mesh) == {*peers, CAROL}
    return bench


def take(bench: Bench, source: bytes, data: bytes = DATA) -> None:
    """A good message of another peer arrives, and the first frames leave."""
    bench.message(source, data)
    bench.judge(data)


def test_a_message_is_announced_and_then_forwarded() -> None:
    """The source hears nothing. A peer of v1.1 gets the message at once, others hear IDONTWANT and get it later."""
    bench = hearing(ALICE, BOB)
    take(bench, ALICE)
    assert (bench.sent(ALICE), bench.sent(BOB)) == ([], [Rpc(idontwant=(MID,))])
    assert bench.data_sent(CAROL) == [DATA]
    bench.wait(BATCH_MS)
    assert (bench.data_sent(ALICE), bench.data_sent(BOB), bench.data_sent(CAROL)) == ([], [DATA], [])
    assert (bench.stat("idontwant_ids_sent"), bench.stat("messages_sent")) == (1, 2)


@pytest.mark.parametrize("early", [True, False])
def test_a_peer_that_has_the_message_is_spared(early: bool) -> None:
    """A peer may decline a message before we have it, or while it waits."""
    bench = hearing(ALICE, BOB)
    if early:
        bench.rpc(BOB, idontwant=(MID,))
    take(bench, ALICE)
    assert bench.sent(BOB) == [Rpc(idontwant=(MID,))]
    if not early:
        bench.rpc(BOB, idontwant=(MID,))
    bench.wait(PARAMS.heartbeat_ms // 2)
    assert bench.data_sent(BOB) == []
    assert bench.stat("messages_spared") == 1


def test_a_copy_declines_too() -> None:
    """A peer that sends the message itself while it waits is not sent it."""
    bench = hearing(ALICE, BOB)
    take(bench, ALICE)
    bench.message(BOB, DATA)
    bench.wait(PARAMS.heartbeat_ms // 2)
    assert bench.data_sent(BOB) == []


def test_what_was_declined_can_be_asked_for() -> None:
    """An IWANT is answered, whatever the peer said before."""
    bench = hearing(ALICE, BOB)
    bench.rpc(BOB, idontwant=(MID,))
    take(bench, ALICE)
    bench.rpc(BOB, iwant=(MID,))
    bench.wait(BATCH_MS)
    assert bench.data_sent(BOB) == [DATA]


@pytest.mark.parametrize(
    ("params", "data"),
    [(replace(PARAMS, batch_ms=0), DATA), (BATCHED, DATA[1:])],
    ids=["no batches", "small"],
)
def test_some_messages_are_forwarded_at_once(params: GossipParams, data: bytes) -> None:
    """Without batches nobody would have time to decline. A small message costs no more than the words about it."""
    bench = hearing(ALICE, BOB, params=params)
    take(bench, ALICE, data)
    assert (bench.data_sent(BOB), bench.data_sent(CAROL)) == ([data], [data])
    assert bench.stat("idontwant_ids_sent") == 0


def test_own_messages_leave_at_once() -> None:
    """Nobody else can have them."""
    bench = hearing(ALICE, BOB)
    bench(PublishMessage(TOPIC, DATA))
    assert (bench.data_sent(ALICE), bench.data_sent(BOB)) == ([DATA], [DATA])


def test_strangers_words_have_a_bound() -> None:
    """Ids beyond the limit, ids of a wrong length, and ids of peers outside the mesh are not noted, and forgotten after
    two heartbeats."""
    bench = hearing(ALICE, BOB, params=replace(BATCHED, idontwant_ids_max=3))
    outside = peer(77)
    bench.join(outside, hears_idontwant=True)
    bench.rpc(CAROL, prune=((TOPIC, 60),))
    ids = tuple(message_id(b"%d" % number) for number in range(4))
    bench.rpc(BOB, idontwant=ids)
    bench.rpc(BOB, idontwant=(MID,))
    bench.rpc(ALICE, idontwant=(b"short", MID))
    bench.rpc(CAROL, idontwant=(MID,))
    assert (bench.stat("idontwant_ids_received"), bench.stat("idontwant_ids_ignored")) == (4, 4)
    bench.beat()
    bench.beat()
    take(bench, BOB)
    bench.wait(BATCH_MS)
    assert bench.data_sent(ALICE) == [DATA]


def test_much_waiting_data_hurries_the_frames() -> None:
    """Half a frame of waiting data is announced before the batch time is over, so that what waits has a bound."""
    bench = hearing(ALICE, BOB)
    take(bench, ALICE)
    large = [bytes([number]) * PARAMS.message_bytes_max for number in range(2)]
    take(bench, ALICE, large[0])
    assert bench.sent(BOB) == []
    take(bench, ALICE, large[1])
    assert bench.sent(BOB) == [Rpc(idontwant=tuple(map(message_id, large)))]


def test_a_peer_that_left_is_sent_nothing() -> None:
    bench = hearing(ALICE, BOB)
    take(bench, ALICE)
    bench.join(BOB)  # a new connection
    bench.wait(BATCH_MS)
    assert bench.data_sent(BOB) == []


def test_the_wait_follows_slow_peers() -> None:
    """Peers that decline late are given more time, at most a heartbeat; the wait gets shorter again."""
    response = ResponseTime(BATCHED)
    assert response.wait_ms == BATCH_MS
    for _ in range(40):
        response.note(300)
    assert 300 <= response.wait_ms < 400
    for _ in range(20):
        response.note(10**6)
    assert response.wait_ms == PARAMS.heartbeat_ms
    for _ in range(60):
        response.note(1)
    assert response.wait_ms == BATCH_MS


@given(st.lists(st.integers(0, 10**9), max_size=50))
def test_the_wait_has_bounds(took_ms: list[int]) -> None:
    response = ResponseTime(BATCHED)
    for each in took_ms:
        response.note(each)
        assert BATCH_MS <= response.wait_ms <= PARAMS.heartbeat_ms


def play(world: World) -> float:
    """Sixty messages from all routers. Returns the duplicates per delivery."""
    world.run(10 * PARAMS.heartbeat_ms)
    for number in range(60):
        world.publish(number % len(world.routers), b"%3d" % number + DATA)
        world.run(60)
    world.run(10 * PARAMS.heartbeat_ms)
    assert [len(got) for got in world.got] == [60] * len(world.routers)
    assert world.ended == []
    return world.total("messages_duplicate") / world.total("messages_delivered")


def test_a_full_mesh_has_few_duplicates() -> None:
    """Eight routers that all know each other: less than one copy too many, over links of 5 to 105 ms."""
    links = {(one, other) for one in range(8) for other in range(one)}
    old, mixed, new = (
        play(World(links, seed=1, loss_percent=0, params=BATCHED, hears=hears))
        for hears in (lambda number: False, lambda number: number % 2 == 0, lambda number: True)
    )
    assert new < 1 < mixed < old


@pytest.mark.parametrize("seed", range(3))
def test_everybody_hears_everything(seed: int) -> None:
    """IDONTWANT loses nothing, in a thin graph with lost frames where half of the routers speak v1.1."""
    world = World(
        random_graph(20, dials=4, seed=seed),
        seed=seed,
        loss_percent=10,
        params=BATCHED,
        hears=lambda number: number % 2 == 0,
    )
    play(world)
    assert world.total("messages_spared") > 0


def test_a_rejected_message_is_not_announced() -> None:
    bench = hearing(ALICE, BOB)
    bench.rpc(ALICE, publish=(GossipMessage(TOPIC, DATA),))
    bench.judge(DATA, GossipVerdict.REJECT)
    bench.wait(BATCH_MS)
    assert bench.sent(BOB) == []
