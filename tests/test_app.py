"""A whole node from its settings: start, serve, stop."""

import http.client
import json
import os
import signal
import socket
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import trio
from click.testing import CliRunner

from p2pverify.api.bind import BindError
from p2pverify.app import NodeSettings, Running, run_node
from p2pverify.cli.main import main
from p2pverify.cli.run.adopt import adopt_network
from p2pverify.core.contract.classes import Across
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.engines import EngineSettings
from p2pverify.engine.registry import EngineOpening
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.engines.abilities import CannotAnswerError
from p2pverify.node.engines.classes import ClassError
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_start, manifest_of, new_network
from p2pverify.node.identity.private import HomeError
from p2pverify.node.ports import GENERATE, GREEDY, SCORE, WRITE
from p2pverify.node.user_error import UserError
from p2pverify.store.clients.keys import StoredKeys
from p2pverify.store.errors import StoreError
from tests.support.golden import beside_another_model, golden_path, make_golden


@pytest.fixture
def settings(tmp_path):
    home = Home(tmp_path / "home")
    home.init()
    network, manifests = new_network("lonely", [sign.public_key(home.load_identity())], ToyEngine().info, epoch_ms=300)
    return NodeSettings(home, network, manifests, EngineSettings("toy"), alone=True)


async def get(url: str, path: str) -> dict:
    def fetch() -> dict:
        where = urlsplit(url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=10)
        connection.request("GET", path)
        body = json.loads(connection.getresponse().read())
        connection.close()
        return body

    return await trio.to_thread.run_sync(fetch)


async def test_a_node_starts_serves_and_stops(settings, nursery):
    """The API file has a URL that answers, a second start is refused, and SIGTERM ends everything without errors."""
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            running: Running = await node.start(run_node, settings)
            assert settings.home.read_api() == running.api
            status = await get(running.api, "/v1/status")
            assert status["peer_id"] == running.peer_id == peer_id(settings.network.founders[0])
            assert status["addresses"] == list(running.addresses)
            assert running.addresses[0].endswith(f"/p2p/{running.peer_id}")
            with pytest.raises(HomeError, match="in use by process"):
                await run_node(settings)
            os.kill(os.getpid(), signal.SIGTERM)
        assert settings.home.read_api() is None
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            node.cancel_scope.cancel()
        assert settings.home.read_api() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
async def test_every_signal_that_means_the_end_ends_cleanly(settings, number):
    """This includes the signal of a closed terminal. No `api` file is left."""
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            os.kill(os.getpid(), number)
    assert settings.home.read_api() is None


async def test_a_hangup_that_is_ignored_stays_ignored(settings):
    """`nohup` relies on this."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with trio.fail_after(30):
            async with trio.open_nursery() as node:
                running: Running = await node.start(run_node, settings)
                os.kill(os.getpid(), signal.SIGHUP)
                assert (await get(running.api, "/livez"))["live"]
                assert settings.home.read_api() == running.api
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_an_api_file_of_a_killed_node_does_not_last(settings):
    """It is removed as soon as a node holds the home, long before that node has its own API."""
    settings.home.write_api("http://127.0.0.1:9")
    seen: list[str | None] = []
    settings = replace(settings, on_progress=lambda *_: seen.append(settings.home.read_api()))
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            node.cancel_scope.cancel()
    assert seen
    assert set(seen) == {None}


async def test_progress_is_told(settings):
    """Loading reports its progress."""
    told: list[str] = []
    settings = replace(settings, on_progress=lambda what, done, total: told.append(what))
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            node.cancel_scope.cancel()
    assert "reading records" in told


async def test_an_engine_of_no_class_is_refused(settings):
    """If the network does not know the engine, the node's error describes both."""
    rules = replace(settings.network.classes[0], numeric_path="another")
    network = replace(settings.network, classes=(rules,))
    with pytest.raises(ClassError, match="is of no class"):
        await run_node(replace(settings, network=network))


@pytest.mark.parametrize(
    ("can", "greedy_percent", "is_enough"),
    [({GENERATE, WRITE}, 0, True), ({GREEDY}, 100, True), ({GREEDY}, 99, False), ({SCORE}, 100, False)],
)
async def test_an_engine_that_cannot_answer_as_the_network_asks_is_refused(
    settings, monkeypatch, can, greedy_percent, is_enough
):
    """A server must give an engine enough abilities. Greedy answers are enough if the network asks nothing else."""
    info = replace(ToyEngine().info, can=frozenset(can))
    monkeypatch.setattr(ToyEngine, "info", property(lambda _: info))
    params = replace(settings.network.params, greedy_percent=greedy_percent)
    settings = replace(settings, network=replace(settings.network, params=params))
    with trio.fail_after(30):
        if not is_enough:
            with pytest.raises(
                CannotAnswerError, match="cannot answer at the temperatures of network 'lonely'"
            ) as caught:
                await run_node(settings)
            assert "model selftest" in caught.value.hint
            return
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            node.cancel_scope.cancel()


