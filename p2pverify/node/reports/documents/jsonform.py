"""Documents in JSON: an object becomes plain values, and JSON becomes an object, by the types of the fields.

A reader ignores keys that the document does not have, because a newer node may send them. A key that is missing, or
whose value has another type, is an error. Only a key whose field has a default may be missing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from p2pverify.node.reports.documents.shape import ApiDocument, Bounds

_D = TypeVar("_D", bound=ApiDocument)
_P = TypeVar("_P")
_Reader = Callable[[Any], object]


class DocumentError(ValueError):
    """The text or value is not such a document; the message says why."""


def written(document: object) -> dict[str, object]:
    """A document, or a part of one, as values for `json.dumps`, in the order of its fields."""
    return {name: _plain(getattr(document, attribute)) for attribute, name in _keys(type(document))}


def parse(kind: type[_D], text: bytes | str) -> _D:
    """A document from JSON. Raises DocumentError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise DocumentError("not JSON") from None
    return read_part(kind, value)


def read_part(kind: type[_P], value: object) -> _P:
    """A document, or another dataclass of the same kind of fields, from a value of JSON. Raises DocumentError."""
    found = _reader(kind)(value)
    assert isinstance(found, kind)
    return found


def _plain(value: object) -> object:
    if is_dataclass(value):
        return written(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _find_keys(kind: Any) -> tuple[tuple[str, str], ...]:
    """The attributes of a document, each with its key in JSON."""
    return tuple((field.name, _key(field)) for field in fields(kind))


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("alias", field.name))


_keys: Callable[[Any], tuple[tuple[str, str], ...]] = cache(_find_keys)


# ---------------------------------------------------------------- readers, one for each type of a field


def _make_reader(hint: Any) -> _Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _object(hint)
    if origin is Annotated:
        return _bounded(_reader(arguments[0]), arguments[1])
    if origin is Literal:
        return _one_of(arguments)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return _optional(_reader(inner))
    if origin is tuple:
        return _items(_reader(arguments[0]))
    if origin is dict:
        return _values(_reader(arguments[1]))
    return _scalar(hint)


_reader: Callable[[Any], _Reader] = cache(_make_reader)


def _object(kind: Any) -> _Reader:
    readers = tuple((field.name, _key(field), _reader(field.type)) for field in fields(kind))
    optional = {_key(field) for field in fields(kind) if field.default is not MISSING}

    def read(value: Any) -> object:
        _expect(isinstance(value, dict), value, "an object")
        try:
            given = (one for one in readers if one[1] in value or one[1] not in optional)
            return kind(**{name: reader(value[key]) for name, key, reader in given})
        except KeyError as missing:
            raise DocumentError(f"{kind.__name__} without {missing}") from None

    return read


def _bounded(reader: _Reader, bounds: Bounds) -> _Reader:
    def read(value: Any) -> object:
        number = reader(value)
        _expect(bounds.hold(value), value, "within its bounds")
        return number

    return read


def _one_of(known: tuple[object, ...]) -> _Reader:
    def read(value: Any) -> object:
        _expect(isinstance(value, str) and value in known, value, "a known word")
        return value

    return read


def _optional(reader: _Reader) -> _Reader:
    return lambda value: None if value is None else reader(value)


def _items(reader: _Reader) -> _Reader:
    def read(value: Any) -> object:
        _expect(isinstance(value, list), value, "an array")
        return tuple([reader(item) for item in value])

    return read


def _values(reader: _Reader) -> _Reader:
    def read(value: Any) -> object:
        _expect(isinstance(value, dict), value, "an object")
        return {key: reader(item) for key, item in value.items()}

    return read


def _scalar(kind: type) -> _Reader:
    """A reader of bool, int, float or str. A whole number is a float too; a bool is no number."""

    def read(value: Any) -> object:
        fits = type(value) is kind or (kind is float and type(value) is int)
        _expect(fits and (type(value) is not float or isfinite(value)), value, f"of type {kind.__name__}")
        return value

    return read


def _expect(holds: object, value: object, what: str) -> None:
    if not holds:
        raise DocumentError(f"{str(value)[:40]!r} is not {what}")
