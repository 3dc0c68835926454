"""The limits of a relay, and attacks on it."""

import pytest
import trio

from p2pverify.core.counters import Counters
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.limits import Bucket, Rate
from p2pverify.net.border.framing import read_varint_frame, varint_frame
from p2pverify.net.border.host import DialError
from p2pverify.net.border.noise_yamux import UpgradeError, Upgrader
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.circuit import server
from p2pverify.net.circuit.client import Circuits
from p2pverify.net.circuit.messages import (
    HOP,
    MESSAGE_BYTES_MAX,
    STOP,
    CircuitStatus,
    HopRequest,
    circuit_pb2,
    decode_stop_answer,
    decode_stop_request,
    encode_hop_request,
    encode_stop_request,
)
from p2pverify.net.circuit.pipe import Joint, Pipe
from p2pverify.net.reach.reaching import ReachSettings
from p2pverify.node.endpoints.address import id_bytes
from tests.net.circuit.raw import raw
from tests.net.real_peers import FakeInbox, join, seed_of, stranger

RESERVE = encode_hop_request(HopRequest(None))
#: Enough for whatever a test asks of a relay at once.
FREE = Rate(per_second=1000, burst=1000)


@pytest.fixture(autouse=True)
def _free(monkeypatch, request):
    if "rate" not in request.node.name:
        monkeypatch.setattr(server, "TALKS", FREE)
        monkeypatch.setattr(server, "POOL_OF_TALKS", FREE)


def _connect(target):
    return encode_hop_request(HopRequest(target.host.peer))


async def test_the_33rd_reservation_is_refused_and_a_member_gets_a_place(nursery):
    """A member gets the place of a stranger, and does not lose its own to another stranger."""
    with trio.fail_after(60):
        member = public_key(seed_of("member"))
        relay = await join(nursery, "relay", inbox=FakeInbox(members={member}))
        strangers = [await raw(nursery, relay, f"s {n}") for n in range(server.RESERVATIONS_MAX + 1)]
        statuses = [(await each.hop(RESERVE))[1] for each in strangers]
        assert statuses == [CircuitStatus.OK] * server.RESERVATIONS_MAX + [CircuitStatus.RESERVATION_REFUSED]
        assert (await strangers[0].hop(RESERVE))[1] == CircuitStatus.OK  # renewed
        favoured = await raw(nursery, relay, "member")
        assert (await favoured.hop(RESERVE))[1] == CircuitStatus.OK
        assert member in relay.mesh._reaching._server.reserved
        assert relay.count("relay_reservations_evicted") == 1
        assert (await strangers[-1].hop(RESERVE))[1] == CircuitStatus.RESERVATION_REFUSED
        assert relay.mesh.reach().serves == server.RESERVATIONS_MAX


async def test_one_address_has_four_reservations(nursery):
    """More come only from other addresses. Whoever leaves frees its place."""
    with trio.fail_after(30):
        relay = await join(nursery, "relay", loopback_counts=True)
        ends = [await raw(nursery, relay, f"s {n}") for n in range(server.RESERVATIONS_PER_GROUP_MAX + 1)]
        statuses = [(await each.hop(RESERVE))[1] for each in ends]
        assert statuses == [CircuitStatus.OK] * server.RESERVATIONS_PER_GROUP_MAX + [CircuitStatus.RESERVATION_REFUSED]
        ends[0].link.close_nowait("leaves")
        while relay.mesh.reach().serves == server.RESERVATIONS_PER_GROUP_MAX:
            await trio.lowlevel.checkpoint()
        assert (await ends[-1].hop(RESERVE))[1] == CircuitStatus.OK


async def test_nobody_reserves_in_anothers_name(nursery):
    """The key of the connection counts, whatever peer the message names."""
    with trio.fail_after(30):
        relay = await join(nursery, "relay")
        thief, victim = await raw(nursery, relay, "thief"), await raw(nursery, relay, "victim")
        named = circuit_pb2.PeerId(id=id_bytes(victim.host.peer))
        message = circuit_pb2.HopMessage(type=circuit_pb2.HopMessage.RESERVE, peer=named)
        assert (await thief.hop(message.SerializeToString()))[1] == CircuitStatus.OK
        assert relay.mesh._reaching._server.reserved == (thief.host.peer,)
        asker = await raw(nursery, relay, "asker")
        assert (await asker.hop(_connect(victim)))[1] == CircuitStatus.NO_RESERVATION


async def test_a_relay_is_no_open_proxy(nursery):
    """It leads only to peers that have reserved, not to connected peers, to itself or to the asker, and never dials."""
    with trio.fail_after(30):
        relay = await join(nursery, "relay")
        asker, plain = await raw(nursery, relay, "asker"), await raw(nursery, relay, "plain")
        assert (await asker.hop(RESERVE))[1] == CircuitStatus.OK
        links = relay.count("links_opened")
        for target in (plain.host.peer, relay.key, asker.host.peer, public_key(seed_of("far away"))):
            assert (await asker.hop(encode_hop_request(HopRequest(target))))[1] == CircuitStatus.NO_RESERVATION
        assert relay.count("links_opened") == links
        assert relay.count("relay_circuits") == 0


