"""The scenario: a TOML file that says how many peers there are, by which rules, and who cheats.

Names of rules are those of `core.network.Params` (without `genesis_ms`, which is when the run begins) and
`honest_ppm`. What follows from a scenario, peer by peer, is left to `plan`.
"""

import difflib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, field_validator, model_validator

from p2pverify.core.network import PARAM_BOUNDS
from p2pverify.node.tomlfile import FileError, read_model
from p2pverify.resources import resource
from p2pverify.testnet.faults import Fault, FaultKind
from p2pverify.testnet.kinds import COUNT_MAX, Cheat

SCENARIO_BYTES_MAX = 65_536
DEFAULT = "default"
PEERS_MIN, PEERS_MAX = 2, 64
SEED_MAX = 2**63 - 1
TIMEOUT_S_MAX = 86_400.0
HONEST_PPM = "honest_ppm"
FAULTS_MAX = 64
_BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS if name != "genesis_ms"}
_BOUNDS[HONEST_PPM] = (1, 999_998)

EngineKind = Literal["llama", "toy"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestnetTable(_Table):
    """`[testnet]`: how the run goes."""

    peers: StrictInt = Field(default=8, ge=PEERS_MIN, le=PEERS_MAX)
    seed: StrictInt = Field(default=1, ge=0, le=SEED_MAX)
    timeout_s: float = Field(default=180, gt=0, le=TIMEOUT_S_MAX)
    engine: EngineKind = "llama"
    epochs_without_cheaters: StrictInt = Field(default=12, ge=1, le=10_000)


class CheatTable(_Table):
    """`[[cheat]]`: some peers that cheat in one way."""

    kind: StrictStr
    rate: float = 1.0
    count: StrictInt = Field(default=1, ge=1, le=COUNT_MAX)

    @model_validator(mode="after")
    def _is_cheat(self) -> "CheatTable":
        self.cheat()
        return self

    def cheat(self) -> Cheat:
        return Cheat(self.kind, self.rate, self.count)


class FaultTable(_Table):
    """`[[fault]]`: what the run does to its own network, and when."""

    kind: FaultKind
    epoch: StrictInt = Field(ge=0, le=10_000)
    seconds: float = Field(gt=0, le=3600)
    peers: StrictInt = Field(default=1, ge=1, le=COUNT_MAX)

    def fault(self) -> Fault:
        return Fault(self.kind, self.epoch, round(1000 * self.seconds), self.peers)


class Scenario(_Table):
    """The whole file. `network` holds the rules that it names; the others have their usual values."""

    testnet: TestnetTable = TestnetTable()
    network: dict[str, StrictInt] = {}
    cheat: tuple[CheatTable, ...] = Field(default=(), max_length=COUNT_MAX)
    fault: tuple[FaultTable, ...] = Field(default=(), max_length=FAULTS_MAX)

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

    @property
    def cheats(self) -> tuple[Cheat, ...]:
        return tuple(table.cheat() for table in self.cheat)

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(table.fault() for table in self.fault)


def scenario_names() -> list[str]:
    """The scenarios that come with p2pverify."""
    return sorted(path.stem for path in (resource("testnet") / "scenarios").glob("*.toml"))


def load_scenario(name: str = DEFAULT) -> Scenario:
    """Read a scenario that comes with p2pverify, or else a file of at most 64 KiB. Raises FileError."""
    names = scenario_names()
    path = Path(name).expanduser()
    if name in names:
        path = resource("testnet") / "scenarios" / f"{name}.toml"
    missing = f"give a path, or one of the packaged scenarios: {', '.join(names)}"
    return read_model(path, Scenario, size_max=SCENARIO_BYTES_MAX, missing=missing)


__all__ = ["DEFAULT", "EngineKind", "FileError", "Scenario", "load_scenario", "scenario_names"]
