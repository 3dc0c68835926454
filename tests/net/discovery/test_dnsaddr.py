"""First peers by DNS: which TXT records count, how far names lead, and what an answer may weigh."""

from functools import partial

import dns.resolver
import pytest
import trio

from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import DecodeError
from p2pverify.net.discovery import dnsaddr
from p2pverify.net.discovery.dnsaddr import (
    ANSWER_BYTES_MAX,
    RESULTS_MAX,
    DnsSeeds,
    LookupFailedError,
    decode_texts,
    look_up,
    resolve,
)
from p2pverify.node.endpoints.address import bootstrap_address
from tests.net.discovery.dns_server import serve
from tests.net.real_peers import join, seed_of

ALICE, BOB = (peer_id(public_key(seed_of(name))) for name in ("alice", "bob"))
SEED = bootstrap_address("/dnsaddr/Seeds.Example.org")


def _text(address):
    return f"dnsaddr={address}".encode()


def _look(zone):
    def look(name):
        if name not in zone:
            raise LookupFailedError("NXDOMAIN")
        return zone[name]

    return look


def _found(zone, seed=SEED, *, loopback=False):
    return [str(address) for address in resolve(seed, _look(zone), loopback=loopback)[0]]


def test_names_of_first_peers():
    """A name may have a peer. Its case does not matter."""
    assert str(SEED) == "/dnsaddr/seeds.example.org"
    assert str(bootstrap_address(f"/dnsaddr/a.b/p2p/{ALICE}")) == f"/dnsaddr/a.b/p2p/{ALICE}"


@pytest.mark.parametrize(
    "text",
    ["/dnsaddr/", "/dnsaddr/a b", "/dnsaddr/a/tcp/1", "/dnsaddr/a/p2p/", "/dnsaddr/a/p2p/x", f"/dnsaddr/{'a.' * 120}b"],
)
def test_other_names_are_refused(text):
    """A port, a path or a text that is no name."""
    with pytest.raises(DecodeError):
        bootstrap_address(text)


def test_only_entries_with_a_peer_count():
    """Entries without a peer, with DNS names, of other transports or of this machine are passed over."""
    good = [f"/ip4/1.2.3.4/tcp/1/p2p/{ALICE}", f"/ip6/2001:4860::1/tcp/2/p2p/{BOB}", f"/ip4/10.0.0.1/tcp/3/p2p/{BOB}"]
    bad = [
        "/ip4/1.2.3.4/tcp/1",
        f"/dns4/a.example/tcp/1/p2p/{ALICE}",
        f"/ip4/1.2.3.4/udp/1/quic-v1/p2p/{ALICE}",
        f"/ip4/127.0.0.1/tcp/1/p2p/{ALICE}",
        f"/ip4/0.0.0.0/tcp/1/p2p/{ALICE}",
        f"/ip4/1.2.3.4/tcp/0/p2p/{ALICE}",
        "x" * 200,
    ]
    zone = {"_dnsaddr.seeds.example.org": [b"v=spf1", b"dnsaddr=\xff", *map(_text, bad + good)]}
    assert _found(zone) == good
    assert _found(zone, loopback=True) == [bad[3], *good]


def test_a_name_with_a_peer_leads_to_it_alone():
    """Other peers of the name are left out."""
    zone = {"_dnsaddr.a": [_text(f"/ip4/1.2.3.4/tcp/1/p2p/{one}") for one in (ALICE, BOB)]}
    assert _found(zone, bootstrap_address(f"/dnsaddr/a/p2p/{BOB}")) == [f"/ip4/1.2.3.4/tcp/1/p2p/{BOB}"]


def test_names_lead_to_names_once():
    """The second name counts, a third does not, and circles end. Each name is asked once."""
    asked = []
    zone = {
        "_dnsaddr.seeds.example.org": [
            _text("/dnsaddr/two"),
            _text("/dnsaddr/seeds.example.org"),
            _text("/dnsaddr/no"),
        ],
        "_dnsaddr.two": [_text("/dnsaddr/three"), _text("/dnsaddr/two"), _text(f"/ip4/1.2.3.4/tcp/2/p2p/{ALICE}")],
        "_dnsaddr.three": [_text(f"/ip4/1.2.3.4/tcp/3/p2p/{ALICE}")],
    }

    def look(name):
        asked.append(name)
        return _look(zone)(name)

    found, reasons = resolve(SEED, look, loopback=False)
    assert [str(address) for address in found] == [f"/ip4/1.2.3.4/tcp/2/p2p/{ALICE}"]
    assert asked == ["_dnsaddr.seeds.example.org", "_dnsaddr.two", "_dnsaddr.no"]
    assert len(reasons) == 1


