"""The routes of OpenAI's API. A guard says which client asks; the door answers."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import trio
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from p2pverify.api.openai import sse
from p2pverify.api.openai.answering import Answering, Wish, refusal_of
from p2pverify.api.openai.errors import OpenAIError, refused_parameter
from p2pverify.api.openai.parsing import parse_body
from p2pverify.api.openai.policies import NamedModel, named_model, wanted_peer, wanted_policy, wanted_report
from p2pverify.api.openai.requests import CHOICES_MAX, ChatRequest, CompletionRequest
from p2pverify.api.openai.responses import model_value
from p2pverify.node.clients.desk import Client, DeskBusy
from p2pverify.node.clients.door import Door
from p2pverify.node.clients.language import Language, Message, PromptError
from p2pverify.node.clients.order import DoorError, Order
from p2pverify.node.reports.documents.shape import ApiDocument

BODY_BYTES_MAX = 2 * 1024 * 1024
BODY_S = 20.0  # for the whole body
COMPLETION_TOKENS = 16  # OpenAI's default for /v1/completions
TEMPERATURE = 1.0
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

Guard = Callable[[Request], Awaitable[Client]]
"""Says which client sent a request. Raises OpenAIError if none may."""

Tokens = tuple[int, ...]
_T = TypeVar("_T")


def add_openai(app: FastAPI, door: Door, guard: Guard) -> None:
    """Add the routes, and the errors in OpenAI's shape."""
    app.add_exception_handler(OpenAIError, _refused)

    @app.post(CHAT, responses=described("The answer, or a stream of its chunks."), openapi_extra=_takes(ChatRequest))
    async def chat(request: Request) -> Response:
        """Answer a conversation: OpenAI's chat completions, with a receipt."""
        client = await guard(request)
        asked = parse_body(ChatRequest, await _body(request))
        model = _check_model(door, named_model(asked.model))
        messages = [Message("system" if one.role == "developer" else one.role, one.text) for one in asked.messages]
        prompt = await _speak(door, "messages", lambda language: language.chat(messages, door.prompt_tokens_max))
        _, limit = asked.answer_tokens
        return await _answer(door, client, asked, model, "chat.completion", [prompt], limit)

    @app.post(
        COMPLETIONS, responses=described("The texts, or a stream of chunks."), openapi_extra=_takes(CompletionRequest)
    )
    async def completions(request: Request) -> Response:
        """Continue a text: OpenAI's completions, with a receipt."""
        client = await guard(request)
        asked = parse_body(CompletionRequest, await _body(request))
        model = _check_model(door, named_model(asked.model))
        if len(asked.prompts) * asked.choices > CHOICES_MAX:
            raise refused_parameter("n", f"at most {CHOICES_MAX} answers to all prompts together")
        prompts = [await _prompt_tokens(door, one) for one in asked.prompts]
        limit = COMPLETION_TOKENS if asked.max_tokens is None else asked.max_tokens
        return await _answer(door, client, asked, model, "text_completion", prompts, limit)

    @app.get("/v1/models", responses=described("The models of the network.", READING))
    async def models(request: Request) -> Response:
        """The models of the network: first the one that this node and its peers answer with."""
        await guard(request)
        return _json({"object": "list", "data": [model_value(door, one) for one in door.models]})

    @app.get("/v1/models/{model}", responses=described("The model.", READING, (404,)))
    async def model(request: Request, model: str) -> Response:
        """One model, by its name or by its manifest's digest."""
        await guard(request)
        found = next((one for one in door.models if model in one.names), None)
        if found is None:
            _check_model(door, NamedModel(model))
        return _json(model_value(door, found or door.models[0]))


