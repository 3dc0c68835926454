"""Explores the orders in which the records of a tiny network can travel, with the real ledger, fold and cut maker.

A network has four founders. A step is one of these: an honest member takes everything that another honest member
holds, or the log of a hostile one, and then proposes and signs what it may; a hostile member proposes; the next epoch
begins. Hostile members see everything at once and sign every cut. Worlds in which all members hold the same are
explored once.
"""

import copy
import copyreg
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from p2pverify.core.contract import sortition
from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Effects
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.memo import Memo
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.cut_maker import Cutter
from p2pverify.core.roles.disputes.evidence import EvidenceBox
from p2pverify.core.roles.disputes.objector import Objector
from p2pverify.core.roles.disputes.work import DisputeWork
from p2pverify.core.roles.responder import Responder
from p2pverify.core.roles.settle.creditor import Creditor
from p2pverify.core.settle.credit import DEFAULT_CREDIT
from p2pverify.core.state.state import State
from tests.support.networks import MANIFEST

MEMBERS = 4
#: At this share of an epoch, in thousandths, everybody's turn to propose has come.
LATE_PERMILLE = 900
#: More states than an exploration computes.
STATES_MAX = 65_536
Trace = tuple[str, ...]
_T = TypeVar("_T")


def _bounded(most: int, items: dict[object, object]) -> BoundedDict[object, object]:
    made: BoundedDict[object, object] = BoundedDict(most)
    made.update(items)
    return made


copyreg.pickle(BoundedDict, lambda each: (_bounded, (each.most, dict(each))))  # so that members can be copied


SEEDS = sorted((sha256(b"exploration %d" % number) for number in range(MEMBERS)), key=sign.public_key)
_MODEL = sha256(b"a model that nobody asks")
PARAMS = Params(
    genesis_ms=1_000_000,
    epoch_ms=5_000,
    slots_milli=1_000,
    panel_size=2,
    prompt_tokens=12,
    answer_tokens=16,
    temperature_milli=800,
    greedy_percent=0,
    anchor_lag=1,
    anchor_window=4,
    duty_epochs=8,
    dispute_epochs=16,
    disputes_per_cut=2,
    spot_check_permille=0,
    fork_epochs=64,
    cheat_ppm=100_000,
    conviction_odds=1_000_000,
    weight_changes_per_cut=1,
    growth_epochs=16,
    tenure_epochs=0,
    rest_epochs=16_384,
    across_percent=25,
)
NETWORK = Network(
    "exploration",
    tuple(sorted(map(sign.public_key, SEEDS))),
    (_MODEL,),
    (DeterminismClass("exact", _MODEL, "toy", "any", 1_000),),
    PARAMS,
    "",
)


def _result(effects: Effects[_T]) -> _T:
    """Take all effects of a method, and return its result. Nobody needs the effects, because members share records."""
    while True:
        try:
            next(effects)
        except StopIteration as ended:
            result: _T = ended.value
            return result


def late_ms(epoch: int) -> int:
    """Unix ms late in an epoch, when all steps of the epoch are made."""
    return PARAMS.epoch_start_ms(epoch) + PARAMS.epoch_ms * LATE_PERMILLE // 1000


class PromptCutter(Cutter):
    """It signs at once. The wait for a better proposal is a courtesy and no rule."""

    _wait_ms = 0


class Replica:
    """What one member holds and does."""

    def __init__(self, seed: bytes, memo: Memo, cutter: type[Cutter] = PromptCutter) -> None:
        self.context = Context(NETWORK, seed, 0, memo)
        self.fold, self.ledger = self.context.fold, self.context.ledger
        work = DisputeWork(self.context, Responder(self.context, Creditor(self.context, DEFAULT_CREDIT)), EvidenceBox())
        self.cutter = cutter(self.context, Objector(self.context, work, is_on=False))

    def take(self, records: Iterable[Record], now_ms: int) -> None:
        for record in records:
            if record.id not in self.ledger:
                for added in self.ledger.add(record):
                    self.fold.take(added)
                    self.cutter.take(added, now_ms)
        self.fold.settle()

    def write(self, kind: Kind, payload: bytes, now_ms: int) -> Record:
        record = _result(self.context.write(kind, payload, now_ms))
        self.cutter.take(record, now_ms)
        self.fold.settle()
        return record

    def propose(self, epoch: int, moved: tuple[Head, ...] | None = None) -> Record | None:
        """Propose some heads or all on the newest certified cut. None if the cut would not hold."""
        context, base = self.context, self.fold.latest
        proof = vrf.prove(context.vrf_seed, sortition.propose_alpha(NETWORK.id, epoch, base.beacon))
        heads = tuple(self.ledger.moved(base.heads)) if moved is None else moved
        cut = self.fold.propose(
            Cut(epoch, base.id, context.vrf_key, proof, heads, bytes(32), bytes(32), bytes(32)), context.key
        )
        return None if cut is None else self.write(Kind.CUT, cut.encode(), late_ms(epoch))

    def act(self, now_ms: int) -> None:
        """Propose and sign, as an honest member, until there is nothing more to do."""
        held = -1
        while held != len(self.ledger):
            held = len(self.ledger)
            _result(self.cutter.tick(now_ms))
            self.fold.settle()

    def sign_all(self, now_ms: int) -> None:
        """Sign every cut, as a hostile member."""
        signed = {record.payload for record in self.ledger.chain(self.context.key)}
        for record in list(self.ledger.records()):
            payload = CutSignature(record.id).encode()
            if record.kind == Kind.CUT and payload not in signed:
                self.write(Kind.CUT_SIGNATURE, payload, now_ms)

    def fingerprint(self) -> object:
        held = frozenset(record.id for record in self.ledger.records())
        looked = {epoch: tuple(sorted(heads.values())) for epoch, heads in self.cutter._omissions._held.items()}
        return held, self.fold.latest.id, tuple(sorted(looked.items()))


