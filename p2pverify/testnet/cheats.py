"""The kinds of cheater that a testnet of real processes knows, and what the network is expected to do with each.

How a cheat is done is left to the engine (`engine/cheats`) and to the node, which can stay silent. Kinds that bend the
protocol instead of the answer are those of the simulated world (`world/personalities`); `book` plays them all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from p2pverify.engine.cheats.spec import CheatSpec, parse_spec


class CheaterFate(StrEnum):
    """What a cheater comes to in a final view, if the network works."""

    CONVICTED = "convicted"
    UNAVAILABLE = "unavailable"  # no answer counts against availability, never against honesty
    INCONSISTENT = "inconsistent"  # slower than the hardware that it claims, and not convicted for it
    CONSISTENT = "consistent"  # as fast as the hardware that it claims, whatever it does besides


@dataclass(frozen=True, slots=True)
class CheatKind:
    """`takes` says what its argument is, if it has one."""

    name: str
    fate: CheaterFate
    what: str
    takes: str = ""


KINDS: dict[str, CheatKind] = {
    kind.name: kind
    for kind in (
        CheatKind("prune", CheaterFate.CONVICTED, "serves a cheaper model: the same weights without some layers"),
        CheatKind(
            "quantize",
            CheaterFate.CONVICTED,
            "serves the same weights in another quantisation",
            "q5_0, q4_0, q3 or q8_0",
        ),
        CheatKind("other-model", CheaterFate.CONVICTED, "serves another model", "the path of a GGUF file"),
        CheatKind("canned", CheaterFate.CONVICTED, "gives the answer to another prompt"),
        CheatKind("cache", CheaterFate.CONVICTED, "gives remembered answers to near prompts, whatever their seeds"),
        CheatKind("truncate", CheaterFate.CONVICTED, "stops halfway and says that it is done"),
        CheatKind("wrong-seed", CheaterFate.CONVICTED, "samples with another seed"),
        CheatKind(
            "temperature", CheaterFate.CONVICTED, "samples at another temperature", "a temperature, 1.0 if not given"
        ),
        CheatKind("system-prompt", CheaterFate.CONVICTED, "puts hidden instructions before the prompt"),
        CheatKind("garbage", CheaterFate.CONVICTED, "gives tokens that no model wrote"),
        CheatKind(
            "prefill-evidence",
            CheaterFate.CONVICTED,
            "serves a cheaper model, whose answers it has the real one read once",
        ),
        CheatKind(
            "sleeper",
            CheaterFate.CONVICTED,
            "serves a cheaper model after some honest answers",
            "how many honest answers",
        ),
        CheatKind(
            "duplicate-aware", CheaterFate.CONVICTED, "serves a cheaper model unless it has seen the prompt before"
        ),
        CheatKind(
            "slow-hardware",
            CheaterFate.INCONSISTENT,
            "runs on a slower machine than it claims",
            "milliseconds that it needs longer for a token",
        ),
        CheatKind(
            "busy", CheaterFate.CONSISTENT, "is honest, and has another job to finish first", "that job's milliseconds"
        ),
        CheatKind("silent", CheaterFate.UNAVAILABLE, "does not answer"),
    )
}
NONE = "none"  # on the command line: no cheaters at all
COUNT_MAX = 64
_COUNTED = re.compile(r"(.*?)(?:\*([0-9]{1,3}))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cheat:
    """A way to cheat: with what, on which share of the questions, and how many peers do it."""

    kind: str
    rate: float = 1.0
    count: int = 1
    argument: str = ""  # of the kind, e.g. a quantisation

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind of cheater {self.kind!r}; there are {', '.join(KINDS)}")
        if self.argument and not KINDS[self.kind].takes:
            raise ValueError(f"{self.kind} takes no argument")
        if not 1 <= self.count <= COUNT_MAX:
            raise ValueError(f"the count {self.count} is not from 1 to {COUNT_MAX}")
        CheatSpec(self.kind, self.argument, self.rate)

    @property
    def fate(self) -> CheaterFate:
        return KINDS[self.kind].fate

    @property
    def spec(self) -> CheatSpec:
        """What a peer is told, as `KIND[:ARGUMENT]@RATE`."""
        return CheatSpec(self.kind, self.argument, self.rate)

    def __str__(self) -> str:
        return self.spec.name if self.rate == 1 else str(self.spec)


def parse_cheat(text: str) -> Cheat:
    """Read `KIND[:ARGUMENT][@RATE][*COUNT]`. Raises ValueError with a sentence."""
    found = _COUNTED.fullmatch(text)
    assert found is not None  # it matches any text
    first, count = found.groups()
    spec = parse_spec(first)
    return Cheat(spec.kind, spec.rate, 1 if count is None else int(count), spec.argument)


def parse_cheats(texts: Sequence[str]) -> tuple[Cheat, ...]:
    """Read all of a command line's `--cheat`; `none` stands alone and means no cheaters. Raises ValueError."""
    if NONE in texts:
        if len(texts) > 1:
            raise ValueError(f"{NONE!r} stands alone: no cheaters, or some")
        return ()
    return tuple(parse_cheat(text) for text in texts)
