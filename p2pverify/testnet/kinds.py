"""The kinds of cheater that a testnet knows, and what the network is expected to do with each.

How a cheat is done is left to the engine (`engine/cheats.py`) and to the node, which can stay silent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What a cheater comes to in a final view, if the network works."""

    CONVICTED = "convicted"
    UNAVAILABLE = "unavailable"  # no answer counts against availability, never against honesty


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    fate: Fate
    what: str


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("prune", Fate.CONVICTED, "serves a cheaper model: the same weights without some layers"),
        Kind("canned", Fate.CONVICTED, "gives the answer to another prompt"),
        Kind("truncate", Fate.CONVICTED, "stops halfway and says that it is done"),
        Kind("wrong-seed", Fate.CONVICTED, "samples with another seed"),
        Kind("garbage", Fate.CONVICTED, "gives tokens that no model wrote"),
        Kind("silent", Fate.UNAVAILABLE, "does not answer"),
    )
}
NONE = "none"  # on the command line: no cheaters at all
COUNT_MAX = 64
_TEXT_CHARS_MAX = 64
_FORM = re.compile(r"([a-z-]+)(?:@([0-9]*\.?[0-9]+))?(?:\*([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Cheat:
    """A way to cheat: on which share of the questions, and how many peers do it."""

    kind: str
    rate: float = 1.0
    count: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind of cheater {self.kind!r}; there are {', '.join(KINDS)}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"the rate {self.rate:g} is not a share above 0 and up to 1")
        if not 1 <= self.count <= COUNT_MAX:
            raise ValueError(f"the count {self.count} is not from 1 to {COUNT_MAX}")

    @property
    def fate(self) -> Fate:
        return KINDS[self.kind].fate

    @property
    def argument(self) -> str:
        """What a peer is told: `KIND@RATE`."""
        return f"{self.kind}@{self.rate:g}"

    def __str__(self) -> str:
        return self.kind if self.rate == 1 else self.argument


def parse_cheat(text: str) -> Cheat:
    """Read `KIND[@RATE][*COUNT]`. Raises ValueError with a sentence."""
    found = _FORM.fullmatch(text) if len(text) <= _TEXT_CHARS_MAX else None
    if found is None:
        raise ValueError(f"{text[:_TEXT_CHARS_MAX]!r} is not KIND[@RATE][*COUNT], for example canned@0.333*2")
    kind, rate, count = found.groups()
    return Cheat(kind, 1.0 if rate is None else float(rate), 1 if count is None else int(count))


def parse_cheats(texts: Sequence[str]) -> tuple[Cheat, ...]:
    """Read all of a command line's `--cheat`; `none` stands alone and means no cheaters. Raises ValueError."""
    if NONE in texts:
        if len(texts) > 1:
            raise ValueError(f"{NONE!r} stands alone: no cheaters, or some")
        return ()
    return tuple(parse_cheat(text) for text in texts)
