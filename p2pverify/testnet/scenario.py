"""The scenario: a TOML file with the number of peers, the rules, and the cheaters.

The names of rules are the fields of `core.contract.network.Params` and `honest_ppm`. `genesis_ms` is left out, because
it is the start of the run. `plan` makes the plan of each peer from a scenario.
"""

import difflib
from functools import partial
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from p2pverify.core.contract.network import CLASSES_MAX, PARAM_BOUNDS
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.speed import check_claim
from p2pverify.engine.cheats.lies import CLIENTS_TEXT
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.clients.book import ReportWish
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, LOCAL_KINDS, EngineKind
from p2pverify.node.files.manifesttable import AcrossTable
from p2pverify.node.files.modelfile import read_model
from p2pverify.node.files.textfile import user_path
from p2pverify.node.files.tomlfile import read_table
from p2pverify.resources import resource
from p2pverify.testnet.cheats import COUNT_MAX, Cheaters
from p2pverify.testnet.faults import Fault, FaultKind

SCENARIO_BYTES_MAX = 65_536
DEFAULT = "default"
PEERS_MIN, PEERS_MAX = 2, 64
MODELS_MAX = 8
SEED_MAX = 2**63 - 1
TIMEOUT_S_MAX = 86_400.0
HONEST_PPM = "honest_ppm"
FAULTS_MAX = 64
SIMULATED_MAX = 10_000
_BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS if name != "genesis_ms"}
_BOUNDS[HONEST_PPM] = (1, 999_998)

PATHS_MAX = 32


def _check_engine(value: object) -> object:
    if value not in LOCAL_KINDS:
        raise ValueError(f"Input should be {', '.join(map(repr, LOCAL_KINDS[:-1]))} or {LOCAL_KINDS[-1]!r}")
    return value


_LocalKind = Annotated[EngineKind, BeforeValidator(_check_engine)]


_Across = Annotated[AcrossTable, BeforeValidator(partial(read_table, AcrossTable))]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestnetTable(_Table):
    """`[testnet]`: how the run goes."""

    peers: StrictInt = Field(default=8, ge=PEERS_MIN, le=PEERS_MAX)
    founders: StrictInt | None = Field(
        default=None, ge=1, le=PEERS_MAX
    )  # honest peers come first; by default all peers
    seed: StrictInt = Field(default=1, ge=0, le=SEED_MAX)
    timeout_s: float = Field(default=180, gt=0, le=TIMEOUT_S_MAX)
    engine: _LocalKind = DEFAULT_ENGINE
    weights: StrictStr = Field(default="", max_length=4096)  # a GGUF file; by default the bundled model
    also: tuple[StrictStr, ...] = Field(default=(), max_length=MODELS_MAX - 1)  # files of further models
    referee: StrictStr = ""  # the engine that judges across classes: its id, or its kind
    epochs_without_cheaters: StrictInt = Field(default=12, ge=1, le=10_000)
    hardware: StrictStr = ""  # the hardware claim of all peers

    @field_validator("hardware")
    @classmethod
    def _hardware(cls, value: str) -> str:
        try:
            return check_claim(value)
        except DecodeError as error:
            raise ValueError(error.reason) from None


class ClientsTable(_Table):
    """`[clients]`: what clients ask, and how the nodes that they ask check the answers (see config.toml)."""

    requests: StrictInt = Field(default=4, ge=1, le=256)  # in an epoch, of all clients
    nodes: StrictInt | None = Field(default=None, ge=1, le=PEERS_MAX)  # honest nodes with clients; by default all
    answer_tokens: StrictInt = Field(default=8, ge=1, le=256)  # of each request
    text: StrictStr = Field(default=CLIENTS_TEXT, min_length=1, max_length=64, pattern=r"^[a-z]+$")
    audit_rate: float = Field(default=1.0, ge=0, le=1)
    report: ReportWish = "reveal"


