"""TOML files of pydantic models: config.toml and scenarios. `tomlfile` reads the other ones."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.files.tomlfile import KeyFault, TableError, hint_of, parse_toml, told

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Model = TypeVar("_Model", bound=BaseModel)


def read_model(path: Path, model: type[_Model], *, size_max: int, missing: str) -> _Model:
    """Read a TOML file into a model. `missing` is the hint if the file does not exist. Raises FileError."""
    value = parse_toml(path, read_bytes(path, size_max=size_max, missing=missing))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [fault for found in error.errors(include_url=False) for fault in _faults(found)]
        raise FileError(path, told(faults), hint_of(faults, _keys(model))) from None


def _faults(found: "ErrorDetails") -> list[KeyFault]:
    """A fault in a model, or the faults of a table in it."""
    place, kind = found["loc"], found["type"]
    inner = found.get("ctx", {}).get("error")
    if isinstance(inner, TableError):
        return [replace(fault, place=(*place, *fault.place)) for fault in inner.faults]
    text = " is missing" if kind == "missing" else f": {found['msg'].removeprefix('Value error, ')}"
    return [KeyFault(place, text, is_unknown=kind == "extra_forbidden")]


def _keys(model: type[BaseModel]) -> set[str]:
    """All keys of a model and of the tables in it."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(field.alias or name)
        kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _keys(kind)
    return found
