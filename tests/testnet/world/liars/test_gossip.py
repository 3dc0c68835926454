"""Peers that abuse the links, each kind alone in a small world."""

from p2pverify.core.encoding.canon import encode
from p2pverify.core.gossip.types import GossipMessage, Rpc, records_topic
from p2pverify.testnet.world.liars.gossip import Eclipser
from tests.testnet.small_world import SmallWorld
from tests.testnet.world.liars.test_answers import BAD, finish, play


def test_an_eclipsed_peer_stays_behind_and_contradicts_nobody() -> None:
    """All links of the victim lead to the gang. With one honest link, the victim catches up."""
    gang = (1, 4, 6)
    world = SmallWorld(10, dict.fromkeys(gang, "eclipse"), seed=3)
    actor = world.actors[1]
    assert isinstance(actor, Eclipser)
    victim = world.by_key[actor.victim]
    assert victim in world.honest
    assert {world.actors[n].victim for n in gang} == {actor.victim}  # type: ignore[attr-defined]
    world.only[victim] = set(gang)
    world.run_epochs(5)
    others = [name for name in world.honest if name != victim]
    assert world.final(victim).index <= 1 < world.final(others[0]).index - 2
    held = {record.author for record in world.ledger(victim).records()}
    assert held <= {world.keys[n] for n in (*gang, victim)}
    world.only[victim].add(others[0])
    finish(world, 5)
    assert world.convicted() == {}
    assert world.final(victim).index > 5


def test_an_eclipser_passes_on_only_what_its_gang_says() -> None:
    world = SmallWorld(6, {1: "eclipse", 4: "eclipse"})
    world.run_epochs(1)
    actor = world.actors[1]
    assert isinstance(actor, Eclipser)
    topic = records_topic(world.network.id)
    records = {n: next(iter(world.ledger(1).chain(world.keys[n]))).data for n in (*world.honest, 4)}
    messages = {n: GossipMessage(topic, encode([data])) for n, data in records.items()}
    rpc = Rpc(publish=tuple(messages.values()), ihave=((topic, (bytes(32),)),), graft=(topic,))
    to_victim = actor.outgoing(actor.victim, rpc, world.now)
    assert to_victim == Rpc(publish=(messages[4],), graft=(topic,))
    other = next(world.keys[n] for n in world.honest if world.keys[n] != actor.victim)
    assert actor.outgoing(other, rpc, world.now) == rpc
    assert not actor.serves_sync(actor.victim, world.now)
    assert actor.serves_sync(other, world.now)


def test_a_spammer_is_refused_record_by_record() -> None:
    """Each kind of junk is refused for its own reason, and none of it counts."""
    world = play("spammer", 5)
    assert world.rejected["malformed batch"] > 50
    assert world.rejected["bad signature"] > 50
    assert world.convicted() == {}
    floods = [rpc for rpc in world.raw if rpc.ihave or rpc.iwant]
    assert len(floods) > 50
    ledger = world.ledger(world.honest[0])
    assert {record.author for record in ledger.records()} == set(world.keys)
    assert world.member(BAD).weight == 1  # routers drop the peer, but the fold does not judge it
