"""Peers that abuse the links."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable, Sequence
from dataclasses import replace

from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import Effect, Event, GossipArrived, RecordsArrived
from p2pverify.core.gossip.types import GossipMessage, Rpc, records_topic
from p2pverify.core.records.envelope import decode_record
from p2pverify.node.messages import decode_batch
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, Connect, RawRpc, WorldEffect

SPAM_PER_EPOCH = 16
SPAM_IDS = 256
DUPLICATES_KEPT = 32


class Eclipser(BentActor):
    """One of a gang that connects to a victim and forwards only the gang's own records to it, by gossip and sync."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        candidates = args.honest or args.everyone
        first = args.gang.notes.setdefault("victim", candidates[args.dice.below(len(candidates))])
        assert isinstance(first, bytes)
        self.victim = first
        self._linked = False

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if self._linked:
            return ()
        self._linked = True
        return (Connect(self.victim),)

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:
        if peer != self.victim or self.epoch(now_ms) < self.args.onset_epoch:
            return rpc
        own = tuple(message for message in rpc.publish if self._is_own(message))
        return replace(rpc, publish=own, ihave=(), iwant=())

    def _is_own(self, message: GossipMessage) -> bool:
        try:
            authors = {decode_record(data).author for data in decode_batch(message.data)}
        except DecodeError:
            return False
        return authors <= {self.key, *self.args.gang.keys}

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:
        return peer != self.victim or self.epoch(now_ms) < self.args.onset_epoch


class Spammer(BentActor):
    """Floods gossip with junk that is no batch, records with a broken signature, duplicates, promises of messages that
    do not exist, and requests for the same messages.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._seen: list[bytes] = []
        self._round = -1

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if isinstance(event, RecordsArrived | GossipArrived):
            self._seen += event.records[: DUPLICATES_KEPT - len(self._seen)]
        return (event,)

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        current = self._round_at(now_ms)
        if current <= self._round or not self.is_awake(now_ms):
            return ()
        self._round = current
        peers = [peer for peer in self.args.everyone if peer != self.key]
        peer = peers[current % len(peers)]
        return (Connect(peer), *(RawRpc(peer, rpc) for rpc in self._flood(current)))

    def wake_ms(self, now_ms: int) -> int | None:
        step = max(1, self.args.network.params.epoch_ms // SPAM_PER_EPOCH)
        return now_ms + step - now_ms % step

    def _round_at(self, now_ms: int) -> int:
        return now_ms // max(1, self.args.network.params.epoch_ms // SPAM_PER_EPOCH)

    def _flood(self, current: int) -> Iterable[Rpc]:
        topic = records_topic(self.context.network_id)
        ids = tuple(self._junk(b"id", current, n) for n in range(SPAM_IDS))
        broken = [self._broken(data) for data in self._seen[current % 4 :: 4]]
        yield Rpc(publish=tuple(GossipMessage(topic, self._junk(b"junk", current, n)) for n in range(4)))
        if broken:
            yield Rpc(publish=(GossipMessage(topic, encode(broken[:16])),))
        yield Rpc(publish=tuple(GossipMessage(topic, encode([data])) for data in self._seen[:8]))
        yield Rpc(ihave=((topic, ids),))
        yield Rpc(iwant=ids)

    def _junk(self, what: bytes, current: int, number: int) -> bytes:
        return self.context.secret("spam", what, current, number)

    @staticmethod
    def _broken(data: bytes) -> bytes:
        """The record with a signature that is not valid."""
        record = decode_record(data)
        return encode([record.header.to_value(), bytes(64), record.payload])
