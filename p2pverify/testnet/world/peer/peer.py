"""One peer of the simulated world: an actor with its router, disk, engine and links.

It turns items of the schedule into events, and effects into items, as a node does with sockets, threads and files.
`links` decides whether and when an item arrives. The machine and the router decide what it means.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from zlib import crc32

from p2pverify.core.counters import Counters
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import (
    AskFailed,
    Compute,
    ComputeFailed,
    Effect,
    Event,
    FetchEvidence,
    Finalised,
    GossipArrived,
    Judged,
    MeasureJob,
    Note,
    Persist,
    Publish,
    RecordBatch,
    RequestArrived,
    Respond,
    ResponseArrived,
    Send,
    StoredAnswer,
    StoredEvidence,
    Tick,
    TrainingJob,
)
from p2pverify.core.gossip import types as gossip
from p2pverify.core.gossip.router import Router
from p2pverify.core.machine import Machine
from p2pverify.core.records.floors import Prune
from p2pverify.core.settle.exchange import ChequeArrived, Pay, decode_sent_cheque
from p2pverify.core.state.weights import weighted_peers
from p2pverify.core.sync.server import Sync
from p2pverify.node.messages import encode_batches
from p2pverify.testnet.world.items import (
    BEAT,
    CHEQUE,
    DOWN,
    ENGINE,
    EVIDENCE,
    FAILED,
    ORDER,
    RELEASE,
    REQUEST,
    RESPONSE,
    RPC,
    SYNC,
    SYNC_FRAME,
    TICK,
    TRAINED,
    UP,
)
from p2pverify.testnet.world.links import SimulatedLink
from p2pverify.testnet.world.peer.actor import Actor, Connect, HonestActor, PublishTo, RawRpc, WorldEffect
from p2pverify.testnet.world.peer.disk import Disk
from p2pverify.testnet.world.peer.engine import Job
from p2pverify.testnet.world.peer.surroundings import Surroundings
from p2pverify.testnet.world.schedule import Item
from p2pverify.testnet.world.trace import item_digest, rpc_digest

MESSAGES_AT_ONCE = 256  # with at most as many records as a machine judges at once
_TICK, _BEAT = gossip.GossipTick(), Tick()


class Peer:
    """One peer, named by its number. `make` makes a new actor at each start, as a new process would be started."""

    def __init__(
        self, around: Surroundings, number: int, kind: str, make: Callable[[], Actor], *, skew_ms: int
    ) -> None:
        self._around = around
        self._simulation = around.simulation
        self._make = make
        self.number = number
        self.kind = kind
        self.skew_ms = skew_ms
        self.disk = Disk(around.simulation.plan.disk_ms)
        self.links: dict[bytes, SimulatedLink] = {}
        self.is_up = False
        self.life = 0
        self.held: list[Item] | None = None  # items that wait while the peer is paused
        self.notes = Counters()
        self.lost_records = 0
        self.jobs_done = self.jobs_dropped = 0
        self.speaks_from_ms = 0
        self._start_parts()
        self.key = self.actor.key

    @property
    def machine(self) -> Machine:
        """The machine of the present life."""
        return self.actor.machine

    def _start_parts(self) -> None:
        plan = self._simulation.plan
        self.actor = self._make()
        self.is_plain = type(self.actor) is HonestActor
        self.sync = Sync(self.machine.context)
        self.router = Router(self._simulation.gossip_params, own=self.actor.key, seed=plan.seed + self.life)
        self.engine = self._around.engine(self.actor)
        self._delivered: list[gossip.Deliver] = []  # to be judged before the next event
        self._outbox: deque[tuple[int, Effect | WorldEffect]] = deque()
        self._asks: set[int] = set()
        self._tick_at = self._beat_at = -1
        self._was_fed = True
        self.sync_turn = 0

    # ------------------------------------------------------------ life

    def start(self, records: list[bytes], answers: list[StoredAnswer], evidence: list[StoredEvidence]) -> None:
        """Start, or start again, with the contents of a disk."""
        assert not self.is_up
        self.is_up = True
        self.disk.lend(self.machine)
        self.actor.load(records, answers, self._local_ms, evidence)
        context = self.machine.context
        context.quiet_until_ms = self.speaks_from_ms + self.skew_ms
        if weighted_peers(self.machine.fold.genesis) == [self.key]:
            context.silence.begin(self._local_ms, alone=True)
        self._route(gossip.Subscribe(self._simulation.topic))
        self.feed(Tick())
        self._wake()

    def stop(self) -> None:
        """Stop without notice, as a killed process does."""
        self.is_up = False
        self.life += 1
        self.held = None
        self.lost_records += self.disk.crash(self._simulation.now_ms)

    def restart(self) -> None:
        """A new process on the old disk."""
        self._start_parts()
        self.start(*self.disk.read())

    @property
    def _local_ms(self) -> int:
        """The time of this peer's own clock, which stops when the world rests."""
        return self._simulation.clock_ms + self.skew_ms

    # ------------------------------------------------------------ items

    def take(self, items: list[Item], digests: list[bytes]) -> None:
        """Handle the items of one slot for this peer, and add a digest of each to `digests`."""
        if self.held is not None:
            self.held += items
            return
        for item in items:
            kind = item[0]
            if kind == RPC:
                link, source, rpc = item[1], item[2], item[3]
                if link.is_open and self.is_up:
                    digests.append(rpc_digest(rpc, link.number))
                    self._route(gossip.RpcReceived(source, rpc))
                continue
            if self._delivered:
                self._judge()
            if kind in _LINK_ITEMS:
                digests.append(item_digest(kind, item[1].number))
                self._take_link(kind, item)
            elif self.is_up and item[1] == self.life:
                self._take_own(kind, item, digests)
        if self._delivered:
            self._judge()
        if self.is_up:
            self._wake()

    def _take_link(self, kind: int, item: Item) -> None:
        link: SimulatedLink = item[1]
        other = link.other(self.number)
        if kind == UP and link.is_open and self.is_up:
            self.links[other.key] = link
            self._route(gossip.PeerConnected(other.key, link.dialler == self.number, other.ip))
            self._around.catchup.up(self, other.key)
        elif kind == DOWN and self.links.get(other.key) is link:
            del self.links[other.key]
            self._around.catchup.ended(self, other.key)
            if self.is_up:
                self._route(gossip.PeerDisconnected(other.key))
        elif kind == SYNC_FRAME and link.is_open and self.is_up:
            self._around.catchup.take(self, other, item[2])

    def _take_own(self, kind: int, item: Item, digests: list[bytes]) -> None:
        number = 0
        if kind == TICK:
            if self._tick_at != self._simulation.now_ms or self._simulation.is_resting:
                return
            self.feed(_BEAT)
        elif kind == BEAT:
            if self._beat_at != self._simulation.now_ms:
                return
            self._route(_TICK)
        elif kind == RELEASE:
            self._release()
        elif kind == ENGINE:
            number = item[2].job
            self._computed(item[2], item[3])
        elif kind in _MESSAGES:
            number = self._take_message(kind, item)
        elif kind == SYNC:
            self._around.catchup.begin(self)
        elif kind in _FOR_MACHINE:
            self.feed(item[2])
        digests.append(item_digest(kind, number))

    def _take_message(self, kind: int, item: Item) -> int:
        """Handle a request of another peer, or the result of an own request. Returns a number that identifies it."""
        if kind == REQUEST:
            self.feed(RequestArrived(item[2], item[3], item[4]))
            return crc32(item[3])
        if kind == CHEQUE:
            self.feed(ChequeArrived(item[2], decode_sent_cheque(item[3]), item[4]))
            return crc32(item[3])
        if kind == EVIDENCE:
            shown = self.actor.evidence(item[3], item[4], self._local_ms)
            if shown is not None:
                self._around.requests.respond(self, Respond(item[2], shown))
            return crc32(item[3])
        ask: int = item[2]
        if ask in self._asks:
            self._asks.discard(ask)
            self.feed(ResponseArrived(ask, item[3], item[4]) if kind == RESPONSE else AskFailed(ask, item[3]))
        return ask

    def _wake(self) -> None:
        """Post the next ticks of machine and router, if they are not posted yet.

        If the router wants its tick within a slot, it gets the tick now, because the next event is a slot away.
        """
        world = self._simulation
        now = world.now_ms
        wakeup_ms = self.router.next_wakeup_ms()
        if now < wakeup_ms < now + world.plan.quantum_ms:
            self._route(_TICK, wakeup_ms)
            wakeup_ms = self.router.next_wakeup_ms()
        beat_at = world.slot_of(wakeup_ms)
        if beat_at != self._beat_at or beat_at <= now:
            self._beat_at = max(beat_at, now + world.plan.quantum_ms)
            world.post(self._beat_at, self.number, (BEAT, self.life))
        if world.is_resting or (self._tick_at > now and not self._was_fed):
            return
        self._was_fed = False
        tick_at = world.slot_of(self.actor.next_wake_ms(self._local_ms) - self.skew_ms)
        tick_at = max(tick_at, now + world.plan.quantum_ms)
        if tick_at != self._tick_at:
            self._tick_at = tick_at
            world.post(tick_at, self.number, (TICK, self.life))

    # ------------------------------------------------------------ gossip

    def _route(self, event: gossip.Event, now_ms: int | None = None) -> None:
        """Give an event to the router, and carry out its effects. Messages wait, so that they are judged together."""
        world = self._simulation
        for effect in self.router.handle(event, world.now_ms if now_ms is None else now_ms):
            if type(effect) is gossip.SendRpc:
                self._send(effect.peer, effect.rpc)
            elif type(effect) is gossip.Deliver:
                self._delivered.append(effect)
            elif type(effect) is gossip.Disconnect:
                link = self.links.pop(effect.peer, None)
                self.notes.count(f"disconnected: {effect.reason}")
                if link is not None:
                    self._around.links.close(link, by=self.number)

    def _send(self, peer: bytes, rpc: gossip.Rpc) -> None:
        link = self.links.get(peer)
        if link is None:
            return
        if not self.is_plain:
            changed = self.actor.outgoing(peer, rpc, self._local_ms)
            if changed is None:
                return
            rpc = changed
        self._around.links.send_rpc(link, self.number, rpc)

    def _judge(self) -> None:
        """Judge the waiting messages together, and tell the router the verdict on each."""
        delivered, self._delivered = self._delivered[:MESSAGES_AT_ONCE], self._delivered[MESSAGES_AT_ONCE:]
        found = [self._around.batches.read(effect.data) for effect in delivered]
        batches = tuple(RecordBatch(one, each.source) for one, each in zip(found, delivered, strict=True) if one)
        judged = self.feed(GossipArrived(batches)) if batches else None
        verdicts = iter(() if judged is None else judged.verdicts)
        told = [
            (each.message_id, next(verdicts, GossipVerdict.IGNORE) if one else GossipVerdict.REJECT)
            for one, each in zip(found, delivered, strict=True)
        ]
        self._route(gossip.Verdicts(tuple(told)))
        faults = () if judged is None else judged.faults
        for fault in (*("malformed batch",) * found.count(()), *faults):
            self.notes.count(f"rejected: {fault}")
        if self._delivered:
            self._judge()

    # ------------------------------------------------------------ effects

    def feed(self, event: Event) -> Judged | None:
        """Give an event to the actor, and take its effects in order. Returns the verdict on records."""
        self._was_fed = True
        judged: Judged | None = None
        now_ms = self._simulation.now_ms
        safe_ms = self._outbox[-1][0] if self._outbox else now_ms
        for effect in self.actor.handle(event, self._local_ms):
            kind = type(effect)
            if kind is Judged:
                judged = effect  # type: ignore[assignment]
            elif kind in (Persist, Prune):
                safe_ms = max(safe_ms, self.disk.write(effect, now_ms))  # type: ignore[arg-type]
            elif kind is Finalised:
                self._around.finalised(self.number, effect)  # type: ignore[arg-type]
            elif kind is Note:
                self.notes.count(effect.text.split(":")[0][:40])  # type: ignore[union-attr]
            elif safe_ms <= now_ms:
                self.carry_out(effect)
            else:
                if not self._outbox or self._outbox[-1][0] < safe_ms:
                    self._simulation.post(safe_ms, self.number, (RELEASE, self.life))
                self._outbox.append((safe_ms, effect))
        return judged

    def _release(self) -> None:
        """Carry out the effects that waited for the disk."""
        while self._outbox and self._outbox[0][0] <= self._simulation.now_ms:
            self.carry_out(self._outbox.popleft()[1])

    def carry_out(self, effect: Effect | WorldEffect) -> None:
        """Let an effect leave the peer."""
        world = self._simulation
        match effect:
            case Publish():
                for data in encode_batches(effect.records):
                    self._route(gossip.PublishMessage(world.topic, data))
            case Compute() | MeasureJob():
                if self.engine.submit(effect, self._local_ms):
                    self._next_job()
                else:
                    self._drop(effect, "too many jobs wait")
            case Send() | FetchEvidence() | Pay():
                self._asks.add(effect.ask)
                self._around.requests.send(self, effect)
            case Respond():
                self._around.requests.respond(self, effect)
            case TrainingJob():
                self._around.train(self.number, self.life, self.actor, effect)
            case PublishTo() | RawRpc() | Connect():
                self._misbehave(effect)

    def _misbehave(self, effect: WorldEffect) -> None:
        """Carry out an effect that only hostile actors have: it bypasses their own router or the topology."""
        match effect:
            case PublishTo():
                topic = self._simulation.topic
                messages = [gossip.GossipMessage(topic, data) for data in encode_batches(effect.records)]
                for key in effect.peers:
                    for message in messages if key in self.links else ():
                        self._around.links.send_rpc(self.links[key], self.number, gossip.Rpc(publish=(message,)))
            case RawRpc():
                if effect.peer in self.links:
                    self._around.links.send_rpc(self.links[effect.peer], self.number, effect.rpc)
            case Connect():
                self._around.dial(self, effect.peer)

    def _next_job(self) -> None:
        entry, dropped = self.engine.start(self._local_ms)
        if entry is not None:
            at_ms = self._simulation.now_ms + self.engine.lasts_ms(entry.job)
            self._simulation.post(at_ms, self.number, (ENGINE, self.life, entry.job, entry.since_ms))
        for each in dropped:
            self._drop(each.job, "too late")

    def _drop(self, job: Job, reason: str) -> None:
        self.jobs_dropped += 1
        self.feed(ComputeFailed(job.job, reason, is_dropped=True))

    def _computed(self, job: Job, since_ms: int) -> None:
        self.engine.finish()
        self.jobs_done += 1
        total_ms = self._local_ms - since_ms
        self._next_job()
        say = partial(self.actor.answer, now_ms=self._local_ms)
        self.feed(self.engine.outcome(job, total_ms, say))

    @property
    def ip(self) -> str:
        return f"10.{self.number >> 16}.{self.number >> 8 & 255}.{self.number & 255}"


_LINK_ITEMS = (UP, DOWN, SYNC_FRAME)
_FOR_MACHINE = (ORDER, TRAINED)
_MESSAGES = (REQUEST, EVIDENCE, CHEQUE, RESPONSE, FAILED)