async def test_circuits_are_few(nursery):
    """A source has 2, strangers together 4, and all together 8."""
    with trio.fail_after(60):
        members = {public_key(seed_of(f"m {n}")) for n in range(3)}
        relay = await join(nursery, "relay", inbox=FakeInbox(members=members))
        target = await raw(nursery, relay, "target")
        await target.hop(RESERVE)
        held = []

        async def open_as(name):
            source = await raw(nursery, relay, name)
            statuses = []
            for _ in range(server.CIRCUITS_PER_SOURCE_MAX + 1):
                stream, status = await source.hop(_connect(target))
                held.append(stream)
                statuses.append(status)
            return statuses

        ok, full = CircuitStatus.OK, CircuitStatus.RESOURCE_LIMIT_EXCEEDED
        assert await open_as("s 0") == [ok, ok, full]
        assert await open_as("s 1") == [ok, ok, full]
        assert await open_as("s 2") == [full, full, full]
        assert await open_as("m 0") == [ok, ok, full]
        assert await open_as("m 1") == [ok, ok, full]
        assert await open_as("m 2") == [full, full, full]
        assert relay.mesh._reaching._server.circuits == server.CIRCUITS_MAX
        for stream in held:
            await stream.reset()
        while relay.mesh._reaching._server.circuits:
            await trio.lowlevel.checkpoint()
        assert await open_as("s 3") == [ok, ok, full]


async def _circuit(nursery, **options):
    relay = await join(nursery, "relay", **options)
    source, target = await raw(nursery, relay, "source"), await raw(nursery, relay, "target")
    await target.hop(RESERVE)
    stream, status = await source.hop(_connect(target))
    assert status == CircuitStatus.OK
    while not target.behind:
        await trio.lowlevel.checkpoint()
    return relay, stream, target.behind[0]


