"""Ports of the router: what its answer is worth, and what is told when it has none."""

import threading

import miniupnpc
import pytest
import trio

from p2pverify.core.counters import Counters
from p2pverify.net.reach import upnp
from p2pverify.net.reach.reaching import ReachSettings
from p2pverify.net.reach.upnp import MappedPort, MappingError, PortMapping, map_port, public_address
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import join

HERE = [parse_address("/ip6/::1/tcp/5"), parse_address("/ip4/192.168.1.2/tcp/4747")]


@pytest.mark.parametrize(
    ("host", "why"), [("10.1.2.3", "behind another one"), ("100.64.0.1", "behind another one"), ("no", "no address")]
)
def test_a_router_without_a_public_address(host, why):
    """It cannot help, and the operator hears why."""
    with pytest.raises(MappingError, match=why):
        public_address(MappedPort(host, 4747))


def test_a_public_address_is_told():
    """With the port that the router forwards."""
    assert str(public_address(MappedPort("1.2.3.4", 4747))) == "/ip4/1.2.3.4/tcp/4747"


async def test_the_port_is_kept_forwarded(monkeypatch):
    """It is asked for again before the lease ends. A router that fails is asked again sooner, and hidden until then."""
    assert upnp.AGAIN_SOON_SECONDS < upnp.AGAIN_SECONDS < upnp.LEASE_SECONDS
    monkeypatch.setattr(upnp, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(upnp, "AGAIN_SOON_SECONDS", 0.01)
    asked, told = [], []

    def answer(port):
        asked.append(port)
        if len(asked) == 2:
            raise MappingError("the router refuses (busy)")
        return MappedPort("1.2.3.4", port)

    counters = Counters()
    mapping = PortMapping(answer, counters)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mapping.run, HERE, told.append)
            while len(told) < 3:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert set(asked) == {4747}
    assert [list(map(str, addresses)) for addresses in told] == [
        ["/ip4/1.2.3.4/tcp/4747"],
        [],
        ["/ip4/1.2.3.4/tcp/4747"],
    ]
    assert counters["upnp_mapped"] >= 2
    assert counters["upnp_failed"] == 1
    assert mapping.failed == ""


async def test_a_router_that_does_not_answer_holds_nothing_up(monkeypatch):
    """The thread is left alone after five seconds."""
    assert upnp.MAP_SECONDS_MAX == 5
    monkeypatch.setattr(upnp, "MAP_SECONDS_MAX", 0.05)
    begun, released = trio.Event(), []
    token = trio.lowlevel.current_trio_token()

    def hang(_port):
        stop = threading.Event()
        released.append(stop)
        token.run_sync_soon(begun.set)
        stop.wait(30)
        return MappedPort("1.2.3.4", 1)

    mapping = PortMapping(hang, Counters())
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mapping.run, HERE, lambda addresses: None)
            await begun.wait()
            while not mapping.failed:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    released[0].set()
    assert "does not answer" in mapping.failed


async def test_a_node_without_ipv4_asks_no_router():
    """It says so."""
    mapping = PortMapping(lambda port: MappedPort("1.2.3.4", port), Counters())
    await mapping.run(HERE[:1], lambda addresses: None)
    assert mapping.failed


class _Router:
    """What miniupnpc shows of a router; no packet leaves this machine."""

    found, lanaddr, forwarded = 1, "192.168.1.2", ()

    def __init__(self, discoverdelay):
        assert discoverdelay == upnp.DISCOVER_MS

    def discover(self):
        return self.found

    def selectigd(self):
        return "http://192.168.1.1/"

    def externalipaddress(self):
        return "1.2.3.4"

    def addportmapping(self, *rule):
        if rule[0] == 1:
            raise Exception("NotAuthorized")  # as the library does
        _Router.forwarded = rule


def test_the_router_is_asked_by_the_library(monkeypatch):
    """Its refusal, and its silence, are told in words. The library has what is called."""
    real = miniupnpc.UPnP()
    assert all(
        hasattr(real, name) for name in vars(_Router) if not name.startswith("_") and name not in ("found", "forwarded")
    )
    monkeypatch.setattr(miniupnpc, "UPnP", _Router)
    assert map_port(4747) == MappedPort("1.2.3.4", 4747)
    assert _Router.forwarded == (4747, "TCP", "192.168.1.2", 4747, "p2pverify", "", upnp.LEASE_SECONDS)
    with pytest.raises(MappingError, match="NotAuthorized"):
        map_port(1)
    monkeypatch.setattr(_Router, "found", 0)
    with pytest.raises(MappingError, match="no router"):
        map_port(4747)


async def test_what_the_router_forwards_is_told(nursery):
    """The status shows the address, and peers hear of it."""
    with trio.fail_after(20):
        settings = ReachSettings(map_port=lambda port: MappedPort("1.2.3.4", port))
        alice = await join(nursery, "alice", reach=settings)
        while not alice.mesh.reach().mapped:
            await trio.lowlevel.checkpoint()
        port = alice.address.split("/")[4]
        assert alice.mesh.reach().mapped == f"/ip4/1.2.3.4/tcp/{port}"
        assert alice.mesh.addresses()[0].startswith("/ip4/1.2.3.4/tcp/")
