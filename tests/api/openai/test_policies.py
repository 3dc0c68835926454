"""How clients ask for checks: in a field, after the model's name, or not at all; and what they are told of them."""

import json
from dataclasses import replace
from functools import partial

import pytest
import trio

from p2pverify.api.openai.errors import OpenAIError
from p2pverify.api.openai.policies import NamedModel, named_model
from p2pverify.api.server import serve
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.window import CheckPolicy
from tests.api.fakes import TOKEN, FakeReports, NoOrders
from tests.api.openai.test_door import ASKED, CHAT, COMPLETIONS, JSON, MODEL, Served, listening
from tests.support.doors import grown_world, open_door

SEEDS = iter(range(10**6, 10**7))  # peers remember what they were asked, and the world is used again


@pytest.fixture(scope="module")
def world():
    return grown_world(6)


@pytest.fixture
async def served(tmp_path, world):
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as bench, listening(bench, tmp_path) as found:
            yield found


def asked(**changes: object) -> dict[str, object]:
    return {**ASKED, "seed": next(SEEDS), **changes}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m", NamedModel("m")),
        ("m@n3", NamedModel("m", panel=3)),
        ("m@z10", NamedModel("m", every=10)),
        ("m@n5z10", NamedModel("m", 5, 10)),
        ("a@b@n31z100000", NamedModel("a@b", 31, 100_000)),
    ],
)
def test_suffixes(text, expected):
    assert named_model(text) == expected


@pytest.mark.parametrize(
    "text", ["m@", "m@n", "m@n0", "m@z0", "m@n32", "m@z100001", "m@z10n5", "m@3", "m@n-1", "m@n٣", "m@n3 ", "m@n1e1"]
)
def test_suffixes_that_say_nothing(text):
    with pytest.raises(OpenAIError) as refused:
        named_model(text)
    assert (refused.value.status, refused.value.param) == (400, "model")


async def told(served: Served, **changes: object) -> dict:
    """What the object `p2pverify` of an answer says."""
    reply = await served.ask(CHAT, asked(**changes))
    assert reply.status == 200, reply.body
    return reply.json["p2pverify"]


async def test_a_field_and_a_suffix_say_the_same(served):
    """What is left out is as in the node's own settings; a client that says how often, but not how many, gets three."""
    usual = CheckPolicy(1, 10)
    for changes, panel, every in (
        ({}, 1, 10),
        ({"p2pverify": None}, 1, 10),
        ({"p2pverify": {}}, 1, 10),
        ({"p2pverify": {"panel": 3, "every": 1}}, 3, 1),
        ({"model": f"{MODEL}@n3z1"}, 3, 1),
        ({"model": f"{MODEL}@n3", "p2pverify": {"every": 2}}, 3, 2),
        ({"model": f"{MODEL}@n3", "p2pverify": {"panel": 3}}, 3, 10),
        ({"model": f"{MODEL}@n4"}, 4, 10),
        ({"model": f"{MODEL}@z1"}, 3, 1),
        ({"p2pverify": {"panel": 1, "every": 1}}, 1, 1),
    ):
        said = await told(served, **changes)
        assert said["policy"] == {"panel": panel, "every": every}
        if every == 1 and panel > 1:
            assert said["checks"] == [
                {"index": 0, "panel": panel, "answers": panel, "agree": panel, "differ": 0, "not_compared": 0,
                 "majority": True}
            ]  # fmt: skip
            assert [one["returned"] for one in said["answers"]] == [True] + [False] * (panel - 1)
            assert {one["compared"] for one in said["answers"]} == {"agrees"}
        elif panel == 1:
            assert said["checks"] == []
            assert [(one["returned"], one["compared"]) for one in said["answers"]] == [(True, None)]
    served.bench.door.policy = replace(usual, panel=5, every=1)
    assert (await told(served))["policy"] == {"panel": 5, "every": 1}
    assert (await told(served, model=f"{MODEL}@z2"))["policy"] == {"panel": 5, "every": 2}


async def test_streams_and_completions_are_checked_too(served):
    """The last chunk says so. The texts are those of a plain answer."""
    wish = {"panel": 3, "every": 1}
    body = asked(p2pverify=wish)
    plain = (await served.ask(CHAT, body)).json
    stream = await served.ask(CHAT, {**body, "stream": True})
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in stream.events)
    assert said == plain["choices"][0]["message"]["content"]
    assert stream.events[-1]["p2pverify"]["checks"][0]["agree"] == 3
    text = {"model": f"{MODEL}@n3z1", "prompt": ["once", "upon"], "max_tokens": 20, "seed": next(SEEDS)}
    reply = (await served.ask(COMPLETIONS, text)).json
    assert [check["index"] for check in reply["p2pverify"]["checks"]] == [0, 1]
    assert [choice["index"] for choice in reply["choices"]] == [0, 1]


async def test_logprobs_are_of_the_answer_that_the_client_gets(served):
    said = (await served.ask(CHAT, asked(logprobs=True, p2pverify={"panel": 3, "every": 1}))).json
    content = said["choices"][0]["logprobs"]["content"]
    assert "".join(one["token"] for one in content) == said["choices"][0]["message"]["content"]
    marks = [one["checked"][-1] for one in said["p2pverify"]["answers"]]
    assert marks == ["recomputed", "standing", "standing"]