async def test_512_kib_pass_and_one_byte_more_ends_the_circuit(nursery):
    """Each direction has its own allowance."""
    with trio.fail_after(60):
        relay, near, far = await _circuit(nursery)
        piece = bytes(16 * 1024)

        async def send(stream):
            for _ in range(server.CIRCUIT_BYTES_MAX // len(piece)):
                await stream.write(piece)

        async with trio.open_nursery() as both:
            both.start_soon(send, near)
            both.start_soon(send, far)
            both.start_soon(far.read_exact, server.CIRCUIT_BYTES_MAX)
            both.start_soon(near.read_exact, server.CIRCUIT_BYTES_MAX)
        assert relay.count("relay_circuits_over_bytes") == 0
        await near.write(b"x")
        with pytest.raises(StreamBrokenError):
            await far.read_exact(1)
        with pytest.raises(StreamBrokenError):
            await near.read_exact(1)
    assert relay.count("relay_circuits_over_bytes") == 1
    assert relay.count("relay_bytes") == 2 * server.CIRCUIT_BYTES_MAX


async def test_a_circuit_ends_after_its_time(nursery, monkeypatch):
    """Even if it is used, both ends are reset."""
    assert server.CIRCUIT_SECONDS_MAX == 120
    monkeypatch.setattr(server, "CIRCUIT_SECONDS_MAX", 1)
    with trio.fail_after(30):
        relay, near, far = await _circuit(nursery)
        await near.write(b"ping")
        assert await far.read_exact(4) == b"ping"
        with pytest.raises(StreamBrokenError):
            await far.read_exact(1)
        with pytest.raises(StreamBrokenError):
            await near.read_exact(1)
    assert relay.count("relay_circuits_over_time") == 1


async def test_one_side_may_end_before_the_other(nursery):
    """The end of one direction passes through, and the other goes on."""
    with trio.fail_after(30):
        _, near, far = await _circuit(nursery)
        await near.write(b"last")
        await near.finish()
        assert await far.read_exact(4) == b"last"
        assert await far.read_some() == b""
        await far.write(b"answer")
        await far.finish()
        assert await near.read_exact(6) == b"answer"
        assert await near.read_some() == b""


@pytest.mark.parametrize("answer", [CircuitStatus.PERMISSION_DENIED, None])
async def test_a_peer_behind_that_refuses_or_says_nothing(nursery, monkeypatch, answer):
    """The asker is told so, and the place of the circuit is free again."""
    monkeypatch.setattr(server, "TALK_SECONDS_MAX", 0.5)
    with trio.fail_after(30):
        relay = await join(nursery, "relay")
        source, target = await raw(nursery, relay, "source"), await raw(nursery, relay, "target", answer=answer)
        await target.hop(RESERVE)
        assert (await source.hop(_connect(target)))[1] == CircuitStatus.CONNECTION_FAILED
        assert relay.mesh._reaching._server.circuits == 0


@pytest.mark.parametrize("message", [b"", b"\xff", b"x" * 4000, b"\x08\x02"])
async def test_malformed_messages_are_answered_so(nursery, message):
    """Nothing else happens to the connection."""
    with trio.fail_after(30):
        relay = await join(nursery, "relay")
        source = await raw(nursery, relay, "source")
        _, status = await source.hop(message)
        assert status == CircuitStatus.MALFORMED_MESSAGE
        assert (await source.hop(RESERVE))[1] == CircuitStatus.OK


async def test_a_long_message_is_not_read(nursery):
    """Its length alone ends the stream."""
    with trio.fail_after(30):
        relay = await join(nursery, "relay")
        source = await raw(nursery, relay, "source")
        async with await source.link.open_stream(HOP) as stream:
            await stream.write(varint_frame(bytes(5000))[:100])
            assert await stream.read_some()
    assert relay.count("relay_refused_malformed_message") == 1


async def test_the_rate_of_messages_is_limited(nursery):
    """One peer that asks without end is answered so, and costs nothing."""
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        source = await raw(nursery, relay, "source")
        statuses = []
        for _ in range(120):
            stream, status = await source.hop(RESERVE)
            await stream.reset()
            statuses.append(status)
        assert statuses[0] == CircuitStatus.OK
        assert CircuitStatus.RESOURCE_LIMIT_EXCEEDED in statuses


async def test_a_relay_can_be_switched_off(nursery):
    """Then the protocol is not there."""
    with trio.fail_after(30):
        relay = await join(nursery, "relay", reach=ReachSettings(relay=False))
        source = await raw(nursery, relay, "source")
        with pytest.raises(Exception, match=HOP):
            await source.link.open_stream(HOP)


async def test_a_relay_that_invents_circuits_is_refused(nursery):
    """A peer takes circuits only from relays at which it has reserved, and only from whom the relay names."""
    with trio.fail_after(60):
        hidden = await join(nursery, "hidden")
        liar = await raw(nursery, hidden, "liar")
        stream = await liar.link.open_stream("/libp2p/circuit/relay/0.2.0/stop")
        await stream.write(varint_frame(encode_stop_request(public_key(seed_of("anybody")), 120, 1024)))
        assert await stream.read_some()
        while not hidden.count("circuits_refused"):
            await trio.lowlevel.checkpoint()
    assert decode_stop_request(encode_stop_request(public_key(seed_of("anybody")), 120, 1024))


async def test_a_relay_cannot_answer_for_another(nursery):
    """Whoever comes through a relay must prove the key that the relay named, also if the relay itself comes."""
    with trio.fail_after(30):
        victim, liar = await stranger(nursery, "victim"), await stranger(nursery, "liar")
        counters = Counters()
        circuits = Circuits(victim, counters)
        circuits.serve()
        link = await victim.dial(liar.addresses[0])
        circuits.relays = {liar.peer}
        while liar.link(victim.peer) is None:
            await trio.lowlevel.checkpoint()
        stream = await liar.link(victim.peer).open_stream(STOP)
        await stream.write(varint_frame(encode_stop_request(public_key(seed_of("somebody")), 120, 1024)))
        answer = await read_varint_frame(stream, MESSAGE_BYTES_MAX)
        assert decode_stop_answer(answer) == CircuitStatus.OK
        with pytest.raises(UpgradeError):
            await Upgrader(seed_of("liar")).upgrade(Pipe(stream), outbound=True)
        assert [each.peer for each in victim.links()] == [liar.peer]
        assert victim.link(liar.peer) is link
    assert counters["circuits_taken"] == 1


async def test_a_relay_of_another_network_is_left_after_a_refusal(nursery):
    """A statement that names strangers as relays does not fill our places with connections to them."""
    with trio.fail_after(30):
        asker, other = await stranger(nursery, "asker"), await stranger(nursery, "no relay")
        circuits = Circuits(asker, Counters())
        with pytest.raises(DialError, match="opens no circuit"):
            await circuits.open(other.addresses[0].through(public_key(seed_of("somebody"))))
        while asker.links():
            await trio.lowlevel.checkpoint()


class _Endless:
    """A stream that always has bytes, and takes all."""

    def __init__(self, left):
        self.left = left
        self.taken = 0

    async def read_some(self, size):
        await trio.lowlevel.checkpoint()
        size, self.left = min(size, self.left), max(0, self.left - size)
        return bytes(size)

    async def write(self, data):
        await trio.lowlevel.checkpoint()
        self.taken += len(data)

    async def finish(self):
        await trio.lowlevel.checkpoint()


async def test_all_circuits_share_one_rate(autojump_clock):
    """Eight at once carry no more than the rate allows."""
    pace = Bucket(server.CARRIED, int(trio.current_time() * 1000))
    size = server.CIRCUIT_BYTES_MAX
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(server.CIRCUITS_MAX):
            nursery.start_soon(Joint(_Endless(size), _Endless(size), pace, size).run)
    least = (2 * server.CIRCUITS_MAX * size - server.CARRIED.burst) / server.CARRIED.per_second
    assert trio.current_time() - began >= least - 0.1
