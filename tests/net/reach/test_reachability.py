"""What a peer concludes from dial-back, and which addresses it then tells."""

import pytest
import trio

from p2pverify.net.border import connection_limits
from p2pverify.net.border.host import DialError
from p2pverify.net.peers.signed_addresses import GLOBAL, LOCAL, LOOPBACK, OwnAddresses
from p2pverify.net.reach import reachability
from p2pverify.net.reach.verdict import is_dialled
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.endpoints.reach import Reach
from tests.net.circuit.test_circuits import wait_relays
from tests.net.real_peers import NETWORK, FakeInbox, call, join, seed_of, stranger


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ("", None),
        ("y", True),
        ("n", False),
        ("yn", False),
        ("yy", True),
        ("yyn", False),
        ("yyy", True),
        ("yyyn", True),
        ("yynn", False),
    ],
)
def test_three_of_four_or_all_of_fewer(answers, verdict):
    """Without an answer there is no verdict."""
    assert is_dialled({str(n): letter == "y" for n, letter in enumerate(answers)}) is verdict


def test_addresses_that_cannot_be_dialled_are_not_told():
    """RelayReservations come first, those of a smaller reach stay, and what the operator announces is always told."""
    listening = [parse_address(f"/ip4/{host}/tcp/1") for host in ("1.2.3.4", "10.0.0.1", "127.0.0.1")]
    relayed = parse_address(f"/ip4/5.6.7.8/tcp/2/p2p/{_ID}/p2p-circuit", allow_relay=True)
    mapped = parse_address("/ip4/9.9.9.9/tcp/3")
    own = OwnAddresses(seed_of("alice"), NETWORK, (), lambda: 10**12, lambda: ())
    first = own.statement(listening)
    assert own.hide({"ip4": GLOBAL})
    assert not own.hide({"ip4": GLOBAL})
    own.relay([relayed])
    assert own.addresses(listening) == (relayed, *listening[1:])
    assert own.statement(listening).seq > first.seq
    own.hide({"ip4": LOCAL})
    assert own.addresses(listening) == (relayed, listening[2])
    own.hide({"ip4": LOOPBACK, "ip6": LOOPBACK})
    assert own.addresses(listening) == (relayed,)
    own.hide({})
    own.map([mapped])
    assert own.addresses(listening) == (relayed, mapped, *listening)
    announced = OwnAddresses(seed_of("alice"), NETWORK, (listening[0],), lambda: 10**12, lambda: ())
    announced.hide({"ip4": LOOPBACK})
    assert announced.addresses(listening[1:]) == (listening[0],)


_ID = "12D3KooWSRf7BHNFFW9vfW5S1KmpPeCkeChJGZE2V9xt1KXXWpt2"


async def test_a_peer_finds_out_that_it_is_dialled(nursery, monkeypatch):
    """Its neighbour tries, and its addresses stay as they are."""
    monkeypatch.setattr(reachability, "SETTLE_SECONDS", 0.1)
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        while "unknown" in (alice.mesh.reach().state, bob.mesh.reach().state):
            await trio.lowlevel.checkpoint()
        found = bob.mesh.reach()
    assert (found.state, found.asked, found.reached) == ("direct", 1, 1)
    assert bob.mesh.addresses() == (bob.address,)
    assert "1 of 1 peers" in found.why()
    assert found.advice() == ""


async def test_a_peer_behind_a_router_uses_a_relay(nursery, monkeypatch):
    """It listens, but nobody can dial it, as the announced port leads nowhere. So it reserves and tells that."""
    monkeypatch.setattr(reachability, "SETTLE_SECONDS", 0.1)
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        free = await trio.open_tcp_listeners(0, host="127.0.0.1")
        dead = free[0].socket.getsockname()[1]
        await free[0].aclose()
        hidden = await join(nursery, "hidden", relay.address)
        monkeypatch.setattr(hidden.mesh._reaching._reachability, "_told", lambda: (_at(dead),))
        await wait_relays(hidden, 1)
        assert hidden.mesh.reach().state == "relayed"
        assert all("p2p-circuit" in address for address in hidden.mesh.addresses())
        asker = await join(nursery, "asker", relay.address)
        statement = None
        while statement is None or not any(address.relay for address in statement.addresses):
            await trio.lowlevel.checkpoint()
            statement = asker.mesh._peers._book.statement(hidden.key)
        assert (await asker.mesh.ask(hidden.key, b"?")).data == b"echo ?"


def _at(port):
    return parse_address(f"/ip4/127.0.0.1/tcp/{port}")


async def test_members_find_a_place_when_strangers_have_taken_all(nursery):
    """Requests of duties go over such connections, whoever dialled them. They are no more than 16."""
    names = [f"m {n}" for n in range(3)]
    with trio.fail_after(30):
        keys = {(await stranger(nursery, name)).peer for name in names}
        alice = await join(nursery, "alice", inbox=FakeInbox(members=keys), peers_max=1)
        first = await call(await stranger(nursery, "first"), alice)
        late = await stranger(nursery, "late")
        try:
            late_link = await call(late, alice)
            await late_link.closed.wait()
        except DialError:
            assert alice.mesh._host.link(late.peer) is None
        members = [await call(await stranger(nursery, name), alice) for name in names]
        while alice.count("links_of_members_kept") < len(names):
            await trio.lowlevel.checkpoint()
        assert not first.closed.is_set()
        assert not any(link.closed.is_set() for link in members)
    assert alice.count("links_refused") == 1
    assert connection_limits.INBOUND_PER_ADDRESS_MAX == 16


@pytest.mark.parametrize(
    ("found", "why", "advice"),
    [
        (Reach("unknown"), "no peer has tried yet", ""),
        (Reach("direct", asked=4, reached=3), "3 of 4 peers that tried could dial it", ""),
        (Reach("relayed", listens=False, relays=("a", "b")), "it listens nowhere, and 2 relays take", "--listen"),
        (Reach("relayed", asked=4, relays=("a",)), "0 of 4 peers that tried could dial it, and one relay", "--upnp"),
        (Reach("unreachable", asked=2), "no relay has taken its connections", "until then audits of this node fail"),
        (Reach("unreachable", mapping_failed="no router"), "no relay", "(--upnp failed: no router)"),
    ],
)
def test_what_people_are_told(found, why, advice):
    """The state has a reason, and what can be done."""
    assert why in found.why()
    assert advice in found.advice()
    assert bool(found.advice()) is bool(advice)