@dataclass(frozen=True)
class World:
    """The members at one moment, and an observer that holds everything. Worlds share what a step does not change.

    `proposed` are the hostile proposals: member, epoch, and whether the cut has all records.
    """

    epoch: int
    members: tuple[Replica, ...]
    observer: Replica
    proposed: frozenset[tuple[int, int, bool]] = frozenset()
    trace: Trace = ()

    def fingerprint(self) -> object:
        return self.epoch, self.proposed, tuple(each.fingerprint() for each in self.members)


@dataclass
class Found:
    """What an exploration has found. A trace is the steps that lead to the first case, or None."""

    worlds: int = 0
    certified: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)  # cut -> all records when it first was
    parted: Trace | None = None  # two certified cuts that are not nested
    convicted: Trace | None = None  # an honest member is convicted in a certified cut
    longest: int = 0  # cuts on the longest certified path


class Explorer:
    """Explores worlds of some epochs. The last `hostile` members are hostile."""

    def __init__(self, *, hostile: int, epochs: int, cutter: type[Cutter] = PromptCutter) -> None:
        self.epochs = epochs
        self.honest, self.hostile = range(MEMBERS - hostile), range(MEMBERS - hostile, MEMBERS)
        self.found = Found()
        self._memo = Memo()
        self._memo._states.most = STATES_MAX
        self._seen: set[object] = set()
        now = late_ms(0)
        everybody = [Replica(seed, self._memo, cutter) for seed in (*SEEDS, bytes(32))]
        for each in everybody[:-1]:
            each.write(Kind.JOIN, Join(0, each.context.vrf_key, "").encode(), now)
        joins = [record for each in everybody for record in each.ledger.records()]
        for each in everybody:
            each.take(joins, now)
        self.start = World(0, tuple(everybody[:-1]), everybody[-1])

    def explore(self, *, steps: int, width: int, until: Callable[[Found], object] = lambda _: False) -> list[World]:
        """Explore worlds up to a number of steps, and return the last ones.

        All worlds after as many steps are explored while they are at most `width`. After more steps only `width` worlds
        go on: half of them are those with the most cuts, and the others are a seeded sample.
        """
        dice, layer = random.Random(self.hostile.start), [self.start]
        for _ in range(steps):
            following: list[World] = []
            for after in (after for world in layer for after in self.steps(world)):
                mark = after.fingerprint()
                if mark not in self._seen:
                    self._seen.add(mark)
                    self.found.worlds += 1
                    self.look(after)
                    following.append(after)
                    if until(self.found):
                        return following
            dice.shuffle(following)
            following.sort(key=lambda world: -sum(member.fold.latest.index for member in world.members))
            half = width // 2
            layer = following if len(following) <= width else following[:half] + dice.sample(following[half:], half)
        return layer

    # ------------------------------------------------------------ steps

    def steps(self, world: World) -> Iterator[World]:
        """The worlds after one step. They may be equal to earlier ones."""
        for one in self.honest:
            for other in range(MEMBERS):
                if self._changes(world, one, other):
                    yield self.taken(world, one, other)
        for one in self.hostile:
            for whole in (True, False):
                if (one, world.epoch, whole) not in world.proposed:
                    yield self._proposed(world, one, whole=whole)
        if world.epoch + 1 < self.epochs:
            yield self.next_epoch(world)

    def _shown(self, world: World, one: int) -> list[Record]:
        """What a member shows to others: an honest one everything, a hostile one only its own log."""
        ledger, key = world.members[one].ledger, world.members[one].context.key
        return list(ledger.chain(key) if one in self.hostile else ledger.records())

    def _changes(self, world: World, one: int, other: int) -> bool:
        """Whether a member takes something new, or acts for the first time in an epoch."""
        mine = world.members[one]
        if one == other:
            return world.epoch not in mine.cutter._omissions._held
        return any(record.id not in mine.ledger for record in self._shown(world, other))

    def next_epoch(self, world: World) -> World:
        trace = (*world.trace, f"epoch {world.epoch + 1}")
        return World(world.epoch + 1, world.members, world.observer, world.proposed, trace)

    def taken(self, world: World, one: int, *others: int) -> World:
        """An honest member takes what others hold, and acts."""
        now = late_ms(world.epoch)
        member = self._copied(world.members[one])
        for other in others:
            member.take(self._shown(world, other), now)
        member.act(now)
        return self._after(world, one, member, f"{one} takes from {others}", world.proposed)

    def _proposed(self, world: World, one: int, *, whole: bool) -> World:
        """A hostile member proposes a cut of all records, or only of those that the cut needs in order to hold."""
        member = self._copied(world.members[one])
        member.propose(world.epoch, None if whole else self._least(member, member.fold.latest))
        step = f"{one} proposes {'everything' if whole else 'little'}"
        return self._after(world, one, member, step, world.proposed | {(one, world.epoch, whole)})

    def _least(self, member: Replica, base: State) -> tuple[Head, ...]:
        """The heads of the smallest cut on a base: its certificate, or the joins if the base is the network."""
        if base.id == NETWORK.id:
            return tuple((key, 0, member.ledger.at(key, 0).id) for key in sorted(NETWORK.founders))
        needed: list[Head] = []
        for head in member.ledger.moved(base.heads):
            records = member.ledger.between(head, base.heads[head[0]][1] + 1)
            last = [record for record in records if _is_of(record, base.id)][-1:]
            needed += [(record.author, record.seq, record.id) for record in last]
        return tuple(needed)

    def _after(
        self, world: World, one: int, member: Replica, step: str, proposed: frozenset[tuple[int, int, bool]]
    ) -> World:
        """The world after one member has changed. Hostile members take what it holds, and sign every cut."""
        members, observer, now = list(world.members), world.observer, late_ms(world.epoch)
        before = len(members[one].ledger)
        members[one] = member
        if one in self.hostile or len(member.ledger) != before:
            fresh = list(member.ledger.records())
            for liar in self.hostile:
                members[liar] = self._copied(members[liar])
                members[liar].take(fresh, now)
                members[liar].sign_all(now)
            observer = self._copied(observer)
            for each in (one, *self.hostile):
                observer.take(list(members[each].ledger.records()), now)
        return World(world.epoch, tuple(members), observer, proposed, (*world.trace, step))

    def _copied(self, member: Replica) -> Replica:
        """A copy that shares what never changes."""
        constant: list[object] = [NETWORK, MANIFEST, self._memo, self._memo.shelf, *self._memo.shelf.values()]
        constant += member.fold._states.values()
        constant += [member.fold.genesis, member.fold.latest, member.fold._proposal]
        return copy.deepcopy(member, {id(each): each for each in constant})

    def healed(self, world: World, *, epochs: int) -> World:
        """The world after some epochs in which every honest member hears of everything."""
        for _ in range(epochs):
            world = self.next_epoch(world)
            for one in (*self.honest, *self.honest):
                world = self.taken(world, one, *range(MEMBERS))
        return world

    # ------------------------------------------------------------ looking

    def look(self, world: World) -> None:
        """Check the promises in a world, for all cuts that anybody could know to be certified."""
        fold, found = world.observer.fold, self.found
        states = [state for cut_id in fold._certified if (state := fold.state(cut_id)) is not None]
        honest = {world.members[one].context.key for one in self.honest}
        for state in states:
            if state.id not in found.certified and state.index:
                found.certified[state.id] = tuple(record.data for record in fold.ledger.records())
            found.longest = max(found.longest, state.index)
            if honest & state.convicted:
                found.convicted = found.convicted or world.trace
        ordered = sorted(states, key=lambda state: sum(head[1] + 1 for head in state.heads.values()))
        for smaller, larger in itertools.pairwise(ordered):
            if not fold.ledger.extends(larger.heads, smaller.heads.values()):
                found.parted = found.parted or world.trace


def _is_of(record: Record, cut_id: bytes) -> bool:
    """Whether a record is a cut or one of its signatures."""
    return record.id == cut_id or record.payload == CutSignature(cut_id).encode()