def test_results_are_bounded():
    """No name gives more than 16 addresses, alone or with the names that it leads to."""
    many = [_text(f"/ip4/1.2.3.{n}/tcp/1/p2p/{ALICE}") for n in range(1, 40)]
    assert len(decode_texts(many)) == RESULTS_MAX
    zone = {"_dnsaddr.seeds.example.org": [_text(f"/dnsaddr/n{n}") for n in range(16)]}
    zone |= {f"_dnsaddr.n{n}": many[:5] if n % 2 else many[5:10] + many[10 + n : 11 + n] for n in range(16)}
    assert len(_found(zone)) == RESULTS_MAX


def test_a_heavy_answer_is_refused():
    """Its bytes count, whether or not they are addresses."""
    fits = [b"x" * ANSWER_BYTES_MAX]
    assert decode_texts(fits) == ()
    with pytest.raises(DecodeError):
        decode_texts([*fits, b"x"])


async def test_a_dns_server_leads_to_a_peer(nursery, monkeypatch):
    """Bob knows a name only, and finds alice. The answer comes over UDP, and a long one over TCP."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        padding = [_text(f"/ip4/127.0.0.1/udp/{n}") for n in range(1, 100)]
        assert ANSWER_BYTES_MAX > sum(map(len, padding)) > 1500
        zone = {
            "_dnsaddr.seeds.test": [*padding, _text("/dnsaddr/more.test")],
            "_dnsaddr.more.test": [_text(alice.address)],
        }
        resolver = await nursery.start(serve, zone)
        monkeypatch.setattr(dnsaddr, "look_up", partial(look_up, resolver=resolver))
        bob = await join(nursery, "bob", "/dnsaddr/seeds.test")
        await bob.mesh.wait_connected(alice.key)
    assert bob.count("dnsaddr_found") == 1


@pytest.mark.parametrize(
    ("texts", "what"),
    [([bytes([97 + n % 26]) * (255 - n) for n in range(45)], "bytes"), ([], "NoAnswer"), (None, "NXDOMAIN")],
)
async def test_a_useless_answer_is_counted(nursery, texts, what):
    """One of 10 kB, one without records, and none."""
    with trio.fail_after(30):
        resolver = await nursery.start(serve, {} if texts is None else {"_dnsaddr.seeds.test": texts})
        counters = Counters()
        seeds = DnsSeeds((), counters, loopback=True, look=partial(look_up, resolver=resolver))
        assert await seeds.find(bootstrap_address("/dnsaddr/seeds.test")) == []
        assert counters["dnsaddr_failed"] == 1
        _, reasons = await trio.to_thread.run_sync(
            partial(resolve, bootstrap_address("/dnsaddr/seeds.test"), seeds._look, loopback=True)
        )
        assert what in reasons[0]


async def test_names_are_looked_up_again(autojump_clock):
    """After a failure sooner than after an answer."""
    times = []

    def look(_name):
        times.append(1)
        if len(times) < 3:
            raise LookupFailedError("no server")
        return [_text(f"/ip4/1.2.3.4/tcp/1/p2p/{ALICE}")]

    heard = trio.Event()
    began = trio.current_time()
    seeds = DnsSeeds((SEED,), Counters(), loopback=False, look=look)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(seeds.run, lambda peer, addresses: heard.set())
        await heard.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == pytest.approx(6 * dnsaddr.AGAIN_S_MIN)


def test_a_machine_without_dns_says_so(tmp_path):
    """A resolver without servers is a failed look-up, and no error of its own kind."""
    resolver = dns.resolver.Resolver(configure=False)
    with pytest.raises(LookupFailedError):
        look_up("a.test", resolver)
