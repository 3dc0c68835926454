"""TOML files that people write: size limits, and errors that name the file, the place and what to do.

A table is a frozen dataclass, whose fields say the keys and the types. It is read strictly: unknown keys, missing keys
and values of another type are faults. This reader needs the standard library alone, because a check of a receipt reads
a network file and must be quick. `modelfile` reads files into pydantic models.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from p2pverify.node.files.textfile import FileError, read_bytes, text_of

_FAULTS_SHOWN_MAX = 5
_T = TypeVar("_T")
_Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A further check of a field's value: `see` raises ValueError, whose message says what is wrong."""

    see: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class KeyFault:
    """A key with a fault: its place in the file, and what is wrong with it. `is_unknown`: there is no such key."""

    place: _Place
    message: str
    is_unknown: bool = False

    @property
    def text(self) -> str:
        """The fault in words. Places in arrays are counted from 1."""
        key = ""
        for part in self.place:
            key += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if key else part
        if self.is_unknown:
            return f"unknown key '{key}'"
        return f"key '{key}'{self.message}" if key else self.message.removeprefix(": ")


class TableError(ValueError):
    """A value is not such a table. The message has its first faults."""

    def __init__(self, faults: list[KeyFault]) -> None:
        super().__init__(told(faults))
        self.faults = faults


def told(faults: list[KeyFault]) -> str:
    """The faults in one line, each with its key."""
    texts = [fault.text for fault in faults[:_FAULTS_SHOWN_MAX]]
    if len(faults) > len(texts):
        texts.append(f"and {len(faults) - len(texts)} more faults")
    return "; ".join(texts)


def hint_of(faults: list[KeyFault], known: set[str]) -> str:
    """What to do about faults. `known` are all keys of the file."""
    unknown = [str(fault.place[-1]) for fault in faults if fault.is_unknown]
    guess = difflib.get_close_matches(unknown[0], sorted(known), 1) if unknown else []
    return f"did you mean '{guess[0]}'?" if guess else "correct or remove these keys"


def load_table(path: Path, kind: type[_T], *, size_max: int, missing: str) -> _T:
    """Read a TOML file into a dataclass. `missing` is the hint if the file does not exist. Raises FileError."""
    return parse_table(path, read_bytes(path, size_max=size_max, missing=missing), kind)


def parse_table(path: Path, data: bytes, kind: type[_T]) -> _T:
    """Read the bytes of a TOML file into a dataclass. Raises FileError."""
    value = parse_toml(path, data)
    try:
        return read_table(kind, value)
    except TableError as error:
        raise FileError(path, str(error), hint_of(error.faults, _all_keys(kind))) from None


def parse_toml(path: Path, data: bytes) -> Mapping[str, Any]:
    """The table in the bytes of a TOML file. Raises FileError."""
    text = text_of(path, data)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(path, f"is not TOML: {error}", "correct that line") from None
    except ValueError:  # tomllib does not translate Python's error for a number of thousands of digits
        raise FileError(path, "holds a number that is too long", "correct that number") from None
    except RecursionError:
        raise FileError(path, "is nested too deeply", "check that it is the right file") from None


def read_table(kind: type[_T], value: object) -> _T:
    """A dataclass from a table of TOML, or from values of the same types. Raises TableError."""
    faults: list[KeyFault] = []
    found = _read(kind, value, (), faults)
    if faults:
        raise TableError(faults)
    assert isinstance(found, kind)
    return found


# ---------------------------------------------------------------- readers, one for each type of a field


def _read(hint: Any, value: Any, place: _Place, faults: list[KeyFault]) -> Any:
    """The value of a type; what is wrong goes to `faults`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _read_checked(arguments[0], arguments[1:], value, place, faults)
    if origin in (Union, UnionType):  # TOML has no null, so a value is of the other type
        if value is None:
            return None
        (hint,) = (argument for argument in arguments if argument is not NoneType)
        return _read(hint, value, place, faults)
    if origin is tuple:
        return _read_array(arguments, value, place, faults)
    if is_dataclass(hint):
        return _read_object(hint, value, place, faults)
    if type(value) is not hint:
        faults.append(KeyFault(place, f": it is not {_NAMES[hint]}"))
    return value


_NAMES = {int: "a whole number", str: "text"}


def _read_checked(hint: Any, checks: tuple[Any, ...], value: Any, place: _Place, faults: list[KeyFault]) -> Any:
    before = len(faults)
    found = _read(hint, value, place, faults)
    if len(faults) == before:
        try:
            for check in checks:
                check.see(found)
        except ValueError as error:
            faults.append(KeyFault(place, f": {error}"))
    return found


def _read_array(items: tuple[Any, ...], value: Any, place: _Place, faults: list[KeyFault]) -> Any:
    if not isinstance(value, list | tuple):
        faults.append(KeyFault(place, ": it is not an array"))
        return ()
    hints = (items[0],) * len(value) if items[-1] is Ellipsis else items
    if len(value) != len(hints):
        faults.append(KeyFault(place, f": it has not {len(hints)} items"))
        return ()
    pairs = enumerate(zip(hints, value, strict=True))
    return tuple([_read(hint, item, (*place, number), faults) for number, (hint, item) in pairs])


def _read_object(kind: Any, value: Any, place: _Place, faults: list[KeyFault]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(KeyFault(place, ": it is not a table"))
        return None
    before, known, given = len(faults), _known(kind), {}
    for key, (name, hint, is_optional) in known.items():
        if key in value:
            given[name] = _read(hint, value[key], (*place, key), faults)
        elif not is_optional:
            faults.append(KeyFault((*place, key), " is missing"))
    faults += [KeyFault((*place, key), "", is_unknown=True) for key in value if key not in known]
    return kind(**given) if len(faults) == before else None


@cache
def _known(kind: Any) -> dict[str, tuple[str, Any, bool]]:
    """The keys of a table: each with the field's name and type, and whether it can be left out."""
    hints = get_type_hints(kind, include_extras=True)
    return {_key(field): (field.name, hints[field.name], field.default is not MISSING) for field in fields(kind)}


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("alias", field.name))


def _all_keys(hint: Any) -> set[str]:
    """All keys of a table and of the tables in it."""
    if not is_dataclass(hint):
        return {key for argument in get_args(hint) for key in _all_keys(argument)}
    kind: Any = hint
    return {key for name, (_, inner, _) in _known(kind).items() for key in (name, *_all_keys(inner))}
