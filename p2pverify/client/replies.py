"""A node's answer to a question: the whole one, and a stream of its pieces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from p2pverify.client.errors import NoNodeError
from p2pverify.client.exchange import broken_off
from p2pverify.node.reports.documents.jsonform import DocumentError, read_part
from p2pverify.node.reports.documents.receipt import AnswerCost
from p2pverify.node.reports.documents.scores import StandingName
from p2pverify.node.reports.documents.shape import CLASS, Count, Ratio

EVENT_BYTES_MAX = 1 << 20
_DATA, _DONE = b"data:", b"[DONE]"


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """The peer that gave an answer: its standing and score in the newest final view, and what the node checked.

    `low` and `high` are the 95 % interval of its agreement rate. `own` says that the node itself answered. After a full
    check `compared` says how the answer stands to the others, and `returned` whether it is the one in the reply.
    """

    index: Count
    peer_id: str
    own: bool
    standing: StandingName | None
    low: Ratio
    high: Ratio
    audits: Count
    class_: str = field(metadata=CLASS)
    checked: tuple[str, ...]
    returned: bool = True
    compared: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer. `receipt` is the id of its receipt, `finish` "stop" or "length".

    `answers` has all peers that answered, after a full check several. `cost` is what they cost; None in a network
    without a tariff. `said` is all that the node says of them, also what a newer node adds.
    """

    text: str
    receipt: str
    model: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    answers: tuple[Answerer, ...]
    said: Mapping[str, Any]
    cost: AnswerCost | None = None

    @property
    def answered_by(self) -> Answerer:
        """The peer whose answer this is, with all that the node says of it."""
        return next(one for one in self.answers if one.returned)

    @property
    def peer_id(self) -> str:
        """The peer whose answer this is."""
        return self.answered_by.peer_id

    @property
    def standing(self) -> StandingName | None:
        """Its standing; None if the newest final view does not have it."""
        return self.answered_by.standing

    @property
    def checked(self) -> tuple[str, ...]:
        """What the node has checked of the answer."""
        return self.answered_by.checked


@dataclass(frozen=True, kw_only=True)
class _Message:
    content: str


@dataclass(frozen=True, kw_only=True)
class _Choice:
    message: _Message
    finish_reason: str


@dataclass(frozen=True, kw_only=True)
class _Usage:
    prompt_tokens: Count
    completion_tokens: Count


@dataclass(frozen=True, kw_only=True)
class _Said:
    receipt: str
    answers: tuple[Answerer, ...]
    cost: AnswerCost | None = None


@dataclass(frozen=True, kw_only=True)
class _Completion:
    model: str
    choices: tuple[_Choice, ...]
    usage: _Usage
    p2pverify: _Said


@dataclass(frozen=True, kw_only=True)
class _ModelName:
    model: str


@dataclass(frozen=True, kw_only=True)
class _Delta:
    content: str


@dataclass(frozen=True, kw_only=True)
class _Model:
    id: str


@dataclass(frozen=True, kw_only=True)
class _Models:
    data: tuple[_Model, ...]


def read_reply(body: bytes) -> Reply:
    """The answer to a question without a stream. Raises DocumentError."""
    value = _json(body)
    found = read_part(_Completion, value)
    if not found.choices:
        raise DocumentError("an answer without a choice")
    choice = found.choices[0]
    return _reply(value, found.model, choice.message.content, choice.finish_reason, found.usage)


def read_model(body: bytes) -> str:
    """The first model of a list. Raises DocumentError."""
    found = read_part(_Models, _json(body)).data
    if not found:
        raise DocumentError("a node without a model")
    return found[0].id


def _reply(value: Any, model: str, text: str, finish: str, usage: _Usage) -> Reply:
    said = read_part(_Said, value["p2pverify"])
    if not any(one.returned for one in said.answers):
        raise DocumentError("an answer of nobody")
    return Reply(
        text=text,
        receipt=said.receipt,
        model=model,
        finish=finish,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        answers=said.answers,
        said=value["p2pverify"],
        cost=said.cost,
    )


class ChunkReader:
    """Reads the server-sent events of a stream. `reply` is the whole answer after its end, None before."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._texts: list[str] = []
        self._finish = ""
        self._last: Any = None
        self._is_done = False
        self.reply: Reply | None = None

    def feed(self, data: bytes) -> list[str]:
        """The pieces of text in further bytes. Raises DocumentError, NoAnswerError."""
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        if max(map(len, (*lines, rest))) > EVENT_BYTES_MAX:
            raise DocumentError("too long an event")
        self._buffer = bytearray(rest)
        pieces = [piece for line in lines if line.startswith(_DATA) and (piece := self._take(bytes(line[5:].strip())))]
        self._texts += pieces
        if self._is_done:
            self._end()
        return pieces

    def end(self) -> Reply:
        """The whole answer, when the connection is over. Raises NoNodeError if its end did not come."""
        if self.reply is None:
            raise NoNodeError("the answer broke off before its end", "ask again")
        return self.reply

    def _take(self, data: bytes) -> str:
        if self._is_done:
            return ""
        if data == _DONE:
            self._is_done = True
            return ""
        value = _json(data)
        if not isinstance(value, dict):
            raise DocumentError("an event that is no object")
        if isinstance(value.get("error"), dict):
            raise broken_off(value["error"])
        self._last = value
        choices = value.get("choices")
        if not isinstance(choices, list) or not all(isinstance(each, dict) for each in choices):
            raise DocumentError("an event without choices")
        piece = ""
        for choice in choices:
            finish = choice.get("finish_reason")
            self._finish = finish if isinstance(finish, str) else self._finish
            delta = choice.get("delta")
            if isinstance(delta, dict) and delta.get("content") is not None:
                piece += read_part(_Delta, delta).content
        return piece

    def _end(self) -> None:
        """Read the last chunk, which has the counts and who answered. Raises DocumentError."""
        last = self._last
        if self.reply is not None:
            return
        if not isinstance(last, dict) or "p2pverify" not in last or "usage" not in last:
            raise DocumentError("a stream that does not say who answered")
        usage, model = read_part(_Usage, last["usage"]), read_part(_ModelName, last).model
        self.reply = _reply(last, model, "".join(self._texts), self._finish, usage)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise DocumentError("not JSON") from None
