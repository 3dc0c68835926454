"""TOML files that people write: size limits, and errors that name the file, the place and what to do.

The pydantic models in `config`, `manifesttable` and `networktable` define the keys.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from p2pverify.node.files.textfile import FileError, read_bytes, text_of

_Model = TypeVar("_Model", bound=BaseModel)
_FAULTS_SHOWN_MAX = 5


def read_model(path: Path, model: type[_Model], *, size_max: int, missing: str) -> _Model:
    """Read a TOML file into a model. `missing` is the hint if the file does not exist. Raises FileError."""
    return parse_model(path, read_bytes(path, size_max=size_max, missing=missing), model)


def parse_model(path: Path, data: bytes, model: type[_Model]) -> _Model:
    """Read the bytes of a TOML file into a model. Raises FileError."""
    value = parse_toml(path, data)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise explain(path, error, model) from None


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


def explain(path: Path, error: ValidationError, model: type[BaseModel]) -> FileError:
    """The FileError that lists the wrong keys."""
    unknown = [str(fault["loc"][-1]) for fault in error.errors() if fault["type"] == "extra_forbidden"]
    guess = difflib.get_close_matches(unknown[0], sorted(_keys(model)), 1) if unknown else []
    hint = f"did you mean '{guess[0]}'?" if guess else "correct or remove these keys"
    return FileError(path, describe(error), hint)


def describe(error: ValidationError) -> str:
    """The faults in one line, each with its key."""
    faults = error.errors(include_url=False, include_context=False)
    texts = [_fault(fault["loc"], fault["type"], fault["msg"]) for fault in faults[:_FAULTS_SHOWN_MAX]]
    if len(faults) > len(texts):
        texts.append(f"and {len(faults) - len(texts)} more faults")
    return "; ".join(texts)


def _fault(place: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ""
    for part in place:
        key += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if key else part
    if kind == "extra_forbidden":
        return f"unknown key '{key}'"
    if kind == "missing":
        return f"key '{key}' is missing"
    text = message.removeprefix("Value error, ")
    return f"key '{key}': {text}" if key else text


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
