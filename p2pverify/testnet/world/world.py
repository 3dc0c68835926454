"""The simulated world: thousands of machines with their routers in one process, in virtual time, from one seed.

It owns the clock, the peers and the network between them, and carries out the plan's faults. `invariants` checks the
run; `report` describes it.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.network import Network
from p2pverify.core.events import Finalised, Leave
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.replica.memo import Memo
from p2pverify.core.state.state import State
from p2pverify.testnet.faults import FaultKind, FaultPlan, plan_faults
from p2pverify.testnet.world import items
from p2pverify.testnet.world.batches import Batches
from p2pverify.testnet.world.catchup import Catchup
from p2pverify.testnet.world.economy import begin
from p2pverify.testnet.world.economy.plan import TARIFF
from p2pverify.testnet.world.invariants import Invariants
from p2pverify.testnet.world.links import End, Links, SimulatedLink, SimulatedRequests
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs, Gang, HonestActor
from p2pverify.testnet.world.peer.engine import ACROSS, REFEREE_ID, SimulatedEngine
from p2pverify.testnet.world.peer.peer import Peer
from p2pverify.testnet.world.peer.surroundings import Surroundings
from p2pverify.testnet.world.peer.versions import MANIFEST, SimulatedPublishers
from p2pverify.testnet.world.plan import HONEST, Identity, WorldPlan, check, identities
from p2pverify.testnet.world.schedule import Chance, Item, Schedule
from p2pverify.testnet.world.simulation import Simulation
from p2pverify.testnet.world.trace import Trace
from p2pverify.testnet.world.upgrades import Upgrades

CONTEXT_TOKENS = 4096
START_MS = 3_000  # before genesis
START_SPREAD_MS = 1_500
REDIALS_MAX = 40
NEVER_MS = 2**52
#: When contributors offer rows, and a sponsor pays for rounds: all members have joined by then.
FIRST_OFFER_EPOCH = 2


class World:
    """A seeded discrete-event run. Equal arguments give equal runs.

    The plan alone makes a whole world. A caller can replace its parts: `people` are the peers, in the order of their
    numbers; `network` is their contract; `make` makes the actor of a kind at each start of a peer; `engine` makes the
    engine of an actor. If the network is a fork, it begins with the state `start`, two epochs after it.
    """

    def __init__(
        self,
        plan: WorldPlan,
        people: Sequence[Identity] | None = None,
        *,
        network: Network | None = None,
        make: Callable[[str, ActorArgs], Actor] | None = None,
        engine: Callable[[Actor], SimulatedEngine] | None = None,
        start: State | None = None,
    ) -> None:
        check(plan)
        self.plan = plan
        params = plan.params
        self.identities = identities(plan) if people is None else list(people)
        self.network = network or make_network(plan, self.identities)
        self._make = make or _make
        self._start = start
        self._first_epoch = 0 if start is None else start.epoch + 2
        self.schedule = Schedule(params.epoch_start_ms(self._first_epoch) - START_MS, plan.quantum_ms)
        self.chance = Chance(f"p2pverify/world/1/{plan.seed}".encode())
        self.simulation = Simulation(plan, self.network, self.schedule, self.chance, _gossip_params(plan))
        self.trace = Trace()
        self.memo = Memo()
        self.gangs: dict[str, Gang] = {}
        self.by_key: dict[bytes, Peer] = {}
        self.links = Links(self.simulation, self._redial)
        self.training = None if plan.rounds is None else begin.training(plan, self.identities)
        self.requests = SimulatedRequests(self.simulation, self.links, self.by_key)
        self.catchup = Catchup(self.simulation, self.links, self._dial)
        self._around = Surroundings(
            self.simulation,
            self.links,
            self.requests,
            self.catchup,
            Batches(),
            engine or self._engine,
            self._dial,
            self._finalised,
            self.training,
        )
        self.peers = [self._peer(identity) for identity in self.identities]
        self.by_key.update({peer.key: peer for peer in self.peers})
        self.invariants = Invariants(self.network, self.peers, self.identities, self.links)
        self._upgrades = Upgrades(self.simulation, lambda: self.invariants.newest, CONTEXT_TOKENS)
        self._dials = self._topology()
        names = [str(peer.number) for peer in self.peers]
        self.faults = plan_faults(plan.faults, names, epoch_ms=params.epoch_ms, seed=plan.seed)
        self._begin()

    # ------------------------------------------------------------ making

    def _peer(self, identity: Identity) -> Peer:
        plan = self.plan
        skew = self.chance.below(2 * plan.skew_ms + 1) - plan.skew_ms
        make = partial(self._make, identity.kind, self._args(identity))
        peer = Peer(self._around, identity.number, identity.kind, make, skew_ms=skew)
        if not identity.member:
            peer.speaks_from_ms = NEVER_MS
        elif identity.joins_epoch:
            peer.speaks_from_ms = self.network.params.epoch_start_ms(identity.joins_epoch)
        return peer

    def _args(self, identity: Identity) -> ActorArgs:
        gang = Gang()
        actor = identity.actor
        if actor is not None:
            gang = self.gangs.setdefault(actor.kind, gang)
            gang.keys.append(identity.key)
            gang.seeds.append(identity.seed)
        return ActorArgs(
            network=self.network,
            seed=identity.seed,
            class_index=identity.number % self.plan.classes,
            manifest=MANIFEST,
            context_tokens=CONTEXT_TOKENS,
            dice=Dice(identity.seed + b"/actor"),
            rate_ppm=0 if actor is None else actor.rate_ppm,
            onset_epoch=0 if actor is None else actor.onset_epoch,
            gang=gang,
            everyone=tuple(sorted(i.key for i in self.identities)) if actor else (),
            honest=tuple(sorted(i.key for i in self.identities if i.actor is None)) if actor else (),
            memo=self.memo,
            hardware=self.plan.hardware,
            start=self._start,
            publishers=SimulatedPublishers(self.plan.seed) if actor and self.plan.upgrades else None,
            forgets=identity.number >= self.plan.archives,
        )

    def _engine(self, actor: Actor) -> SimulatedEngine:
        plan = self.plan
        return SimulatedEngine(plan.derive_ms, plan.answer_ms * actor.slowness, actor.machine.context.class_index)

    def _topology(self) -> list[list[int]]:
        """The numbers of the peers that each peer dials.

        One is the peer before it in a random ring, so that the network is connected. The others are drawn at random.
        """
        count = len(self.peers)
        ring = self.chance.shuffled(list(range(count)))
        dials: list[list[int]] = [[] for _ in range(count)]
        for place, number in enumerate(ring):
            chosen = [ring[place - 1]]
            while len(chosen) < min(self.plan.dials, count - 1):
                other = self.chance.below(count)
                if other != number and other not in chosen:
                    chosen.append(other)
            dials[number] = chosen
        return dials

    def _begin(self) -> None:
        genesis_ms = self.network.params.genesis_ms
        for peer in self.peers:
            at_ms = self.now_ms + self.chance.below(START_SPREAD_MS)
            self.schedule.post(at_ms, -1, (items.START, peer.number))
            identity = self.identities[peer.number]
            if identity.leaves_epoch is not None:
                at_ms = self.network.params.epoch_start_ms(identity.leaves_epoch)
                self.schedule.post(at_ms, peer.number, (items.ORDER, 0, Leave()))
        self._upgrades.begin()
        self._begin_rounds()
        for fault in self.faults:
            self.schedule.post(genesis_ms + fault.begins_ms, -1, (items.FAULT, fault))
            self.schedule.post(genesis_ms + fault.ends_ms, -1, (items.HEAL, fault))

    def _begin_rounds(self) -> None:
        """Post what contributors and their sponsor sign: data sets, and a pledge for all rounds."""
        at_ms = self.network.params.epoch_start_ms(FIRST_OFFER_EPOCH)
        for number, order in begin.orders(self.plan, self.identities, self.network):
            self.schedule.post(at_ms, number, (items.ORDER, 0, order))

    # ------------------------------------------------------------ time

    @property
    def now_ms(self) -> int:
        return self.schedule.now_ms

    @property
    def epoch(self) -> int:
        return self.simulation.epoch

    def run(self, until_ms: int) -> None:
        """Run until a virtual time."""
        peers, pop, trace = self.peers, self.schedule.pop, self.trace
        while (slot := pop(until_ms)) is not None:
            for number, found in slot.items():
                if number < 0:
                    for item in found:
                        self._happen(item)
                    continue
                digests: list[bytes] = []
                peers[number].take(found, digests)
                if digests:
                    trace.add(self.schedule.now_ms, number, digests)

    def run_epochs(self, epochs: float) -> None:
        """Run for the time of so many epochs. The time before genesis does not count."""
        params = self.network.params
        self.run(max(self.now_ms, params.genesis_ms) + round(epochs * params.epoch_ms))

    def play(self, progress: Callable[[int], bool | None] | None = None) -> None:
        """Run the whole plan: all its epochs, then rest. If `progress` returns True, no more epochs are run."""
        with _without_collection():
            for epoch in range(self._first_epoch, self._first_epoch + self.plan.epochs):
                self.run(self.network.params.epoch_start_ms(epoch + 1) - 1)
                self.invariants.after_epoch(epoch)
                if progress is not None and progress(epoch + 1 - self._first_epoch):
                    break
            self.rest()
        self.invariants.at_rest()

    # ------------------------------------------------------------ rest

    def rest(self) -> None:
        """Stop all clocks and all hostile peers, heal the network, and run until records have reached all peers.

        It ends when all honest peers hold the same records. If this never happens, the invariants report it.
        """
        self.simulation.rest()
        self.links.loss_ppm = self.links.duplicate_ppm = 0
        self.links.heal()
        for peer in self.peers:
            if peer.held is not None:
                self.resume(peer)
            if peer.kind != HONEST and peer.is_up:
                self.stop(peer)
            elif peer.kind == HONEST and not peer.is_up:
                self.start(peer)
        # A peer that had only hostile neighbours is alone now. A real node knows more addresses than it dials here.
        honest = self.honest
        for place, peer in enumerate(honest):
            self.schedule.post(self.now_ms, -1, (items.DIAL, peer.number, honest[place - 1].number, 0))
        for _ in range(self.invariants.rest_rounds_max):
            self.run(self.now_ms + self.plan.sync_ms)
            if self.invariants.is_equal():
                return

    # ------------------------------------------------------------ what happens to the world

    def _happen(self, item: Item) -> None:
        kind, what = item[0], item[1]
        if kind == items.START:
            self.start(self.peers[what])
        elif kind == items.DIAL:
            self._dial_again(item)
        elif kind == items.UPGRADE:
            self._upgrades.happen(what, self.peers, self._able())
        elif kind == items.FAULT:
            self._break(what)
        elif kind == items.HEAL:
            self._heal(what)

    def _able(self) -> list[Peer]:
        """The honest members that can sign now."""
        running = (peer for peer in self.honest if peer.is_up and peer.held is None)
        return [peer for peer in running if peer.key in peer.machine.fold.latest.members]

    def _break(self, fault: FaultPlan) -> None:
        victims = [self.peers[int(name)] for name in fault.victims]
        if self.simulation.is_resting:
            return
        if fault.kind is FaultKind.PARTITION:
            self.links.split({peer.number: 1 for peer in victims}, self.peers)
        for peer in victims:
            if fault.kind is FaultKind.CRASH and peer.is_up:
                self.stop(peer)
            elif fault.kind is FaultKind.PAUSE and peer.is_up:
                peer.held = []

    def _heal(self, fault: FaultPlan) -> None:
        if self.simulation.is_resting:
            return
        if fault.kind is FaultKind.PARTITION:
            self.links.heal()
        for name in fault.victims:
            peer = self.peers[int(name)]
            if fault.kind is FaultKind.CRASH and not peer.is_up:
                self.start(peer)
            elif fault.kind is FaultKind.PAUSE and peer.held is not None:
                self.resume(peer)

    def stop(self, peer: Peer) -> None:
        """Kill a peer: unfinished writes are lost, and the others see its links end."""
        self.requests.forget(peer)
        self.links.close_all(peer)
        peer.stop()

    def resume(self, peer: Peer) -> None:
        held, peer.held = peer.held or [], None
        for item in held:
            self.schedule.post(self.now_ms, peer.number, item)
        self.schedule.post(self.now_ms, peer.number, (items.TICK, peer.life))

    def start(self, peer: Peer) -> None:
        """Start a peer that does not run, on its disk."""
        if peer.is_up:
            return
        peer.restart() if peer.life else peer.start([], [], [])
        self._upgrades.started(peer)
        self.catchup.start(peer)
        for number in self._dials[peer.number]:
            late_ms = self.chance.below(200)
            self.schedule.post(self.now_ms + late_ms, -1, (items.DIAL, peer.number, number, 0))

    # ------------------------------------------------------------ dialling

    def _dial(self, peer: End, key: bytes) -> None:
        """Connect a peer with another at its own request."""
        other = self.by_key.get(key)
        if other is not None:
            self.links.open(peer, other)

    def _redial(self, link: SimulatedLink) -> None:
        """After a connection ended, let its dialler try again, as nodes do."""
        other = link.other(link.dialler)
        if other.number in self._dials[link.dialler]:
            late_ms = self.plan.redial_ms + self.chance.below(self.plan.redial_ms)
            self.schedule.post(self.now_ms + late_ms, -1, (items.DIAL, link.dialler, other.number, 1))

    def _dial_again(self, item: Item) -> None:
        _, dialler, number, tries = item
        one, two = self.peers[dialler], self.peers[number]
        if two.key in one.links or not one.is_up or self.links.open(one, two) or tries >= REDIALS_MAX:
            return
        late_ms = self.plan.redial_ms + self.chance.below(self.plan.redial_ms)
        self.schedule.post(self.now_ms + late_ms, -1, (items.DIAL, dialler, number, tries + 1))

    # ------------------------------------------------------------ what peers tell

    def _finalised(self, number: int, effect: Finalised) -> None:
        """Pass a cut that became final at a peer to the invariants."""
        self.invariants.finalised(self.peers[number], effect)

    @property
    def honest(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.kind == HONEST]


def _make(kind: str, args: ActorArgs) -> Actor:
    if kind == HONEST:
        return HonestActor(args)
    from p2pverify.testnet.world.liars.registry import make_actor  # noqa: PLC0415 - they import this package

    return make_actor(kind, args)


def make_network(plan: WorldPlan, found: Sequence[Identity]) -> Network:
    """The contract of a plan's peers, founded by its founders."""
    founders = tuple(sorted(identity.key for identity in found if identity.founder))
    lines = (SimulatedPublishers(plan.seed).line(plan.line_epochs),) if plan.upgrades else ()
    tariff = TARIFF if plan.tariff else None
    if plan.rounds is not None:
        lines = (begin.trained_line(plan, found),)
    if plan.classes == 1:
        rule = DeterminismClass("exact", MANIFEST.digest, "world", "any", plan.honest_ppm)
        return Network("world", founders, (MANIFEST.digest,), (rule,), plan.params, lines=lines, tariff=tariff)
    names = [f"path-{number}" for number in range(plan.classes)]
    rules = tuple(DeterminismClass(n, MANIFEST.digest, "world", n, plan.honest_ppm, ACROSS) for n in names)
    return Network("world", founders, (MANIFEST.digest,), rules, plan.params, REFEREE_ID, lines=lines, tariff=tariff)


def _gossip_params(plan: WorldPlan) -> GossipParams:
    low = max(1, plan.degree * 2 // 3)
    return GossipParams(
        degree=plan.degree,
        degree_low=low,
        degree_high=plan.degree + 2,
        degree_out=min(low - 1, plan.degree // 3),
        degree_score=min(4, plan.degree),
        degree_lazy=max(1, plan.degree - 1),
        heartbeat_ms=plan.heartbeat_ms,
        batch_ms=plan.batch_ms,
    )


@contextmanager
def _without_collection() -> Iterator[None]:
    """Turn garbage collection off: it takes a third of the time, and a world has hardly any reference cycles."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
