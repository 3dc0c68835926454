"""Peers that abuse the links, each kind alone in a small world."""

from p2pverify.core.encoding.canon import encode
from p2pverify.core.gossip.types import GossipMessage, Rpc, records_topic
from p2pverify.testnet.world.liars.gossip import Eclipser
from p2pverify.testnet.world.peer.actor import Actor, RawRpc
from tests.support.worlds import final, make_world, watching
from tests.testnet.world.liars.test_answers import BAD, finish, play
from tests.testnet.world.looks import convictions, honest_numbers, ledger_of, member_of, rejected


def test_an_eclipsed_peer_stays_behind_and_contradicts_nobody() -> None:
    """All links of the victim lead to the gang. With one honest link, the victim catches up."""
    gang = (1, 4, 6)
    world = make_world(10, kinds=dict.fromkeys(gang, "eclipse"), seed=3, redial_ms=2_000)
    actor = world.peers[1].actor
    assert isinstance(actor, Eclipser)
    victim = world.by_key[actor.victim].number
    assert victim in honest_numbers(world)
    assert {world.peers[n].actor.victim for n in gang} == {actor.victim}  # type: ignore[attr-defined]
    near = set(gang)
    world.links.may_reach = lambda *pair: victim not in pair or bool(near.intersection(pair))
    world.run_epochs(5)
    others = [name for name in honest_numbers(world) if name != victim]
    assert final(world, victim).index <= 1 < final(world, others[0]).index - 2
    held = {record.author for record in ledger_of(world, victim).records()}
    assert held <= {world.peers[n].key for n in (*gang, victim)}
    near.add(others[0])
    finish(world, 5)
    assert convictions(world) == {}
    assert final(world, victim).index > 5


def test_an_eclipser_passes_on_only_what_its_gang_says() -> None:
    world = make_world(6, kinds={1: "eclipse", 4: "eclipse"})
    world.run_epochs(1)
    actor = world.peers[1].actor
    assert isinstance(actor, Eclipser)
    topic = records_topic(world.network.id)
    records = {n: next(iter(ledger_of(world, 1).chain(world.peers[n].key))).data for n in (*honest_numbers(world), 4)}
    messages = {n: GossipMessage(topic, encode([data])) for n, data in records.items()}
    rpc = Rpc(publish=tuple(messages.values()), ihave=((topic, (bytes(32),)),), graft=(topic,))
    to_victim = actor.outgoing(actor.victim, rpc, world.now_ms)
    assert to_victim == Rpc(publish=(messages[4],), graft=(topic,))
    other = next(world.peers[n].key for n in honest_numbers(world) if world.peers[n].key != actor.victim)
    assert actor.outgoing(other, rpc, world.now_ms) == rpc
    assert not actor.serves_sync(actor.victim, world.now_ms)
    assert actor.serves_sync(other, world.now_ms)


def test_a_spammer_is_refused_record_by_record() -> None:
    """Each kind of junk is refused for its own reason, and none of it counts."""
    floods: list[Rpc] = []

    def see(_actor: Actor, told: object, _now_ms: int) -> None:
        if isinstance(told, RawRpc) and (told.rpc.ihave or told.rpc.iwant):
            floods.append(told.rpc)

    world = play("spammer", 5, make=watching(see))
    assert rejected(world)["bad signature"] > 20
    assert rejected(world)["malformed batch"] > 20
    assert any("disconnected: too many faults" in peer.notes for peer in world.honest)
    assert convictions(world) == {}
    assert len(floods) > 50
    ledger = ledger_of(world, 0)
    assert {record.author for record in ledger.records()} == set(world.by_key)
    assert member_of(world, BAD).weight == 1  # routers drop the peer, but the fold does not judge it