async def test_the_self_test_finds_the_class(settings):
    """A node answers golden questions before it joins. Its class has the same answers, or is the class for all
    others."""
    here, there = ToyEngine(path="toy/a"), ToyEngine(path="toy/b")
    golden = make_golden(here)
    golden = golden.merged([golden_path(there, golden.questions)])
    network, manifests = new_network(
        "open",
        [sign.public_key(settings.home.load_identity())],
        here.info,
        epoch_ms=300,
        known=replace(manifest_of(here.info), golden=golden),
        others=[(there.info.engine, there.info.numeric_path)],
        unknown=True,
        referee="toy-exact/1",
        across=Across(1, 1, 2, 2, 3, 10_000),
    )
    names = {}
    with trio.fail_after(60):
        for number, variant in enumerate(("toy/a", "toy/b", "toy/c")):
            home = Home(settings.home.path.with_name(f"home{number}"))
            home.init()
            async with trio.open_nursery() as node:
                running = await node.start(
                    run_node,
                    NodeSettings(home, network, manifests, EngineSettings("toy", EngineOpening(variant=variant))),
                )
                names[variant] = (await get(running.api, "/v1/status"))["class"]
                node.cancel_scope.cancel()
    assert names == {"toy/a": "toy", "toy/b": "toy-2", "toy/c": "any"}


async def test_the_self_test_leaves_other_models_alone(settings):
    """Golden questions of another model are outside this engine's vocabulary and are not asked."""
    network, manifests = beside_another_model(settings.network, settings.manifests)
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            running = await node.start(run_node, replace(settings, network=network, manifests=manifests))
            assert (await get(running.api, "/v1/status"))["class"] == "toy"
            node.cancel_scope.cancel()


async def test_another_network_needs_another_home(settings):
    """The database of one network is not opened for another."""
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            node.cancel_scope.cancel()
        other = replace(settings.network, name="other")
        with pytest.raises(StoreError, match="belongs to network"):
            await run_node(replace(settings, network=other))


async def test_a_port_in_use_is_explained(settings):
    """There is one error, no exception group, and it gives advice."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with trio.fail_after(30), pytest.raises(UserError, match="another program uses it"):
            await run_node(replace(settings, listen=(f"/ip4/127.0.0.1/tcp/{port}",)))
        assert settings.home.read_api() is None


async def test_a_cheat_claims_to_be_honest(settings):
    """A cheating engine has the class of the honest one, so the node starts."""
    with trio.fail_after(30):
        for cheat in ("prune", "silent"):
            async with trio.open_nursery() as node:
                running = await node.start(
                    run_node, replace(settings, engine=EngineSettings("toy", cheat=CheatSpec(cheat)))
                )
                assert (await get(running.api, "/v1/status"))["class"] == "toy"
                node.cancel_scope.cancel()


async def test_a_peer_goes_on_in_a_fork_of_its_network(settings, tmp_path):
    """It takes its row along, and the first cut of the fork counts on from the cut that it goes on from."""
    own = settings.network.founders[0]
    with trio.fail_after(180):
        before = await final_cut(settings, 3)
        file = tmp_path / "fork.toml"
        home = settings.home
        home.network_path.write_text(dump_network(settings.network, settings.manifests))
        options = ["--home", str(home.path), "network", "fork", "--from", before["cut"], "-o", str(file)]
        done = CliRunner().invoke(main, options)
        assert done.exit_code == 0, done.output
        network, manifests = adopt_network(home, file, own)
        start = load_start(home.network_path, network)
        assert start.members[own].duties_met > 0
        after = await final_cut(
            replace(settings, network=network, manifests=manifests, start=start), before["index"] + 1
        )
        assert after["index"] > before["index"]
        assert after["epoch"] > before["epoch"]
        again = await final_cut(replace(settings, network=network, manifests=manifests, start=start), after["index"])
        assert again["index"] >= after["index"]
    exported = str(tmp_path / "run.ledger")
    for called in (["export", exported], ["verify", exported], ["verify"]):
        done = CliRunner().invoke(main, ["--home", str(home.path), "ledger", *called])
        assert (done.exit_code, "goes on from" in done.output) == (0, called[0] == "verify"), done.output


async def final_cut(settings: NodeSettings, index: int) -> dict:
    """Run a node until it has a final cut of this index or a later one."""
    async with trio.open_nursery() as node:
        running: Running = await node.start(run_node, settings)
        while True:
            found = (await get(running.api, "/v1/status"))["final"]
            if found is not None and found["index"] >= index:
                node.cancel_scope.cancel()
                return found
            await trio.sleep(0.1)


async def test_a_node_serves_clients_here_and_at_its_gateway(settings):
    """OpenAI's API answers on loopback without a key, and at the gateway only with one."""
    secret, _ = StoredKeys(settings.home.clients_path).add("alice", per_minute=60, at_once=4)
    asked = {"model": "toy", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}

    def chat(url: str, headers: dict[str, str]) -> tuple[int, dict]:
        where = urlsplit(url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
        body = json.dumps(asked)
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    with trio.fail_after(60):
        async with trio.open_nursery() as node:
            running: Running = await node.start(run_node, replace(settings, gateway="127.0.0.1:0"))
            status, body = await trio.to_thread.run_sync(chat, running.api, {})
            assert (status, body["p2pverify"]["answers"][0]["own"]) == (200, True)
            assert (await trio.to_thread.run_sync(chat, running.gateway, {}))[0] == 401
            bearer = {"Authorization": f"Bearer {secret}"}
            status, other = await trio.to_thread.run_sync(chat, running.gateway, bearer)
            assert status == 200
            assert other["p2pverify"]["receipt"] != body["p2pverify"]["receipt"]
            node.cancel_scope.cancel()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindError, match="in use"):
            await run_node(replace(settings, gateway=busy))