class UpgradeTable(_Table):
    """`[upgrade]`: version 1 of the model, which its publishers release and later recall.

    `late` is how many peers, none of them a publisher, stay on version 0 during most of the overlap. In the overlap
    there must be `audits` of each version.
    """

    recipe: StrictStr = Field(default="quantise:q5_0", max_length=256)  # of version 1's weights; a toy's are invented
    late: StrictInt = Field(default=4, ge=0, le=PEERS_MAX)
    audits: StrictInt = Field(default=20, ge=0, le=10_000)
    notice_epochs: StrictInt = Field(default=3, ge=1, le=1_000)
    overlap_epochs: StrictInt = Field(default=24, ge=1, le=1_000)
    recall_epochs: StrictInt = Field(default=1, ge=0, le=1_000)


class CaseTable(_Table):
    """`[case]`: a case study over real rows (see `testnet/cases`).

    Peers train for `rounds` decided rounds. A version is current `notice_epochs` after its round, and the one before
    is served beside it for `overlap_epochs`.
    """

    study: Literal["healthcare", "finance", "supply-chain"]
    rounds: StrictInt = Field(default=6, ge=1, le=64)
    notice_epochs: StrictInt = Field(default=1, ge=1, le=1_000)
    overlap_epochs: StrictInt = Field(default=3, ge=1, le=1_000)
    recall_epochs: StrictInt = Field(default=1, ge=0, le=1_000)


class LastingTable(_Table):
    """`[lasting]`: a network that goes on while its peers, their keys and its rules change.

    An amendment changes the rule `rule` to `value`. The peer behind relays must be in `audits` audits after one of
    them has ended, and its availability must be `availability` at least.
    """

    rule: StrictStr
    value: StrictInt = Field(ge=0)
    audits: StrictInt = Field(default=8, ge=1, le=10_000)
    availability: float = Field(default=0.9, ge=0, le=1)

    @field_validator("rule")
    @classmethod
    def _is_rule(cls, value: str) -> str:
        if value not in _BOUNDS or value == HONEST_PPM:
            raise ValueError(f"unknown rule {value!r}")
        return value


class CheatTable(_Table):
    """`[[cheat]]`: some peers that cheat in one way."""

    kind: StrictStr
    rate: float = 1.0
    count: StrictInt = Field(default=1, ge=1, le=COUNT_MAX)

    @model_validator(mode="after")
    def _is_cheat(self) -> "CheatTable":
        self.cheaters()
        return self

    def cheaters(self) -> Cheaters:
        kind, _, argument = self.kind.partition(":")
        return Cheaters(CheatSpec(kind, argument, self.rate), self.count)


class PathTable(_Table):
    """`[[path]]`: an engine, its variant, and the number of peers that run it."""

    engine: _LocalKind = DEFAULT_ENGINE
    variant: StrictStr = Field(default="", max_length=64)
    count: StrictInt = Field(default=1, ge=1, le=PEERS_MAX)


class FaultTable(_Table):
    """`[[fault]]`: a fault that the run causes in its own network, and its time."""

    kind: FaultKind
    epoch: StrictInt = Field(ge=0, le=10_000)
    seconds: float = Field(gt=0, le=3600)
    peers: StrictInt = Field(default=1, ge=1, le=COUNT_MAX)

    def fault(self) -> Fault:
        return Fault(self.kind, self.epoch, round(1000 * self.seconds), self.peers)


class ActorTable(_Table):
    """`[[actor]]`: hostile peers of the simulated world; real testnets refuse them."""

    kind: StrictStr
    count: StrictInt = Field(default=1, ge=1, le=SIMULATED_MAX)
    rate: float = Field(default=1.0, gt=0, le=1)
    onset_epoch: StrictInt = Field(default=0, ge=0, le=10_000)
    founders: bool = False


