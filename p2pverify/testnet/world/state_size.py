"""The size of a state: the bytes of a canonical encoding of all that it remembers. The protocol has no such encoding.

`STATE_BYTES_MAX` is what the bounds of `protocol/view.md` are for: a state grows with its rows, and with nothing else.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

from p2pverify.core.encoding.canon import encode
from p2pverify.core.state.state import State

ROW_BYTES_MAX = 24_000
BASE_BYTES_MAX = 2_000_000
_CACHES = frozenset(("row_digests", "changed"))


def state_bytes(state: State) -> int:
    """The bytes of a state, without its caches."""
    return sum(part_bytes(state).values())


def part_bytes(state: State) -> dict[str, int]:
    """The bytes of each field of a state, by name, without caches."""
    return {name: len(encode(_plain(getattr(state, name)))) for name in parts_of(state)}


def parts_of(state: State) -> list[str]:
    """The names of the fields that a state remembers."""
    return [each.name for each in fields(state) if each.name not in _CACHES and not each.name.startswith("_")]


def bytes_max(state: State) -> int:
    """The most bytes that a state with so many rows may have."""
    return ROW_BYTES_MAX * len(state.members) + BASE_BYTES_MAX


def _plain(value: object) -> object:
    """A value that `encode` takes: dataclasses and mappings are lists, and sets are sorted lists."""
    if value is None or isinstance(value, bytes | str | int):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return sorted(([_plain(key), _plain(found)] for key, found in value.items()), key=lambda pair: encode(pair[0]))
    if isinstance(value, set | frozenset):
        return sorted((_plain(each) for each in value), key=encode)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if is_dataclass(value):
        return [_plain(getattr(value, each.name)) for each in fields(value)]
    raise TypeError(f"a state holds no {type(value).__name__}")
