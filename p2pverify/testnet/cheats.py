"""`--cheat KIND[:ARGUMENT][@RATE][*COUNT]`: how many peers of a testnet cheat, and in which way.

The kinds are in `engine/cheats/kinds`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.engine.cheats.spec import CheatSpec, parse_spec

NONE = "none"  # on the command line: no cheaters at all
COUNT_MAX = 64
_COUNTED = re.compile(r"(.*?)(?:\*([0-9]{1,3}))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cheaters:
    """From 1 to COUNT_MAX peers that cheat in one way. Raises ValueError with a sentence."""

    cheat: CheatSpec
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= COUNT_MAX:
            raise ValueError(f"the count {self.count} is not from 1 to {COUNT_MAX}")


def parse_cheat(text: str) -> Cheaters:
    """Read `KIND[:ARGUMENT][@RATE][*COUNT]`. Raises ValueError with a sentence."""
    found = _COUNTED.fullmatch(text)
    assert found is not None  # it matches any text
    first, count = found.groups()
    return Cheaters(parse_spec(first), 1 if count is None else int(count))


def parse_cheats(texts: Sequence[str]) -> tuple[Cheaters, ...]:
    """Read all `--cheat` options of a command line. `none` alone means no cheaters. Raises ValueError."""
    if NONE in texts:
        if len(texts) > 1:
            raise ValueError(f"{NONE!r} stands alone: no cheaters, or some")
        return ()
    return tuple(parse_cheat(text) for text in texts)
