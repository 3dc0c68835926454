"""Prompts from an operator, for cover: a text file with one prompt per line, or a log of the operator's own requests.

The module `cover` decides which prompts are sent, when, and to whom.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX
from p2pverify.node.files.textfile import FileError, lines_of, read_bytes, text_of

FILE_BYTES_MAX = 16 * 1024 * 1024
LINE_CHARS_MAX = 16_384
PROMPTS_KEPT = 65_536
_MISSING = "correct its name in config.toml"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and the parameters of its logged request; None where they are drawn by the contract's rules."""

    text: str
    tokens_max: int | None = None
    temperature_milli: int | None = None


class _Part(BaseModel):
    """A part of a message's content that is text."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: Literal["user"]
    content: str | tuple[_Part, ...]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class _Logged(BaseModel):
    """A chat request as OpenAI's API takes it; other keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    messages: tuple[_Message, ...]
    max_tokens: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("max_tokens", "max_completion_tokens")
    )
    temperature: float | None = Field(default=None, ge=0, le=2)


class _LeftOutError(Exception):
    """A request cannot be a prompt; the text names this kind of request, in the plural."""


def read_corpus(path: Path) -> tuple[Prompt, ...]:
    """The lines of a text file, without blank lines and lines that begin with '#'. Raises FileError."""
    lines = (line.strip() for line in _lines(path))
    prompts = tuple(Prompt(line) for line in lines if line and not line.startswith("#"))
    if any(len(prompt.text) > LINE_CHARS_MAX for prompt in prompts):
        raise FileError(path, f"a line of more than {LINE_CHARS_MAX} characters", "leave it out")
    return _checked(path, prompts, "")


def read_replay(path: Path) -> tuple[Prompt, ...]:
    """The one-turn requests in a JSON Lines file, plain or as lines of OpenAI's batches. Raises FileError.

    Other requests are left out; the log says how many of each kind.
    """
    found: list[Prompt] = []
    left_out: Counter[str] = Counter()
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise FileError(path, f"line {number} is not JSON", "write one chat request per line, as JSON") from None
        try:
            found.append(_prompt(value))
        except _LeftOutError as error:
            left_out[str(error)] += 1
    what = ", ".join(f"{kind} ({count})" for kind, count in sorted(left_out.items()))
    return _checked(path, tuple(found), what)


def _prompt(value: object) -> Prompt:
    """The prompt of one logged request. Raises _LeftOutError."""
    request = _request(value)
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise _LeftOutError("lines without messages")
    if len(messages) != 1:
        raise _LeftOutError("requests of several messages or none")
    try:
        logged = _Logged.model_validate(request)
    except ValidationError:
        raise _LeftOutError("requests that are not one user's text, or with impossible parameters") from None
    text = logged.messages[0].text
    if not 0 < len(text) <= LINE_CHARS_MAX:
        raise _LeftOutError(f"requests without text or with more than {LINE_CHARS_MAX} characters")
    if any("\ud800" <= character <= "\udfff" for character in text):  # possible in JSON's escapes, not in UTF-8
        raise _LeftOutError("requests with half a surrogate pair")
    most = None if logged.max_tokens is None else min(logged.max_tokens, CONTEXT_TOKENS_MAX)
    heat = None if logged.temperature is None else round(1000 * logged.temperature)
    return Prompt(text, most, heat)


def _request(value: object) -> Mapping[str, object]:
    """The request in a line: the `body` of a line of a batch, else the line itself."""
    if not isinstance(value, dict):
        return {}
    body = value.get("body")
    return body if isinstance(body, dict) and "messages" not in value else value


def _lines(path: Path) -> list[str]:
    return lines_of(text_of(path, read_bytes(path, size_max=FILE_BYTES_MAX, missing=_MISSING)))


def _checked(path: Path, found: tuple[Prompt, ...], left_out: str) -> tuple[Prompt, ...]:
    """The prompts. Raises FileError if there are none or too many; `left_out` names the requests that were left out."""
    if not found:
        but = f", only {left_out}" if left_out else ""
        raise FileError(path, f"no prompt in it{but}", "write one prompt per line, or one chat request per line")
    if len(found) > PROMPTS_KEPT:
        raise FileError(path, f"more than {PROMPTS_KEPT} prompts", "use only a part of the file")
    if left_out:
        log.warning("%s: %d prompts taken; left out: %s", path, len(found), left_out)
    return found
