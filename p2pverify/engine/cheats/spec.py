"""How a cheat is told what to do: `KIND[:ARGUMENT][@RATE]`. Which kinds there are is left to `cheats` and `testnet`."""

import re
from dataclasses import dataclass

_CHARS_MAX = 320
_FORM = re.compile(r"([a-z-]+)(?::([^@*\s]{1,255}))?(?:@([0-9]*\.?[0-9]+))?")


@dataclass(frozen=True, slots=True)
class CheatSpec:
    """A kind of cheat, what it is to use, and on which share of the questions."""

    kind: str
    argument: str = ""
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"the rate {self.rate:g} is not a share above 0 and up to 1")
        _match(str(self))  # a peer is told in this form, whoever made the spec

    @property
    def name(self) -> str:
        """The kind with its argument."""
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    def __str__(self) -> str:
        return f"{self.name}@{self.rate:g}"


def parse_spec(text: str) -> CheatSpec:
    """Read `KIND[:ARGUMENT][@RATE]`. Raises ValueError with a sentence."""
    kind, argument, rate = _match(text).groups()
    return CheatSpec(kind, argument or "", 1.0 if rate is None else float(rate))


def _match(text: str) -> re.Match[str]:
    found = _FORM.fullmatch(text) if len(text) <= _CHARS_MAX and text.isascii() else None
    if found is None:
        raise ValueError(f"{text[:64]!r} is not KIND[:ARGUMENT][@RATE], for example quantize:q4_0@0.3")
    return found
