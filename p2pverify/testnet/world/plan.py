"""The plan of a simulation: all its numbers, and the kind of each peer. A run depends only on its plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from p2pverify.core.contract.network import Params
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.cheats.kinds import CheaterFate, CheatPlace
from p2pverify.node.files.networkfile import HONEST_PPM as HONEST_PPM_USUAL
from p2pverify.node.files.networkfile import read_params
from p2pverify.testnet.faults import Fault
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.scenario import HONEST_PPM, SIMULATED_MAX, Scenario, SimulationTable, UpgradeTable
from p2pverify.testnet.world.economy.plan import RoundsPlan

GENESIS_MS = 1_000_000_000_000
HONEST = "honest"
MILLION = 1_000_000
_DOMAIN = "p2pverify/world/1"
_RELEASE_EPOCH = 2


@dataclass(frozen=True, slots=True)
class ActorPlan:
    """A number of hostile peers of one kind. With `founders` they are founders, so they have weight from the start."""

    kind: str
    count: int = 1
    rate_ppm: int = MILLION
    onset_epoch: int = 0
    founders: bool = False


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """At the beginning of an epoch the publishers release the next version of the model, or recall the newest one."""

    epoch: int
    what: Literal["release", "recall"]


@dataclass(frozen=True, slots=True)
class WorldPlan:
    """A whole simulation. Times are in virtual milliseconds, probabilities in parts per million.

    `members` take part: they join, audit, and can earn weight. All other peers hold, check and forward all records,
    and sign nothing. `name`, `peers`, `epochs` and `seed` make the command that replays the run.
    """

    name: str = "-"
    seed: int = 1
    peers: int = 8
    epochs: int = 12
    founders: int = 8
    members: int = 8
    actors: tuple[ActorPlan, ...] = ()
    faults: tuple[Fault, ...] = ()
    leavers: int = 0
    joiners: int = 0  # members that join late
    rules: Mapping[str, int] = field(default_factory=dict)
    honest_ppm: int = 1_000
    classes: int = 1  # a member's class follows from its number; a referee judges across several classes
    dials: int = 4
    latency_ms: tuple[int, int] = (10, 80)
    jitter_ms: int = 30
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    skew_ms: int = 0
    disk_ms: int = 15
    derive_ms: int = 150
    answer_ms: int = 150
    quantum_ms: int = 20
    heartbeat_ms: int = 700
    degree: int = 6
    batch_ms: int = 0
    sync_ms: int = 2_000
    redial_ms: int = 2_000
    hardware: str = ""  # the hardware claim of all members
    upgrades: tuple[UpgradePlan, ...] = ()  # with some, the model has a line
    line_epochs: tuple[int, int, int] = (3, 4, 2)  # notice, overlap, and the time after a recall
    rounds: RoundsPlan | None = None  # with some, members train a line, and a sponsor pays for it
    tariff: bool = False  # whether duties are paid
    archives: int = 0  # the first peers, which forget no records
    #: Whether a third of the weight or more may be hostile. The invariants of cuts do not hold then.
    beyond_third: bool = False

    @property
    def params(self) -> Params:
        rules = dict(self.rules)
        rules.setdefault("genesis_ms", GENESIS_MS)
        return read_params(rules)

    @property
    def command(self) -> str:
        """The command that plays this run again."""
        counts = f"--peers {self.peers} --epochs {self.epochs} --seed {self.seed}"
        return f"p2pverify testnet --simulate {self.name} {counts}"


@dataclass(frozen=True, slots=True)
class Identity:
    """One peer: its number, seed (32 B), key and kind, and the epochs in which it takes part if it is a member."""

    number: int
    seed: bytes
    key: bytes
    founder: bool
    member: bool
    actor: ActorPlan | None
    joins_epoch: int
    leaves_epoch: int | None

    @property
    def kind(self) -> str:
        return HONEST if self.actor is None else self.actor.kind


def plan_world(
    scenario: Scenario, name: str, *, peers: int | None = None, epochs: int | None = None, seed: int | None = None
) -> WorldPlan:
    """The plan of a scenario. Another number of peers changes the number of peers that are not members.

    Cheaters of a real testnet become hostile peers of the kind `wrong`, `silent` or `takeover`. Raises PlanError.
    """
    if scenario.case is not None:
        raise PlanError("peers of a case study train over real rows, which this world has not", "leave out --simulate")
    real = scenario.testnet
    table = scenario.simulation or SimulationTable(peers=real.peers, founders=real.founders or real.peers)
    count = table.peers if peers is None else peers
    if not 4 <= count <= SIMULATED_MAX:
        raise PlanError(f"{count} peers are not from 4 to {SIMULATED_MAX}", "choose another --peers")

    founders = min(count, table.founders)
    actors = [ActorPlan(a.kind, a.count, round(a.rate * MILLION), a.onset_epoch, a.founders) for a in scenario.actor]
    for some in scenario.cheats:
        if some.cheat.fate is CheaterFate.DROPPED:
            continue  # this world has no files
        kind = _KINDS.get(some.cheat.fate, "wrong")
        kind = some.cheat.kind if some.cheat.place is CheatPlace.VERSION else kind
        actors.append(ActorPlan(kind, some.count, round(some.cheat.rate * MILLION), 0, founders == count))
    given = {key: value for key, value in scenario.network.items() if key != HONEST_PPM}
    plan = WorldPlan(
        name,
        scenario.testnet.seed if seed is None else seed,
        count,
        table.epochs if epochs is None else epochs,
        founders,
        count if table.members is None else min(count, table.members),
        tuple(actors),
        scenario.faults,
        table.leavers,
        table.joiners,
        given,
        scenario.network.get(HONEST_PPM, HONEST_PPM_USUAL),
        **{key: getattr(table, key) for key in _SAME_NAMES},
        **_upgrades(scenario.upgrade),
    )
    check(plan)
    return plan


def _upgrades(table: UpgradeTable | None) -> dict[str, Any]:
    """The release and the recall of a scenario. The recall comes at the end of the overlap."""
    if table is None:
        return {}
    epochs = (table.notice_epochs, table.overlap_epochs, table.recall_epochs)
    recall = _RELEASE_EPOCH + table.notice_epochs + table.overlap_epochs
    return {
        "upgrades": (UpgradePlan(_RELEASE_EPOCH, "release"), UpgradePlan(recall, "recall")),
        "line_epochs": epochs,
    }


_KINDS = {CheaterFate.UNAVAILABLE: "silent", CheaterFate.CONTESTED: "takeover"}
_SAME_NAMES = (
    "classes",
    "dials",
    "latency_ms",
    "jitter_ms",
    "loss_ppm",
    "duplicate_ppm",
    "skew_ms",
    "disk_ms",
    "derive_ms",
    "answer_ms",
    "quantum_ms",
    "heartbeat_ms",
    "degree",
    "batch_ms",
    "sync_ms",
)


def check(plan: WorldPlan) -> None:
    """Raise PlanError if the numbers contradict each other."""
    room = plan.members - plan.founders
    hostile = sum(actor.count for actor in plan.actors)
    of_founders = sum(actor.count for actor in plan.actors if actor.founders) if room else hostile
    if 3 * of_founders >= plan.founders and not plan.beyond_third:
        raise PlanError(
            f"{of_founders} hostile founders among {plan.founders} are a third or more", "the promises hold below that"
        )
    if plan.members > plan.peers or room < hostile - of_founders:
        raise PlanError(
            f"{plan.founders} founders and {hostile - of_founders} hostile peers beside them do not fit into "
            f"{plan.members} members of {plan.peers} peers",
            "take more --peers, or a scenario with fewer hostile ones",
        )


def identities(plan: WorldPlan) -> list[Identity]:
    """All peers. The seed decides which peers are founders, members, hostile, late joiners and leavers."""
    order = _order(plan, "role", range(plan.peers))
    founders = set(order[: plan.founders])
    members = set(order[: plan.members])
    kinds: dict[int, ActorPlan] = {}
    free = {True: list(order[: plan.founders]), False: list(order[plan.founders : plan.members])}
    for actor in sorted(plan.actors, key=lambda a: (a.kind, a.rate_ppm, a.onset_epoch, a.founders)):
        for _ in range(actor.count):
            # If all members are founders, hostile peers are founders too.
            numbers = free[actor.founders or not free[False]]
            kinds[numbers.pop()] = actor
    others = [number for number in order[plan.founders : plan.members] if number not in kinds]
    late = others[: plan.joiners]
    leaving = others[plan.joiners : plan.joiners + plan.leavers]
    found = []
    for number in range(plan.peers):
        seed = _derive(plan, "identity", number)
        joins = 2 + _number(plan, "joins", number) % max(1, plan.epochs // 2) if number in late else 0
        leaves = plan.epochs // 2 + _number(plan, "leaves", number) % max(1, plan.epochs // 3)
        found.append(
            Identity(
                number,
                seed,
                public_key(seed),
                number in founders,
                number in members,
                kinds.get(number),
                joins,
                leaves if number in leaving else None,
            )
        )
    return found


def _order(plan: WorldPlan, purpose: str, numbers: Sequence[int]) -> list[int]:
    return sorted(numbers, key=lambda number: _derive(plan, purpose, number))


def _derive(plan: WorldPlan, purpose: str, number: int) -> bytes:
    return sha256(f"{_DOMAIN}/{purpose}/{plan.seed}/{number}".encode()).digest()


def _number(plan: WorldPlan, purpose: str, number: int) -> int:
    return int.from_bytes(_derive(plan, purpose, number)[:8], "big")
