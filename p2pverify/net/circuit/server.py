"""A relay: it keeps reservations of peers that nobody can dial, and joins circuits to them.

A reservation belongs to the key that the connection has proven, never to one that a message names. Members come before
strangers. A circuit carries only what two peers say inside Noise, for a short time and few bytes, and never leads to
anything but a peer that has reserved: so a relay is no open proxy. Protocol page: protocol/relay.md.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError, RemoteProtocolError
from p2pverify.core.limits import Bucket, Rate, Shares
from p2pverify.net.border.connection_limits import group_of
from p2pverify.net.border.framing import read_varint_frame, varint_frame
from p2pverify.net.border.host import Host
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.circuit.messages import (
    HOP,
    MESSAGE_BYTES_MAX,
    STOP,
    CircuitStatus,
    Grant,
    decode_hop_request,
    decode_stop_answer,
    encode_hop_answer,
    encode_stop_request,
    sign_voucher,
)
from p2pverify.net.circuit.pipe import Joint, OverBytesError
from p2pverify.node.endpoints.address import Address

RESERVATIONS_MAX = 32
RESERVATIONS_PER_GROUP_MAX = 4
CIRCUITS_MAX = 8
CIRCUITS_PER_SOURCE_MAX = 2
CIRCUITS_OF_STRANGERS_MAX = 4
RESERVATION_SECONDS = 3600
CIRCUIT_SECONDS_MAX = 120
CIRCUIT_BYTES_MAX = 512 * 1024  # each way; a response has up to 256 KiB
TALK_SECONDS_MAX = 10.0
#: The bytes of all circuits together.
CARRIED = Rate(per_second=2 * 1024 * 1024, burst=4 * 1024 * 1024)
#: What one peer may ask a relay for, and all peers together.
TALKS = Rate(per_second=2, burst=16)
POOL_OF_TALKS = Rate(per_second=16, burst=64)
KEYS_MAX = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reservation:
    group: str
    is_member: bool
    ends_s: float


class RelayServer:
    """The relay of one host.

    - `addresses`: where this host can be dialled.
    - `clock`: gives Unix milliseconds.
    - `serves`: whether this host can be a relay now; one that nobody can dial cannot.
    """

    def __init__(
        self,
        host: Host,
        seed: bytes,
        is_member: Callable[[bytes], bool],
        addresses: Callable[[], Sequence[Address]],
        counters: Counters,
        *,
        clock: Callable[[], int],
        serves: Callable[[], bool] = lambda: True,
        loopback_counts: bool = False,
    ) -> None:
        self._host = host
        self._seed = seed
        self._is_member = is_member
        self._addresses = addresses
        self._counters = counters
        self._clock = clock
        self._serves = serves
        self._loopback_counts = loopback_counts
        self._reservations: dict[bytes, _Reservation] = {}
        self._circuits: Counter[bytes] = Counter()  # by source
        self._talks = Shares(TALKS, POOL_OF_TALKS, KEYS_MAX)
        self._pace: Bucket | None = None

    @property
    def reserved(self) -> tuple[bytes, ...]:
        """The peers that have a reservation now."""
        self._forget_ended()
        return tuple(sorted(self._reservations))

    @property
    def circuits(self) -> int:
        """Circuits that are open now."""
        return self._circuits.total()

    async def answer(self, stream: Stream) -> None:
        """Serve one stream of HOP."""
        if stream.link.relay is not None:
            await self._refuse(stream, CircuitStatus.PERMISSION_DENIED)  # no circuit over a circuit
            return
        if not self._talks.take(stream.peer, 1, _now_ms()):
            await self._refuse(stream, CircuitStatus.RESOURCE_LIMIT_EXCEEDED)
            return
        try:
            with trio.fail_after(TALK_SECONDS_MAX):
                request = decode_hop_request(await read_varint_frame(stream, MESSAGE_BYTES_MAX) or b"")
        except RemoteProtocolError:
            await self._refuse(stream, CircuitStatus.MALFORMED_MESSAGE)
            return
        if request.target is None:
            await self._reserve(stream)
        else:
            await self._connect(stream, request.target)

    # ------------------------------------------------------------ reservations

    async def _reserve(self, stream: Stream) -> None:
        peer, group = stream.peer, group_of(stream.link.remote, loopback_counts=self._loopback_counts)
        if not self._serves() or not self._has_place(peer, group):
            await self._refuse(stream, CircuitStatus.RESERVATION_REFUSED)
            return
        ends_s = trio.current_time() + RESERVATION_SECONDS
        self._reservations[peer] = _Reservation(group, self._is_member(peer), ends_s)
        self._counters.count("relay_reservations")
        expires_s = self._clock() // 1000 + RESERVATION_SECONDS
        grant = Grant(
            expires_s,
            tuple(address.with_peer(self._host.peer) for address in self._addresses() if address.relay is None),
            sign_voucher(self._seed, peer, expires_s),
        )
        with trio.fail_after(TALK_SECONDS_MAX):
            await stream.write(varint_frame(_agreed(grant)))

    def _has_place(self, peer: bytes, group: str) -> bool:
        """Whether a peer can reserve. If all places are taken, a member gets that of a stranger."""
        self._forget_ended()
        others = {key: kept for key, kept in self._reservations.items() if key != peer}
        if group and sum(kept.group == group for kept in others.values()) >= RESERVATIONS_PER_GROUP_MAX:
            return False
        if len(others) < RESERVATIONS_MAX:
            return True
        strangers = [key for key, kept in others.items() if not kept.is_member]
        if not strangers or not self._is_member(peer):
            return False
        del self._reservations[min(strangers, key=lambda key: (others[key].ends_s, key))]
        self._counters.count("relay_reservations_evicted")
        return True

    def _forget_ended(self) -> None:
        """Drop the reservations that are over, and those of peers that have left."""
        now_s = trio.current_time()
        for peer, kept in list(self._reservations.items()):
            link = self._host.link(peer)
            if kept.ends_s <= now_s or link is None or link.relay is not None:
                del self._reservations[peer]

    # ------------------------------------------------------------ circuits

    async def _connect(self, stream: Stream, target: bytes) -> None:
        source = stream.peer
        self._forget_ended()
        link = self._host.link(target)
        if target == source or target not in self._reservations or link is None:
            await self._refuse(stream, CircuitStatus.NO_RESERVATION)
            return
        if not self._has_circuit(source):
            await self._refuse(stream, CircuitStatus.RESOURCE_LIMIT_EXCEEDED)
            return
        self._circuits[source] += 1
        try:
            try:
                with trio.fail_after(TALK_SECONDS_MAX):
                    onward = await link.open_stream(STOP)
            except (StreamBrokenError, NotSupportedError, trio.TooSlowError):
                await self._refuse(stream, CircuitStatus.CONNECTION_FAILED)
                return
            await self._join(stream, onward)
        finally:
            self._circuits[source] -= 1
            if not self._circuits[source]:
                del self._circuits[source]

    def _has_circuit(self, source: bytes) -> bool:
        if self._circuits.total() >= CIRCUITS_MAX or self._circuits[source] >= CIRCUITS_PER_SOURCE_MAX:
            return False
        strangers = sum(count for peer, count in self._circuits.items() if not self._is_member(peer))
        return self._is_member(source) or strangers < CIRCUITS_OF_STRANGERS_MAX

    async def _join(self, stream: Stream, onward: Stream) -> None:
        """Ask the peer behind, tell the one before, and carry their bytes. Resets both streams on any error."""
        try:
            if await self._agrees(stream.peer, onward):
                with trio.fail_after(TALK_SECONDS_MAX):
                    await stream.write(varint_frame(_agreed()))
                await self._carry(stream, onward)
            else:
                await onward.reset()
                await self._refuse(stream, CircuitStatus.CONNECTION_FAILED)
        except BaseException:
            await onward.reset()
            await stream.reset()
            raise

    async def _agrees(self, source: bytes, onward: Stream) -> bool:
        try:
            with trio.fail_after(TALK_SECONDS_MAX):
                await onward.write(varint_frame(encode_stop_request(source, CIRCUIT_SECONDS_MAX, CIRCUIT_BYTES_MAX)))
                answer = decode_stop_answer(await read_varint_frame(onward, MESSAGE_BYTES_MAX) or b"")
        except (StreamBrokenError, RemoteProtocolError, DecodeError, trio.TooSlowError):
            return False
        return answer == CircuitStatus.OK

    async def _carry(self, stream: Stream, onward: Stream) -> None:
        self._counters.count("relay_circuits")
        self._pace = self._pace or Bucket(CARRIED, _now_ms())
        joint = Joint(stream, onward, self._pace, CIRCUIT_BYTES_MAX)
        try:
            with trio.move_on_after(CIRCUIT_SECONDS_MAX) as scope:
                await joint.run()
        except* OverBytesError:
            self._counters.count("relay_circuits_over_bytes")
        except* StreamBrokenError:
            log.debug("a circuit ended")
        finally:
            self._counters.count("relay_bytes", joint.carried)
            await onward.reset()
            await stream.reset()
        if scope.cancelled_caught:
            self._counters.count("relay_circuits_over_time")

    async def _refuse(self, stream: Stream, status: CircuitStatus) -> None:
        self._counters.count(f"relay_refused_{status.name.lower()}")
        with trio.fail_after(TALK_SECONDS_MAX):
            await stream.write(varint_frame(encode_hop_answer(status)))


def register(host: Host, server: RelayServer) -> None:
    """Serve HOP for a host."""
    host.handle(HOP, server.answer)


def _agreed(grant: Grant | None = None) -> bytes:
    return encode_hop_answer(
        CircuitStatus.OK, grant, circuit_seconds=CIRCUIT_SECONDS_MAX, circuit_bytes=CIRCUIT_BYTES_MAX
    )


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
