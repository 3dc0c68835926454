"""Machines in virtual time: a whole network from one seed, without sockets, clocks or a model.

Records flood with a random latency. Each machine's engine does one job at a time, and all engines share a number of
cores. So the model of time is good enough for choosing a testnet's parameters.
"""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import ANY, DeterminismClass, Network, Params
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.encoding import sign
from p2pverify.core.events import (
    REFEREE,
    AskFailed,
    Compute,
    Computed,
    ComputeFailed,
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
    RecordsArrived,
    RequestArrived,
    Respond,
    ResponseArrived,
    Send,
    StoredEvidence,
    Synced,
    Tick,
)
from p2pverify.core.inference.jobs import Queue
from p2pverify.core.machine import Machine
from p2pverify.testnet.world.peer.engine import ACROSS, as_path, logits_of, score
from tests.support.costs import Costs

SYNC_PAGE = 512
MANIFEST = Manifest("world", bytes(32), bytes(32), bytes(32), "none", "Apache-2.0", "a test", None)


def params(**changes: int) -> Params:
    """Parameters of a small, quick network."""
    values = {
        "genesis_ms": 1_000_000,
        "epoch_ms": 5_000,
        "slots_milli": 1_000,
        "panel_size": 2,
        "prompt_tokens": 12,
        "answer_tokens": 16,
        "temperature_milli": 800,
        "greedy_percent": 0,
        "anchor_lag": 1,
        "anchor_window": 4,
        "duty_epochs": 8,
        "dispute_epochs": 16,
        "disputes_per_cut": 2,
        "spot_check_permille": 0,
        "fork_epochs": 64,
        "cheat_ppm": 100_000,
        "conviction_odds": 1_000_000,
        "weight_changes_per_cut": 1,
        "growth_epochs": 16,
        "tenure_epochs": 0,
        "rest_epochs": 16_384,
        "across_percent": 25,
    }
    return Params(**{**values, **changes})


def seeds(count: int, salt: str = "world") -> list[bytes]:
    """Identity seeds in the order of their public keys."""
    found = [hashlib.sha256(f"{salt}/{n}".encode()).digest() for n in range(count)]
    return sorted(found, key=sign.public_key)


def make_network(
    identities: list[bytes], *, founders: int | None = None, classes: int = 1, unknown: bool = False, **changes: int
) -> Network:
    """A network founded by the first identities. It has one exact class, or several classes that a referee judges
    across; the last of them may be the class of unknown paths."""
    keys = [sign.public_key(seed) for seed in identities]
    rules = (DeterminismClass("exact", MANIFEST.digest, "toy", "any", 1_000),)
    if classes > 1:
        rules = tuple(
            DeterminismClass(f"path-{n}", MANIFEST.digest, "toy", f"path {n}", 1_000, ACROSS) for n in range(classes)
        )
    if unknown:
        rules = (*rules[:-1], DeterminismClass("any", MANIFEST.digest, ANY, ANY, 1_000, ACROSS))
    referee = "toy-exact/1" if classes > 1 else ""
    made = (tuple(sorted(keys[:founders])), (MANIFEST.digest,), rules, params(**changes), referee)
    return Network("world", *made)


Lie = Callable[[bytes, random.Random], bool]


def always(_key: bytes, _dice: random.Random) -> bool:
    return True


def share(rate: float) -> Lie:
    """Lie on a share `rate` of the questions; equal questions give equal results."""

    def lies(key: bytes, _dice: random.Random) -> bool:
        return int.from_bytes(hashlib.sha256(b"lie" + key).digest()[:4], "big") < rate * 2**32

    return lies


