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

from p2pverify.app import NodeError, NodeSettings, Running, parse_cheat, run_node
from p2pverify.core import sign
from p2pverify.core.peerid import peer_id
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.classes import ClassError
from p2pverify.node.home import Home, HomeError
from p2pverify.node.networkfile import new_network
from p2pverify.store.errors import StoreError


@pytest.fixture
def settings(tmp_path):
    home = Home(tmp_path / "home")
    home.init()
    network, manifests = new_network("lonely", [sign.public_key(home.load_identity())], ToyEngine().info, epoch_ms=300)
    return NodeSettings(home, network, manifests, engine="toy")


async def get(url: str, path: str) -> dict:
    def fetch() -> dict:
        where = urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
        connection.request("GET", path)
        body = json.loads(connection.getresponse().read())
        connection.close()
        return body

    return await trio.to_thread.run_sync(fetch)


async def test_a_node_starts_serves_and_stops(settings, nursery):
    """The API file names a URL that answers, a second start is refused, and SIGTERM ends all cleanly."""
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


async def test_progress_is_told(settings):
    """Loading tells how far it is."""
    told: list[str] = []
    settings = replace(settings, on_progress=lambda what, done, total: told.append(what))
    with trio.fail_after(30):
        async with trio.open_nursery() as node:
            await node.start(run_node, settings)
            node.cancel_scope.cancel()
    assert "reading records" in told


async def test_an_engine_of_no_class_is_refused(settings):
    """A node whose engine the network does not know says what both have."""
    rules = replace(settings.network.classes[0], numeric_path="another")
    network = replace(settings.network, classes=(rules,))
    with pytest.raises(ClassError, match="is of no class"):
        await run_node(replace(settings, network=network))


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
    """The error is one, not a group, and says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with trio.fail_after(30), pytest.raises(NodeError, match="another program uses it"):
            await run_node(replace(settings, listen=f"/ip4/127.0.0.1/tcp/{port}"))
        assert settings.home.read_api() is None


@pytest.mark.parametrize("text", ["lie", "prune@", "prune@0", "prune@1.1", "prune@nan", "canned@x", ""])
async def test_cheats_are_read_strictly(settings, text):
    """An unknown kind or an impossible rate is refused before anything starts."""
    with pytest.raises(NodeError):
        await run_node(replace(settings, cheat=text))


def test_cheats_have_a_rate():
    """Without a rate a cheat always cheats."""
    assert parse_cheat("silent") == ("silent", 1.0)
    assert parse_cheat("canned@0.25") == ("canned", 0.25)


async def test_a_cheat_claims_to_be_honest(settings):
    """A cheating engine has the class of the honest one, so the node starts."""
    with trio.fail_after(30):
        for cheat in ("prune", "silent"):
            async with trio.open_nursery() as node:
                running = await node.start(run_node, replace(settings, cheat=cheat))
                assert (await get(running.api, "/v1/status"))["class"] == "toy"
                node.cancel_scope.cancel()
