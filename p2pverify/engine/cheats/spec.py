"""The cheat of one peer, `KIND[:ARGUMENT][@RATE]`, as a value. `str` makes its text, and `parse_spec` reads it."""

import re
from dataclasses import dataclass

from p2pverify.engine.cheats.kinds import KINDS, CheaterFate, CheatPlace

_CHARS_MAX = 320
_FORM = re.compile(r"([a-z-]+)(?::([^@*\s]{1,255}))?(?:@([0-9]*\.?[0-9]+))?")


@dataclass(frozen=True, slots=True)
class CheatSpec:
    """A kind of cheat, its argument, and the share of the questions on which it cheats: above 0, and at most 1.

    Every value can be read back from its text. Raises ValueError with a sentence.
    """

    kind: str
    argument: str = ""
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind of cheater {self.kind!r}; there are {', '.join(KINDS)}")
        if self.argument and not KINDS[self.kind].takes:
            raise ValueError(f"{self.kind} takes no argument")
        if not 0 < self.rate <= 1:
            raise ValueError(f"the rate {self.rate:g} is not a share above 0 and up to 1")
        _match(str(self))

    @property
    def place(self) -> CheatPlace:
        return KINDS[self.kind].place

    @property
    def fate(self) -> CheaterFate:
        return KINDS[self.kind].fate

    @property
    def has_lie(self) -> bool:
        """Whether the engine lies, and not the node around it."""
        return self.place in (CheatPlace.ANSWER, CheatPlace.MODEL, CheatPlace.DELAY)

    @property
    def name(self) -> str:
        """The kind with its argument."""
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    @property
    def label(self) -> str:
        """The cheat as shown to people: without a rate if it always cheats."""
        return self.name if self.rate == 1 else f"{self.name}@{self.rate:g}"

    def __str__(self) -> str:
        return f"{self.name}@{str(float(self.rate)).removesuffix('.0')}"


def parse_spec(text: str) -> CheatSpec:
    """Read `KIND[:ARGUMENT][@RATE]`. Raises ValueError with a sentence."""
    kind, argument, rate = _match(text).groups()
    return CheatSpec(kind, argument or "", 1.0 if rate is None else float(rate))


def _match(text: str) -> re.Match[str]:
    found = _FORM.fullmatch(text) if len(text) <= _CHARS_MAX and text.isascii() else None
    if found is None:
        raise ValueError(f"{text[:64]!r} is not KIND[:ARGUMENT][@RATE], for example quantize:q4_0@0.3")
    return found
