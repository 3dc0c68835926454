"""A network of two models: a client asks any of them at one node, and only peers that serve the model answer."""

from dataclasses import replace

import pytest
import trio

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.language import toy_language
from p2pverify.node.clients.checking import check_receipt_document
from p2pverify.node.clients.desk import LOCAL
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from p2pverify.testnet.world.peer.engine import ACROSS
from tests.api.openai.test_door import ASKED, CHAT, COMPLETIONS, MODEL, Served, listening
from tests.support.doors import grown_world, open_door
from tests.support.lines import VERSION_1, overlap_world
from tests.support.networks import MANIFEST

OTHER = replace(MANIFEST, model="Other one Q4", weights=b"\2" * 32)
UNKNOWN = replace(MANIFEST, model="Without tokens", weights=b"\3" * 32)
NAME = "Other-one-Q4"
SEEDS = iter(range(10**6))  # peers remember what they were asked, and the world is used again


#: Peers 0, 3 and 6 serve the first model, the others the second one: 1, 4 and 7 on one path, 2 and 5 on another.
SERVED = (MANIFEST, OTHER, OTHER)


def two_models(usual: Network) -> Network:
    """A class for each path."""
    classes = tuple(
        DeterminismClass(f"path-{n}", one.digest, "toy", f"path {n}", 1_000, ACROSS) for n, one in enumerate(SERVED)
    )
    return replace(usual, manifests=tuple(sorted((MANIFEST.digest, OTHER.digest))), classes=classes)


@pytest.fixture(scope="module")
def world():
    def make(kind: str, args: ActorArgs) -> Actor:
        return make_actor(kind, replace(args, manifest=SERVED[args.class_index]))

    return grown_world(8, classes=3, epochs=8, contract=two_models, make=make)


def language(manifest: Manifest):
    if manifest == UNKNOWN:
        raise WeightsError("no file on this machine has its tokens: 'p2pverify model add FILE' remembers a file")
    return toy_language()


@pytest.fixture
async def served(tmp_path, world):
    listed = (OTHER, MANIFEST, UNKNOWN)
    opening = open_door(tmp_path, world, referee=True, audit_rate=1, listed=listed, open_language=language)
    with trio.fail_after(60):
        async with opening as bench, listening(bench, tmp_path) as found:
            yield found


def asked(**changes: object) -> dict[str, object]:
    return {**ASKED, "model": NAME, "seed": next(SEEDS), **changes}


def peers(served: Served, *numbers: int) -> set[bytes]:
    return {served.bench.world.peers[number].machine.key for number in numbers}


async def test_a_question_goes_to_the_peers_of_its_model(served):
    """The receipt names the model, and holds by itself. This node is never asked for a model that it does not run."""
    for number in range(12):
        reply = await served.ask(CHAT, asked(stream=number % 2 == 0))
        assert reply.status == 200
    assert set(served.bench.network.asked) <= peers(served, 1, 2, 4, 5, 7)
    assert reply.json["model"] == NAME
    said = reply.json["p2pverify"]
    assert (said["manifest"], said["answers"][0]["own"]) == (OTHER.digest.hex(), False)
    document = await served.bench.door.receipt(said["receipt"], LOCAL)
    assert document is not None
    assert document.model == NAME
    assert check_receipt_document(served.bench.world.network, document)
    first = len(served.bench.network.asked)
    for _ in range(8):
        assert (await served.ask(CHAT, asked(model=MODEL))).json["model"] == MODEL
    assert set(served.bench.network.asked[first:]) <= peers(served, 3, 6)


async def test_it_can_be_named_by_its_manifest_and_by_tokens(served):
    """All of OpenAI's paths know it; what this node cannot know of it is not told."""
    first, second, _ = (await served.ask("/v1/models")).json["data"]
    assert [(m["id"], m["p2pverify"]["here"], m["p2pverify"]["peers"]) for m in (first, second)] == [
        (MODEL, True, 3),
        (NAME, False, 5),
    ]
    assert (await served.ask(f"/v1/models/{NAME}")).json == second
    text = await served.ask(COMPLETIONS, {**asked(prompt="once", model=OTHER.digest.hex()), "messages": None})
    assert text.status == 400  # one of the two paths' own parameters
    usual = {"model": OTHER.digest.hex(), "seed": next(SEEDS), "max_tokens": 9}
    text = await served.ask(COMPLETIONS, {**usual, "prompt": "once"})
    assert (await served.ask(COMPLETIONS, {**usual, "prompt": [*b"once"]})).json["choices"] == text.json["choices"]
    refused = await served.ask(COMPLETIONS, {**usual, "prompt": [256]})
    assert (refused.status, refused.error["param"]) == (400, "prompt")
    refused = await served.ask(CHAT, asked(logprobs=True))
    assert (refused.status, refused.error["param"]) == (400, "logprobs")
    assert f"this node does not run {NAME}" in refused.error["message"]


