"""The table of the engines that an operator can choose. It imports no engine, so that the command line can read it.

`engine/registry` opens the engines.
"""

from dataclasses import dataclass
from typing import Literal

EngineKind = Literal["llama", "exact", "openai", "transformers", "toy", "tabular"]
DEFAULT_ENGINE: EngineKind = "llama"
#: The size of the bundled weights, with which the memory of peers was measured.
BUNDLED_MB = 98.4


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The cost of a testnet peer with an engine. `start_s` is the time in seconds until a forked peer serves its API.

    `peer_mb` is the memory in MB that the peer does not share with others, with weights of BUNDLED_MB. It grows by
    `growth` MB for each MB of larger weights. `second_mb` is the memory in MB of a second model to cheat with. `token`
    is the time of a token as a multiple of llama.cpp's. It is 1 for an engine without a language model.
    """

    start_s: float
    peer_mb: float
    second_mb: float
    token: float = 1.0
    growth: float = 0.0

    def memory_mb(self, weights_mb: float) -> float:
        """The memory of a peer whose weights have `weights_mb` MB."""
        return self.peer_mb + self.growth * max(0.0, weights_mb - BUNDLED_MB)


@dataclass(frozen=True, slots=True)
class EngineTraits:
    """The properties of a kind of engine that are known before it is opened. Its engine ids begin with `prefix`.

    `judge` is the kind that usually judges its answers across classes. `referee` is the engine id of a kind that can
    judge. If builds with this id compute on several numeric paths, only `referee_path` is the referee.
    `founds`: whether networks and testnets can be made with it. `paths` are the numeric paths that are tried by
    default. `load` is None for an engine that needs more than p2pverify installs. Testnets do not use such an engine,
    and an operator gets it only on request.
    """

    prefix: str
    judge: EngineKind = "exact"
    referee: str = ""
    referee_path: str = ""
    is_model: bool = True  # if not, it is no language model: it answers at once, and needs no GGUF file
    founds: bool = False
    paths: tuple[str, ...] = ()
    load: EngineLoad | None = None


#: One llama.cpp build for each vector extension, and another type of keys and values.
_LLAMA_PATHS = ("wheel", "wheel/kv-f16", "skylakex", "sandybridge", "sse42")

ENGINES: dict[EngineKind, EngineTraits] = {
    "llama": EngineTraits(
        "llama.cpp/",
        referee="llama.cpp/xllamacpp-2026.10.11549",
        referee_path="x86-64-avx2/fa1/kv-q8_0",
        founds=True,
        paths=_LLAMA_PATHS,
        load=EngineLoad(1.0, 95.0, 110.0, growth=0.35),
    ),
    "exact": EngineTraits("exact/", referee="exact/1", load=EngineLoad(4.0, 700.0, 110.0, token=5.0, growth=7.0)),
    "openai": EngineTraits("openai/"),
    "transformers": EngineTraits("transformers/"),
    "toy": EngineTraits(
        "toy",
        judge="toy",
        referee="toy-exact/1",
        is_model=False,
        founds=True,
        paths=("sha256",),
        load=EngineLoad(0.3, 40.0, 0.0),
    ),
    "tabular": EngineTraits(
        "tabular/",
        judge="tabular",
        referee="tabular/1",
        is_model=False,
        founds=True,
        paths=("integer",),
        load=EngineLoad(0.3, 40.0, 0.0),
    ),
}
#: The engine ids of all referees.
REFEREES: dict[str, EngineKind] = {traits.referee: kind for kind, traits in ENGINES.items() if traits.referee}
ALL_KINDS: tuple[EngineKind, ...] = tuple(ENGINES)
LOCAL_KINDS: tuple[EngineKind, ...] = tuple(kind for kind, traits in ENGINES.items() if traits.load is not None)
#: Engines that can judge: the answers of a server are not compared by digest.
JUDGING_KINDS: tuple[EngineKind, ...] = tuple(kind for kind in ALL_KINDS if kind != "openai")
FOUNDING_KINDS: tuple[EngineKind, ...] = tuple(kind for kind, traits in ENGINES.items() if traits.founds)


def kind_of(engine: str) -> EngineKind | None:
    """The kind of engine whose engine ids begin like this one; None if it is not known."""
    return next((kind for kind, traits in ENGINES.items() if engine.startswith(traits.prefix)), None)


def referee_for(kind: EngineKind) -> str:
    """The engine id of the usual referee between engines of a kind."""
    return ENGINES[ENGINES[kind].judge].referee


def referees_for(kind: EngineKind) -> tuple[str, ...]:
    """The engine ids of all referees between engines of a kind. The usual one comes first."""
    usual = referee_for(kind)
    return usual, *(
        other for other in REFEREES if other != usual and ENGINES[REFEREES[other]].judge == ENGINES[kind].judge
    )


def referee_path(referee: str) -> str:
    """The numeric path of a referee; "" if its engine id has only one path, or if the referee is not known."""
    kind = REFEREES.get(referee)
    return "" if kind is None else ENGINES[kind].referee_path


def is_referee(referee: str, engine: str, numeric_path: str) -> bool:
    """Whether an engine with this id computes as the referee does."""
    return engine == referee and referee_path(referee) in ("", numeric_path)