async def test_the_majority_is_returned_and_the_liar_is_marked(served):
    """With another answer, an answer that looked alike would be a lie. The receipt has both texts."""
    liar = served.bench.others[1]
    served.bench.lies(liar)
    body = asked(p2pverify={"panel": 5, "every": 1})
    reply = await served.ask(CHAT, body)
    said = reply.json["p2pverify"]
    assert (said["checks"][0]["agree"], said["checks"][0]["differ"]) == (4, 1)
    assert [one["compared"] for one in said["answers"] if one["peer_id"] == peer_id(liar)] == ["differs"]
    receipt = (await served.ask(f"/v1/receipts/{said['receipt']}")).json
    texts = {one["text"] for one in receipt["answers"]}
    assert len(texts) == 2
    assert receipt["answers"][0]["text"] == reply.json["choices"][0]["message"]["content"]


async def test_without_a_majority_the_error_is_final(served):
    """In OpenAI's shape, with its own code. Clients do not ask again by themselves, and a stream does not begin."""
    served.bench.lies(*served.bench.others)
    for stream in (False, True):
        reply = await served.ask(CHAT, asked(stream=stream, p2pverify={"panel": 3, "every": 1}))
        assert (reply.status, reply.error["code"], reply.error["type"]) == (502, "no_majority", "server_error")
        assert reply.headers["x-should-retry"] == "false"
        assert "retry-after" not in reply.headers
        receipt = (await served.ask(f"/v1/receipts/{reply.headers['x-p2pverify-receipt']}")).json
        assert (receipt["state"], len(receipt["answers"]), receipt["checks"][0]["majority"]) == ("failed", 3, False)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"p2pverify": {"panel": 0}}, "p2pverify.panel", "unsupported_value"),
        ({"p2pverify": {"panel": 32}}, "p2pverify.panel", "unsupported_value"),
        ({"p2pverify": {"panel": "3"}}, "p2pverify.panel", "unsupported_value"),
        ({"p2pverify": {"panel": True}}, "p2pverify.panel", "unsupported_value"),
        ({"p2pverify": {"every": 0}}, "p2pverify.every", "unsupported_value"),
        ({"p2pverify": {"every": 100_001}}, "p2pverify.every", "unsupported_value"),
        ({"p2pverify": {"evry": 3}}, "p2pverify.evry", "unknown_parameter"),
        ({"p2pverify": 3}, "p2pverify", "unsupported_value"),
        ({"p2pverify": {"peer": "Qm"}}, "p2pverify.peer", "invalid_value"),
        ({"p2pverify": {"peer": "x" * 101}}, "p2pverify.peer", "unsupported_value"),
        ({"model": f"{MODEL}@n3", "p2pverify": {"panel": 5}}, "p2pverify.panel", "invalid_value"),
        ({"model": f"{MODEL}@z3", "p2pverify": {"every": 5}}, "p2pverify.every", "invalid_value"),
        ({"model": f"{MODEL}@x3"}, "model", "invalid_value"),
    ],
)
async def test_refusals_name_the_parameter(served, changes, param, code):
    reply = await served.ask(CHAT, asked(**changes))
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, param, code)
    assert served.bench.network.asked == []


async def test_one_named_peer_is_asked(served):
    """It alone. A peer that nobody knows, and a peer that is to be a panel, are refused."""
    peer = served.bench.others[3]
    said = await told(served, p2pverify={"peer": peer_id(peer)})
    assert [one["peer_id"] for one in said["answers"]] == [peer_id(peer)]
    assert served.bench.network.asked == [peer]
    own = await told(served, p2pverify={"peer": peer_id(served.bench.own)})
    assert own["answers"][0]["own"]
    other = await served.ask(CHAT, asked(p2pverify={"peer": peer_id(bytes(31) + b"\1")}))
    assert (other.status, other.error["param"], other.error["code"]) == (404, "p2pverify.peer", "no_such_peer")
    for changes in ({"panel": 3}, {"every": 3}):
        reply = await served.ask(CHAT, asked(p2pverify={"peer": peer_id(peer), **changes}))
        assert (reply.status, reply.error["param"]) == (400, "p2pverify.peer")
    reply = await served.ask(CHAT, asked(model=f"{MODEL}@n3", p2pverify={"peer": peer_id(peer)}))
    assert (reply.status, reply.error["param"]) == (400, "p2pverify.peer")


async def test_models_have_no_suffix(served):
    """A suffix is no model: the list and its entries are as before."""
    (model,) = (await served.ask("/v1/models")).json["data"]
    assert model["id"] == MODEL
    assert (await served.ask(f"/v1/models/{MODEL}@n3")).status == 404
    assert (await served.ask(CHAT, asked(model="gpt-9@n3"))).error["code"] == "model_not_found"


async def test_the_form_is_described(served):
    document = json.loads((await served.ask("/openapi.json")).body)
    assert set(document["components"]["schemas"]["CheckWish"]["properties"]) == {"panel", "every", "peer", "report"}
    assert "502" in document["paths"][CHAT]["post"]["responses"]


async def test_the_token_of_the_home_is_the_operators_key(served):
    """Where clients of this machine need keys, the operator's own commands have the token, and the gateway does not
    take it."""
    run = partial(serve, FakeReports(), bind="127.0.0.1:0", token=TOKEN, home_key=bytes(32), orders=NoOrders())
    bearer = (JSON, ("Authorization", f"Bearer {TOKEN}"))
    async with trio.open_nursery() as nursery:
        strict = replace(served, url=await nursery.start(partial(run, door=served.bench.door, keys=served.keys)))
        assert (await strict.ask(CHAT, asked(), headers=bearer)).status == 200
        assert (await strict.ask(CHAT, asked())).status == 401
        assert (await served.ask(CHAT, asked(), headers=bearer, gateway=True)).status == 401
        nursery.cancel_scope.cancel()
