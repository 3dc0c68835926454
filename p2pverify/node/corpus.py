"""Prompts that an operator gives for cover: a text file with one a line, or a log of own requests.

What is sent, when and to whom is left to `cover`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from p2pverify.core.network import ANSWER_TOKENS_MAX
from p2pverify.node.tomlfile import FileError

FILE_BYTES_MAX = 16 * 1024 * 1024
LINE_CHARS_MAX = 16_384
PROMPTS_KEPT = 65_536


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, and the parameters of the request that it was part of; None where the contract's are to be drawn."""

    text: str
    tokens_max: int | None = None
    temperature_milli: int | None = None


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: str
    content: str = Field(min_length=1, max_length=LINE_CHARS_MAX)


class _Logged(BaseModel):
    """A chat request as OpenAI's API takes it; what else it holds is passed over."""

    model_config = ConfigDict(extra="ignore")

    messages: tuple[_Message, ...] = Field(min_length=1, max_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)


def read_corpus(path: Path) -> tuple[Prompt, ...]:
    """The lines of a text file, but blank ones and those that begin with '#'. Raises FileError."""
    lines = (line.strip() for line in _lines(path))
    found = tuple(Prompt(line) for line in lines if line and not line.startswith("#"))
    return _checked(path, found)


def read_replay(path: Path) -> tuple[Prompt, ...]:
    """The one-turn requests of a JSON Lines file; requests of more turns are left out. Raises FileError."""
    return _checked(path, tuple(_replayed(path, _lines(path))))


def _replayed(path: Path, lines: Iterable[str]) -> Iterable[Prompt]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise FileError(path, f"line {number} is not JSON", "give one chat request a line, as JSON") from None
        try:
            logged = _Logged.model_validate(value)
        except ValidationError:
            continue
        if logged.messages[0].role == "user":
            most = None if logged.max_tokens is None else min(logged.max_tokens, ANSWER_TOKENS_MAX)
            heat = None if logged.temperature is None else round(1000 * logged.temperature)
            yield Prompt(logged.messages[0].content, most, heat)


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise FileError(path, f"more than {FILE_BYTES_MAX} bytes", "give a part of it")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}", "correct its name in config.toml") from None
    except UnicodeDecodeError:
        raise FileError(path, "not UTF-8 text", "convert it") from None
    return text.splitlines()


def _checked(path: Path, found: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    if not found:
        raise FileError(path, "no prompt in it", "give one prompt a line, or one chat request a line")
    if len(found) > PROMPTS_KEPT:
        raise FileError(path, f"more than {PROMPTS_KEPT} prompts", "give a part of it")
    if any(len(prompt.text) > LINE_CHARS_MAX for prompt in found):
        raise FileError(path, f"a line of more than {LINE_CHARS_MAX} characters", "leave it out")
    return found