class SimulationTable(_Table):
    """`[simulation]`: the simulated world. Times in virtual milliseconds, chances in parts per million."""

    peers: StrictInt = Field(default=100, ge=4, le=SIMULATED_MAX)
    epochs: StrictInt = Field(default=40, ge=1, le=10_000)
    founders: StrictInt = Field(default=12, ge=1, le=256)
    members: StrictInt | None = Field(default=None, ge=1, le=SIMULATED_MAX)  # the peers that take part; by default all
    leavers: StrictInt = Field(default=0, ge=0, le=SIMULATED_MAX)
    joiners: StrictInt = Field(default=0, ge=0, le=SIMULATED_MAX)
    classes: StrictInt = Field(default=1, ge=1, le=CLASSES_MAX)
    dials: StrictInt = Field(default=4, ge=1, le=64)
    latency_ms: tuple[StrictInt, StrictInt] = (10, 80)
    jitter_ms: StrictInt = Field(default=30, ge=0, le=60_000)
    loss_ppm: StrictInt = Field(default=0, ge=0, le=500_000)
    duplicate_ppm: StrictInt = Field(default=0, ge=0, le=500_000)
    skew_ms: StrictInt = Field(default=0, ge=0, le=600_000)
    disk_ms: StrictInt = Field(default=15, ge=0, le=10_000)
    derive_ms: StrictInt = Field(default=150, ge=0, le=600_000)
    answer_ms: StrictInt = Field(default=150, ge=0, le=600_000)
    quantum_ms: StrictInt = Field(default=20, ge=1, le=1_000)
    heartbeat_ms: StrictInt = Field(default=700, ge=100, le=60_000)
    degree: StrictInt = Field(default=6, ge=2, le=12)
    batch_ms: StrictInt = Field(default=0, ge=0, le=10_000)
    sync_ms: StrictInt = Field(default=2_000, ge=100, le=600_000)

    @field_validator("latency_ms")
    @classmethod
    def _latency(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= value[0] <= value[1] <= 60_000:
            raise ValueError("latency_ms is the least and the greatest, up to 60000")
        return value


class Scenario(_Table):
    """The whole file. `network` holds the rules that the file names. The other rules have their usual values."""

    testnet: TestnetTable = TestnetTable()
    network: dict[str, StrictInt] = {}
    path: tuple[PathTable, ...] = Field(default=(), max_length=PATHS_MAX)
    across: _Across | None = None  # the referee's bounds, if none are calibrated
    cheat: tuple[CheatTable, ...] = Field(default=(), max_length=COUNT_MAX)
    fault: tuple[FaultTable, ...] = Field(default=(), max_length=FAULTS_MAX)
    simulation: SimulationTable | None = None
    clients: ClientsTable | None = None
    upgrade: UpgradeTable | None = None
    case: CaseTable | None = None
    lasting: LastingTable | None = None
    actor: tuple[ActorTable, ...] = Field(default=(), max_length=COUNT_MAX)

    @field_validator("network")
    @classmethod
    def _rules(cls, value: dict[str, int]) -> dict[str, int]:
        for name, number in value.items():
            if name not in _BOUNDS:
                guess = difflib.get_close_matches(name, sorted(_BOUNDS), 1)
                raise ValueError(f"unknown rule {name!r}" + (f"; did you mean {guess[0]!r}?" if guess else ""))
            low, high = _BOUNDS[name]
            if not low <= number <= high:
                raise ValueError(f"{name} = {number} is not from {low} to {high}")
        return value

    @model_validator(mode="after")
    def _plays_one_story(self) -> "Scenario":
        others = (self.upgrade, self.case, *self.fault)
        if self.lasting is not None and any(other is not None for other in others):
            raise ValueError("[lasting] does not go with [upgrade], [case] or [[fault]]")
        return self

    @property
    def cheats(self) -> tuple[Cheaters, ...]:
        return tuple(table.cheaters() for table in self.cheat)

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(table.fault() for table in self.fault)


def scenario_names() -> list[str]:
    """The scenarios that come with p2pverify."""
    return sorted(path.stem for path in (resource("testnet") / "scenarios").glob("*.toml"))


def load_scenario(name: str = DEFAULT) -> Scenario:
    """Read a scenario that comes with p2pverify, or else a file of at most 64 KiB. Raises FileError."""
    names = scenario_names()
    path = user_path(name)
    if name in names:
        path = resource("testnet") / "scenarios" / f"{name}.toml"
    missing = f"give a path, or one of the packaged scenarios: {', '.join(names)}"
    return read_model(path, Scenario, size_max=SCENARIO_BYTES_MAX, missing=missing)