@dataclass
class Peer:
    """A machine, its disk, and its engine."""

    name: int
    seed: bytes
    machine: Machine
    lie: Lie | None = None
    silent: bool = False
    path: int = 0
    withholds: bool = False  # serves no evidence
    is_up: bool = True
    disk: list[bytes] = field(default_factory=list)
    answers: list[object] = field(default_factory=list)
    evidence: list[StoredEvidence] = field(default_factory=list)
    queue: Queue[Compute | MeasureJob] = field(default_factory=lambda: Queue(lambda _: 0))
    busy: bool = False
    cached: tuple[int, ...] = ()
    finals: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class World:
    """A seeded discrete-event run. Same seed, same run."""

    def __init__(
        self,
        count: int,
        *,
        seed: int = 1,
        cores: int = 2,
        costs: Costs | None = None,
        founders: int | None = None,
        classes: int = 1,
        unknown: bool = False,
        latency_ms: tuple[int, int] = (2, 40),
        loss: float = 0.0,
        start_before_ms: int = 3_000,
        **changes: int,
    ) -> None:
        self.dice = random.Random(seed)
        self.identities = seeds(count, f"world-{seed}")
        self.network = make_network(self.identities, founders=founders, classes=classes, unknown=unknown, **changes)
        self.classes = classes
        self.costs = costs or Costs()
        self.cores = cores
        self.running: set[int] = set()
        self.latency_ms = latency_ms
        self.loss = loss
        self.now = self.network.params.genesis_ms - start_before_ms
        self._events: list[tuple[int, int, int, object]] = []
        self._order = itertools.count()
        self._tickets: dict[tuple[int, int], tuple[int, int]] = {}
        self.busy_ms = 0
        self.peers = [
            Peer(n, seed_, self._machine(seed_, n), path=self.class_of(n)) for n, seed_ in enumerate(self.identities)
        ]
        self.by_key = {peer.machine.key: peer for peer in self.peers}
        for peer in self.peers:
            self.post(self.dice.randrange(1500), peer.name, "start")

    def class_of(self, name: int) -> int:
        """The class that the peer with this name claims."""
        return name % self.classes

    def _machine(self, seed: bytes, name: int = 0) -> Machine:
        return Machine(self.network, seed, self.class_of(name), MANIFEST, 4096)

    # ------------------------------------------------------------ time

    def post(self, delay: int, peer: int, what: object) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), peer, what))

    def run(self, until_ms: int) -> None:
        """Run until a time in milliseconds after genesis."""
        end = self.network.params.genesis_ms + until_ms
        while self._events and self._events[0][0] <= end:
            self.now, _, name, what = heapq.heappop(self._events)
            self._dispatch(self.peers[name], what)
        self.now = end

    def run_epochs(self, epochs: float) -> None:
        elapsed = self.now - self.network.params.genesis_ms
        self.run(elapsed + int(epochs * self.network.params.epoch_ms))

    def run_until(self, done: Callable[[], bool], *, epochs_max: int) -> bool:
        for _ in range(epochs_max * 4):
            if done():
                return True
            self.run_epochs(0.25)
        return done()

    def _dispatch(self, peer: Peer, what: object) -> None:
        if what == "start":
            alone = self.network.founders == (peer.machine.key,)
            peer.machine.load(peer.disk, peer.answers, self.now, peer.evidence, alone=alone)  # type: ignore[arg-type]
            self._handle(peer, Tick())
            for other in self.peers:
                if other is not peer:
                    self._sync_with(peer, other)
            self.post(500 + self.dice.randrange(500), peer.name, "sync")
        elif what == "tick":
            self._handle(peer, Tick())
        elif what == "sync":
            self._sync(peer)
            self.post(1000, peer.name, "sync")
        elif isinstance(what, tuple) and what[0] == "computed":
            self._computed(peer, what)
        elif peer.is_up:
            self._handle(peer, what)  # type: ignore[arg-type]

    def _handle(self, peer: Peer, event: Event) -> None:
        if not peer.is_up:
            return
        for effect in peer.machine.handle(event, self.now):
            self._carry_out(peer, effect)
        if isinstance(event, Tick):
            self.post(max(1, peer.machine.next_wake_ms(self.now) - self.now), peer.name, "tick")

    # ------------------------------------------------------------ effects

    def _carry_out(self, peer: Peer, effect: object) -> None:
        match effect:
            case Persist():
                peer.disk += [record.data for record in effect.records]
                peer.answers += effect.answers
                peer.evidence = [e for e in peer.evidence if e.epoch >= effect.evidence_from] + [*effect.evidence]
            case Publish():
                for other in self.peers:
                    if other is not peer:
                        self._deliver(peer, other, GossipArrived((RecordBatch(effect.records, peer.machine.key),)))
            case Send():
                self._send(peer, effect)
            case Respond():
                asker, ask = self._tickets.pop((peer.name, effect.ticket))
                self.post(self._latency(), asker, ResponseArrived(ask, effect.data))
            case FetchEvidence():
                self._fetch(peer, effect)
            case Compute() | MeasureJob():
                assert peer.queue.push(effect, effect.purpose, effect.deadline_ms, self.now)
                self._start_jobs()
            case Finalised():
                peer.finals.append(effect.cut)
            case Note():
                peer.notes.append(effect.text)
            case Judged():
                assert not effect.faults, effect.faults

    def _latency(self) -> int:
        return self.dice.randint(*self.latency_ms)

    def _deliver(self, source: Peer, target: Peer, event: Event) -> None:
        if target.is_up and self.dice.random() >= self.loss and self.is_linked(source, target):
            self.post(self._latency(), target.name, event)

    def is_linked(self, _one: Peer, _two: Peer) -> bool:
        return True

    def _send(self, peer: Peer, effect: Send) -> None:
        target = self.by_key[effect.peer]
        if target.silent or not target.is_up or not self.is_linked(peer, target):
            delay = effect.deadline_ms - self.now if target.silent else 5
            self.post(max(1, delay), peer.name, AskFailed(effect.ask, "timeout"))
            return
        ticket = next(self._order)
        self._tickets[target.name, ticket] = (peer.name, effect.ask)
        self.post(self._latency(), target.name, RequestArrived(ticket, effect.data, peer.machine.key))

    def _fetch(self, peer: Peer, effect: FetchEvidence) -> None:
        """Serve evidence at once, from memory."""
        target = self.by_key[effect.peer]
        if target.silent or target.withholds or not target.is_up or not self.is_linked(peer, target):
            self.post(5, peer.name, AskFailed(effect.ask, "unreachable"))
        else:
            data = target.machine.evidence(effect.data)
            self.post(2 * self._latency(), peer.name, ResponseArrived(effect.ask, data))

    def _sync(self, peer: Peer) -> None:
        others = [p for p in self.peers if p is not peer]
        if others:
            self._sync_with(peer, self.dice.choice(others))

    def _sync_with(self, peer: Peer, other: Peer) -> None:
        if not (peer.is_up and other.is_up and self.is_linked(peer, other)):
            return
        have = {head[0]: head[1] + 1 for head in peer.machine.context.ledger.heads()}
        theirs = other.machine.context.ledger
        beyond = (theirs.chain_from(head[0], have.get(head[0], 0)) for head in theirs.heads())
        lacking = itertools.islice(itertools.chain.from_iterable(beyond), SYNC_PAGE)
        page = tuple(record.data for record in lacking)
        late = self._latency()
        if page:
            self.post(late, peer.name, RecordsArrived(page, other.machine.key))
        if len(page) < SYNC_PAGE:
            self.post(late, peer.name, Synced(other.machine.key))

    # ------------------------------------------------------------ engines

    def _start_jobs(self) -> None:
        """Start jobs. Busy engines share the cores evenly, so a job's time grows with their number at its start."""
        for peer in self.peers:
            if peer.busy or not peer.queue or not peer.is_up:
                continue
            entry, dropped = peer.queue.pop(self.now)
            for late in dropped:
                self.post(0, peer.name, ComputeFailed(late.job.job, "too late", is_dropped=True))
            if entry is None:
                continue
            peer.busy = True
            self.running.add(peer.name)
            cost = self._cost(peer, entry.job)
            self.busy_ms += cost
            slowdown = max(1.0, len(self.running) / self.cores)
            lasts = int(cost * slowdown)
            peer.queue.charge(entry, lasts)
            self.post(lasts, peer.name, ("computed", peer.machine, entry.job, entry.since_ms))

    def _cost(self, peer: Peer, job: Compute | MeasureJob) -> int:
        """The time of a job in CPU milliseconds. An answer is cheaper while the engine still holds its prompt."""
        c = self.costs
        if isinstance(job, MeasureJob):
            return c.score + c.score * c.overhead_permille // 1000
        held = job.prompt_seed is not None or job.ask.prompt == peer.cached
        cost = c.derive if job.prompt_seed is not None else 0
        if job.ask.tokens_max:
            cost += c.answer_after_derive if held else c.answer
        return cost + cost * c.overhead_permille // 1000

    def _computed(self, peer: Peer, what: tuple[object, ...]) -> None:
        _, machine, job, since = what
        peer.busy = False
        self.running.discard(peer.name)
        if machine is peer.machine:
            assert isinstance(since, int)
            if isinstance(job, MeasureJob):
                exact = tokens_of(key_of(job.ask), len(job.tokens))
                self._handle(peer, score(job, exact))
            else:
                assert isinstance(job, Compute)
                self._handle(peer, self._answer(peer, job, since))
        self._start_jobs()

    def _answer(self, peer: Peer, job: Compute, since: int) -> Computed:
        prompt = job.ask.prompt
        if job.prompt_seed is not None:
            writer = b"" if job.role == REFEREE or not peer.path else b"path %d" % peer.path
            prompt = tokens_of(b"prompt" + writer + job.prompt_seed, job.prompt_tokens)
        peer.cached = prompt
        key = key_of(replace(job.ask, prompt=prompt))
        lies = peer.lie is not None and peer.lie(key, self.dice)
        if lies:
            tokens = tokens_of(b"lie%d" % peer.name + key, job.ask.tokens_max)
        else:
            tokens = as_path(tokens_of(key, job.ask.tokens_max), peer.path)
        return Computed(job.job, prompt, Output(tokens, "length", logits_of(tokens, peer.path)), self.now - since, 1, 1)

    # ------------------------------------------------------------ faults

    def crash(self, name: int) -> None:
        peer = self.peers[name]
        peer.is_up = False
        peer.queue.clear()

    def restart(self, name: int) -> None:
        """Restart a machine from its disk."""
        peer = self.peers[name]
        peer.machine = self._machine(peer.seed, name)
        peer.is_up = True
        self.by_key[peer.machine.key] = peer
        self.post(0, name, "start")

    # ------------------------------------------------------------ looking

    def convicted(self, observer: int) -> set[int]:
        """Names of the peers that an observer's final view convicts."""
        members = self.peers[observer].machine.fold.latest.members
        return {self.by_key[key].name for key, m in members.items() if m.is_convicted}


def key_of(ask: Ask) -> bytes:
    """The inputs that an answer depends on, as bytes."""
    return repr((ask.prompt, ask.temperature_milli, ask.sampler_key)).encode()


def tokens_of(data: bytes, count: int) -> tuple[int, ...]:
    stream = hashlib.shake_256(data).digest(count or 1)
    return tuple(stream[:count])