async def _answer(
    door: Door,
    client: Client,
    asked: ChatRequest | CompletionRequest,
    model: NamedModel,
    kind: str,
    prompts: list[Tokens],
    limit: int | None,
) -> Response:
    """Place an order, and answer with its result or with a stream."""
    if asked.wants_logprobs and not door.has_logprobs:
        message = "the engine of this node has no log-probabilities; leave it out"
        raise refused_parameter("logprobs", message, "unsupported_parameter")
    room = min(door.room(len(prompt)) for prompt in prompts)
    order = Order(
        endpoint="chat.completions" if kind == "chat.completion" else "completions",
        prompts=tuple(prompt for prompt in prompts for _ in range(asked.choices)),
        tokens_max=min(map(door.usual_room, map(len, prompts))) if limit is None else min(limit, room),
        temperature_milli=round(1000 * (TEMPERATURE if asked.temperature is None else asked.temperature)),
        seed=asked.seed,
        client=client,
        logprobs=asked.wants_logprobs,
        policy=wanted_policy(door, model, asked.p2pverify),
        peer=wanted_peer(door, model, asked.p2pverify),
        report=wanted_report(door, asked.p2pverify),
    )
    piece = await _speak(door, "model", lambda language: language.piece)
    try:
        opened = door.begin(order)
    except DeskBusy as busy:
        status, code = (429, "rate_limit_exceeded") if busy.is_own_limit else (503, "busy")
        raise OpenAIError(status, code, str(busy), retry_after_s=busy.retry_after_s) from None
    except DoorError as error:
        raise refusal_of(error) from None
    wish = Wish(kind, asked.stops, asked.includes_usage, sum(map(len, prompts)), asked.wants_logprobs)
    answering = Answering(door, order, wish, opened, piece)
    try:
        if not asked.stream:
            return _json(await answering.whole(), answering.headers)
        first = await answering.next_piece()
    except OpenAIError as error:
        return error.response(answering.headers)
    return sse.stream(answering.events(first), answering.headers)


async def _prompt_tokens(door: Door, prompt: str | Tokens) -> Tokens:
    if isinstance(prompt, str):
        return await _speak(door, "prompt", lambda language: language.plain(prompt, door.prompt_tokens_max))
    if len(prompt) > door.prompt_tokens_max:
        raise refused_parameter(
            "prompt", f"at most {door.prompt_tokens_max} tokens, not {len(prompt)}", "context_length_exceeded"
        )
    if max(prompt) >= door.vocab_tokens:
        raise refused_parameter("prompt", f"token ids are less than {door.vocab_tokens}")
    return prompt


async def _speak(door: Door, param: str, do: Callable[[Language], _T]) -> _T:
    """Call `do` with the model's language. Raises OpenAIError, which names `param` if the prompt is at fault."""
    try:
        return await door.speak(do)
    except PromptError as error:
        raise refused_parameter(param, str(error), error.code) from None
    except DoorError as error:
        raise refusal_of(error) from None


def _check_model(door: Door, model: NamedModel) -> NamedModel:
    own, *others = door.models
    if model.name not in own.names:
        message = f"this node has no model {model.name[:80]!r}, only {door.model!r}"
        peers = sum(one.peers for one in others if model.name in one.names)
        if peers:
            message += f"; {peers} peers of the network serve it: ask a node that runs it"
        raise OpenAIError(404, "model_not_found", message, "model")
    return model


async def _body(request: Request) -> bytes:
    """The whole body. The middleware has checked its declared length. Raises OpenAIError."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise OpenAIError(415, "wrong_content_type", "send JSON, with the header 'Content-Type: application/json'")
    with trio.move_on_after(BODY_S):
        return await request.body()
    raise OpenAIError(408, "timeout", f"the body did not arrive within {BODY_S:g} s")


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, OpenAIError)
    return error.response()


def _json(value: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Response(body, headers=dict(headers or {}), media_type="application/json")


# ---------------------------------------------------------------- for /openapi.json

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_REFUSALS = {
    400: "A parameter is refused; `param` names it.",
    401: "The key is missing or not valid.",
    403: "The request is for another host, or from a page of another origin.",
    404: "There is no such model or receipt.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or of unknown length.",
    415: "The body is not declared as JSON.",
    429: "The limits of this key are reached; `retry-after` says when to come back.",
    500: "The node failed to answer; its log says why.",
    502: "The answers of several peers have no majority; the receipt has them. Do not ask again as if it were a fault.",
    503: "Nobody could answer, or this node is busy; `retry-after` says when to come back.",
}
READING = (400, 401, 403, 413, 500)
_ALL = tuple(_REFUSALS)
_Schema = type[ApiDocument] | None


def described(
    what: str, refusals: Sequence[int] = _ALL, more: Sequence[int] = (), model: _Schema = None
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: its success, and the refusals that it can give."""
    refused: dict[int | str, dict[str, Any]] = {
        code: {"description": _REFUSALS[code], "content": {"application/json": {"schema": _ERROR}}}
        for code in (*refusals, *more)
    }
    success: dict[str, Any] = {"description": what, "content": {}}
    if model is None:
        success["content"]["application/json"] = {"schema": {"type": "object"}}
    else:
        success["model"] = model
    if "stream" in what:
        success["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return {200: success, **refused}


def _takes(kind: type[BaseModel]) -> dict[str, Any]:
    """The body of a route."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "security": [{}, {"key": []}],
    }