async def test_without_its_tokens_a_model_cannot_be_asked(served):
    """The error says what to do. Clients do not repeat the request."""
    refused = await served.ask(CHAT, asked(model="Without-tokens"))
    assert (refused.status, refused.error["param"], refused.error["code"]) == (404, "model", "no_tokens")
    assert "this node has no tokens of Without-tokens" in refused.error["message"]
    assert "p2pverify model add" in refused.error["message"]
    assert served.bench.network.asked == []


async def test_two_models_of_one_name_need_a_digest(served):
    """The error has both digests."""
    served.bench.door.catalog.models[UNKNOWN.digest].manifest = replace(UNKNOWN, model=OTHER.model)
    refused = await served.ask(CHAT, asked())
    assert (refused.status, refused.error["param"]) == (400, "model")
    assert OTHER.digest.hex() in refused.error["message"]
    assert UNKNOWN.digest.hex() in refused.error["message"]


async def test_a_full_check_compares_answers_of_one_model(served):
    """A panel of its peers: equal digests within a class, and nothing across, because the referee here is of another
    model.
    """
    body = (await served.ask(CHAT, asked(model=f"{NAME}@n5z1"))).json["p2pverify"]
    (check,) = body["checks"]
    assert (check["answers"], check["agree"], check["differ"], check["not_compared"]) == (5, 3, 0, 2)
    assert set(served.bench.network.asked) == peers(served, 1, 2, 4, 5, 7)
    (liar,) = peers(served, 4)
    served.bench.lies(liar)
    told = (await served.ask(CHAT, asked(model=f"{NAME}@n3z1"))).json["p2pverify"]
    assert {one["peer_id"]: one["compared"] for one in told["answers"]}[peer_id(liar)] == "differs"
    assert (told["checks"][0]["agree"], told["checks"][0]["differ"]) == (2, 1)


async def test_a_peer_is_asked_for_its_own_model_only(served):
    """Naming a peer of another model is refused."""
    (peer,) = peers(served, 2)
    reply = await served.ask(CHAT, asked(p2pverify={"peer": peer_id(peer)}))
    assert reply.json["p2pverify"]["answers"][0]["peer_id"] == peer_id(peer)
    refused = await served.ask(CHAT, asked(model=MODEL, p2pverify={"peer": peer_id(peer)}))
    assert (refused.status, refused.error["code"]) == (404, "no_such_peer")


async def test_answers_of_other_models_are_not_audited(served):
    """This machine's engine and referee would call them wrong."""
    (peer,) = peers(served, 1)
    served.bench.lies(peer)
    await served.ask(CHAT, asked(p2pverify={"peer": peer_id(peer)}))
    await served.ask(CHAT, asked(model=MODEL))
    auditor = served.bench.door.auditor
    await auditor.wait_idle()
    (audit,) = await auditor.book.all()
    assert audit.peer in peers(served, 3, 6)
    assert auditor.statistics()["answers of other models, which are not audited"] == 1


async def test_versions_are_models_of_one_name(tmp_path):
    """The name is the id of the version that it means, and the digest of the manifest is that of every other one."""
    with trio.fail_after(60):
        async with open_door(tmp_path, overlap_world()) as bench, listening(bench, tmp_path) as found:
            second, first = (await found.ask("/v1/models")).json["data"]
            names, kept = ("line", "version", "status", "peers"), [one["p2pverify"] for one in (first, second)]
            told = [tuple(one[name] for name in names) for one in kept]
            assert told == [("story", 0, "overlap", 2), ("story", 1, "current", 4)]
            assert (second["id"], first["id"]) == (MODEL, kept[0]["manifest"])
            assert second["p2pverify"]["manifest"] == VERSION_1.digest.hex()
            assert (await found.ask("/v1/models/story")).json == second
            for model, peer, number in ((MODEL, 3, 1), (MODEL, 1, 0), ("story", 1, 0), (first["id"], 2, 0)):
                named = {"peer": peer_id(bench.world.peers[peer].machine.key)}
                reply = await found.ask(CHAT, asked(model=model, p2pverify=named))
                assert reply.status == 200
                assert reply.json["p2pverify"]["manifest"] == kept[number]["manifest"]
            named = {"peer": peer_id(bench.world.peers[3].machine.key)}
            refused = await found.ask(CHAT, asked(model=first["id"], p2pverify=named))
            assert (refused.status, refused.error["code"]) == (404, "no_such_peer")
