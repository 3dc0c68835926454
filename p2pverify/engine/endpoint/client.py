"""Sends ordinary requests to a server with OpenAI's API, and reads its answers: text, and token ids if it names them.

Requests are greedy, because the random numbers of a server's own sampler cannot be replayed. Names of tokens are
requested in three ways, and the first that the server accepts is used: fields of vLLM, log-probabilities (llama-server
gives ids with them), or none. Everything that a server sends is bounded and read strictly.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p2pverify.core.encoding.canon import TOKEN_MAX
from p2pverify.core.inference.endpoint import NAME_BYTES_MAX, Api, AuditPlan
from p2pverify.engine.openai.completions import ID_PREFIX, choice_of, prompt_tokens
from p2pverify.engine.openai.http import Endpoint, Server, ServerBusy, ServerError, ServerRefused
from p2pverify.engine.openai.probe import ANSWER_BYTES, choose_model

TOKEN_BYTES = 1024  # the most bytes of a token with its log-probability in JSON
ANSWER_S = 120.0
BUSY_WAITS_S = (1.0, 2.0, 4.0, 8.0)

_LOGPROBS: dict[Api, Mapping[str, object]] = {
    Api.CHAT: {"logprobs": True, "top_logprobs": 1},
    Api.COMPLETIONS: {"logprobs": 1},
}
_VLLM = {"return_tokens_as_token_ids": True, "return_token_ids": True}


@dataclass(frozen=True, slots=True)
class ServerReply:
    """An answer of a server, as it came.

    `ids` are None if the server does not name its tokens. `count` is the number of tokens that it reports for the
    answer, and `counted` for the prompt; None if it reports none.
    """

    text: str
    ids: tuple[int, ...] | None
    count: int | None
    finish: str
    counted: int | None


class EndpointClient:
    """One server. Not thread-safe: one request at a time. Raises ServerError."""

    def __init__(self, endpoint: Endpoint, plan: AuditPlan, *, answer_s: float = ANSWER_S) -> None:
        """`answer_s` limits one answer, in seconds."""
        self._plan = plan
        self._server = Server(endpoint.url, endpoint.key, answer_s=answer_s)
        self.url = clean(self._server.url, NAME_BYTES_MAX)
        self._model = endpoint.model or choose_model(self._server, "")[0]
        self.model = clean(self._model, NAME_BYTES_MAX)
        named = _LOGPROBS[plan.api]
        self._ways: list[Mapping[str, object]] = [{**named, **_VLLM}, named, {}]

    def ask(self, turn: str, prompt: tuple[int, ...], *, until: float = math.inf) -> ServerReply:
        """Ask a question. A busy server is asked again after a while, but not later than `until` (monotonic, s)."""
        for wait_s in BUSY_WAITS_S:
            try:
                return self._ask(turn, prompt)
            except ServerBusy:
                if time.monotonic() + wait_s > until:
                    raise
                time.sleep(wait_s)
        return self._ask(turn, prompt)

    def close(self) -> None:
        self._server.close()

    def _ask(self, turn: str, prompt: tuple[int, ...]) -> ServerReply:
        while True:
            try:
                return read_reply(self._send(turn, prompt, self._ways[0]), self._plan.api)
            except ServerRefused:
                if len(self._ways) == 1:
                    raise
                self._ways.pop(0)

    def _send(self, turn: str, prompt: tuple[int, ...], way: Mapping[str, object]) -> dict[str, Any]:
        plan = self._plan
        body: dict[str, object] = {"model": self._model, "temperature": 0, "max_tokens": plan.answer_tokens, **way}
        size_max = ANSWER_BYTES + plan.answer_tokens * TOKEN_BYTES
        if plan.api is Api.COMPLETIONS:
            return self._server.post("/completions", {**body, "prompt": list(prompt)}, size_max=size_max)
        messages = [{"role": "system", "content": plan.system}] if plan.system else []
        messages.append({"role": "user", "content": turn})
        return self._server.post("/chat/completions", {**body, "messages": messages}, size_max=size_max)


def read_reply(document: dict[str, Any], api: Api) -> ServerReply:
    """The answer in a server's JSON. Raises ServerError."""
    choice = choice_of(document)
    text = choice.get("text")
    if api is Api.CHAT:
        message = choice.get("message")
        text = message.get("content") if isinstance(message, dict) else None
    finish = choice.get("finish_reason")
    if not isinstance(text, str) or not isinstance(finish, str):
        raise ServerError("the server's answer has no text or no finish_reason")
    usage = document.get("usage")
    count = _count(usage.get("completion_tokens")) if isinstance(usage, dict) else None
    return ServerReply(text, _ids(choice), count, finish, _count(prompt_tokens(document)))


def clean(text: str, size_max: int) -> str:
    """Text that can be written in a file: without half characters, at most `size_max` bytes of UTF-8."""
    return text.encode(errors="replace")[:size_max].decode(errors="ignore")


def _ids(choice: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The token ids of an answer, from one of the places where servers name them; None if one is not named."""
    found: Any = choice.get("token_ids")
    logprobs = choice.get("logprobs")
    if found is None and isinstance(logprobs, dict):
        content, names = logprobs.get("content"), logprobs.get("tokens")
        found = list(map(_id_of, content if isinstance(content, list) else names if isinstance(names, list) else []))
    if not isinstance(found, list) or not found or not all(_is_id(one) for one in found):
        return None
    return tuple(found)


def _id_of(entry: object) -> object:
    """The id in an entry of a list of tokens, None if it has none."""
    name = entry
    if isinstance(entry, dict):
        number = entry.get("id", entry.get("token_id"))
        if number is not None:
            return number
        name = entry.get("token")
    digits = name.removeprefix(ID_PREFIX) if isinstance(name, str) and name.startswith(ID_PREFIX) else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 10 else None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKEN_MAX


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKEN_MAX else None
