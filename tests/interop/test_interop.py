"""js-libp2p and py-libp2p take part: records reach them, come from them, and pass through them."""

import json
from pathlib import Path

import pytest
import trio

from p2pverify.core.contract.network import decode_network
from p2pverify.core.encoding.canon import encode
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.types import records_topic
from p2pverify.core.records.envelope import decode_record
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.clock import unix_ms
from p2pverify.node.files.networkfile import new_network
from p2pverify.node.messages import decode_batch
from tests.interop.nodes import Node, keys_of
from tests.interop.others import started
from tests.net.real_peers import NETWORK, join
from tests.support.networks import MANIFEST

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
PATIENCE_S = 40
EPOCH_MS = 400
RUBBISH = 40

both = pytest.mark.parametrize("implementation", ["js", "py"])


@both
async def test_a_record_from_the_vectors_is_accepted(implementation, tmp_path, nursery):
    """It publishes a valid record, which we keep, then an invalid record, and then garbage until our mesh excludes
    it."""
    valid, invalid = (VECTORS / "join" / f"{name}.json" for name in ("valid", "invalid"))
    case = json.loads(valid.read_bytes())[0]
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    now_ms = network.params.genesis_ms + case["input"]["epoch_now"] * network.params.epoch_ms
    record = decode_record(bytes.fromhex(case["input"]["record"]))
    with trio.fail_after(PATIENCE_S):
        alice = Node("alice", network, MANIFEST, clock=lambda: now_ms)
        await alice.listen(nursery)
        await alice.begin(nursery)
        async with started(implementation, records_topic(network.id), tmp_path) as other:
            await other.say("dial", address=alice.address)
            identified = await other.wait("identified", peer=alice.peer)
            assert {"/meshsub/1.2.0", "/meshsub/1.1.0", "/p2pverify/request/2", "/ipfs/ping/1.0.0"} <= set(
                identified["protocols"]
            )
            await other.wait("pinged", peer=alice.peer)
            await other.wait_mesh(alice.peer)
            await other.say("vector", file=str(valid), place=0)
            await alice.wait_until(lambda: alice.holds(record.id))
            assert alice.ear.verdicts == [GossipVerdict.ACCEPT]

            await other.say("vector", file=str(invalid), place=0)
            await alice.wait_until(lambda: len(alice.ear.verdicts) == 2)
            assert alice.ear.verdicts[-1] is GossipVerdict.REJECT
            for number in range(RUBBISH):
                await other.say("publish", data=f"rubbish {number}".encode().hex())
            await other.wait_mesh()
            rejected = alice.ear.verdicts.count(GossipVerdict.REJECT)
            assert rejected == len(alice.ear.verdicts) - 1
            assert alice.mesh.statistics()["router_verdicts_reject"] == rejected


@both
async def test_records_travel_through_it(implementation, tmp_path, nursery):
    """Two of our nodes that are connected only through the other peer certify cuts, so records passed in both
    directions."""
    founders = tuple(keys_of("alice", "bob"))
    network, manifests = new_network(
        "small",
        founders,
        ToyEngine().info,
        genesis_ms=unix_ms() - EPOCH_MS,
        epoch_ms=EPOCH_MS,
        slots_milli=1000,
        panel_size=1,
        spot_check_permille=0,
    )
    with trio.fail_after(PATIENCE_S):
        async with started(implementation, records_topic(network.id), tmp_path) as other:
            alice = Node("alice", network, manifests[0])
            bob = Node("bob", network, manifests[0], other.address)
            for node in (alice, bob):
                await node.listen(nursery)
            await other.say("dial", address=alice.address)
            await other.wait_mesh(*sorted((alice.peer, bob.peer)))
            for node in (alice, bob):
                await node.wait_greeted(key_of(other.peer))
                await node.begin(nursery)
            for node in (alice, bob):
                await node.driver.wait_final(2)
            for node in (alice, bob):
                assert node.mesh.neighbours() == ()
                assert [link.peer for link in node.mesh._host.links()] == [key_of(other.peer)]
                assert set(founders) <= {author for author, _, _ in node.driver.machine.context.ledger.heads()}
            heard = (
                record for message in other.all("message") for record in decode_batch(bytes.fromhex(message["data"]))
            )
            assert set(founders) <= {decode_record(record).author for record in heard}


@both
async def test_it_hears_what_we_have_and_says_what_it_has(implementation, tmp_path, nursery):
    """Alice's message reaches Bob, and the other peer between them. One of gossipsub v1.2 says what it has by
    IDONTWANT; one of v1.1 is served without it."""
    speaks = implementation == "js"
    message = encode([bytes(1000)])
    with trio.fail_after(PATIENCE_S):
        alice = await join(nursery, "alice")
        async with started(implementation, records_topic(NETWORK), tmp_path) as other:
            bob = await join(nursery, "bob", alice.address, other.address)
            await other.say("dial", address=alice.address)
            await other.wait_mesh(*sorted(map(peer_id, (alice.key, bob.key))))
            alice.mesh.publish_nowait(message)
            await bob.inbox.wait_heard(message)
            await other.wait("message", data=message.hex())
            while speaks and not bob.count("router_idontwant_ids_received"):
                alice.mesh.publish_nowait(message := encode([message[-900:] + message[:90]]))
                await bob.inbox.wait_heard(message)
                await other.wait("message", data=message.hex())
            assert bob.count("router_idontwant_ids_sent") >= speaks
