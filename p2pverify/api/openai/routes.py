"""The routes of OpenAI's API. A guard says which client asks; the door answers."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from p2pverify.api.answers import SCHEMAS, answer
from p2pverify.api.openai import sse
from p2pverify.api.openai.answering import Answering, Wish, refusal_of
from p2pverify.api.openai.errors import OpenAIError, refused_parameter
from p2pverify.api.openai.parsing import parse_body
from p2pverify.api.openai.policies import named_model, wanted_model, wanted_peer, wanted_policy, wanted_report
from p2pverify.api.openai.requests import CHOICES_MAX, ChatRequest, CompletionRequest
from p2pverify.api.openai.responses import ResponseForm, model_value
from p2pverify.node.clients.desk import Client, DeskBusy
from p2pverify.node.clients.door import Door
from p2pverify.node.clients.language import Language, Message, PromptError
from p2pverify.node.clients.models.named import NamedModel
from p2pverify.node.clients.models.served import ServedModel
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
        model = named_model(asked.model)
        served = wanted_model(door, model.name, asked.p2pverify)
        messages = [Message("system" if one.role == "developer" else one.role, one.text) for one in asked.messages]
        prompt = await _speak(served, "messages", lambda language: language.chat(messages, served.prompt_tokens_max))
        _, limit = asked.answer_tokens
        return await _answer(door, client, asked, _Wanted(model, served), "chat.completion", [prompt], limit)

    @app.post(
        COMPLETIONS, responses=described("The texts, or a stream of chunks."), openapi_extra=_takes(CompletionRequest)
    )
    async def completions(request: Request) -> Response:
        """Continue a text: OpenAI's completions, with a receipt."""
        client = await guard(request)
        asked = parse_body(CompletionRequest, await _body(request))
        model = named_model(asked.model)
        served = wanted_model(door, model.name, asked.p2pverify)
        if len(asked.prompts) * asked.choices > CHOICES_MAX:
            raise refused_parameter("n", f"at most {CHOICES_MAX} answers to all prompts together")
        prompts = [await _prompt_tokens(served, one) for one in asked.prompts]
        limit = COMPLETION_TOKENS if asked.max_tokens is None else asked.max_tokens
        return await _answer(door, client, asked, _Wanted(model, served), "text_completion", prompts, limit)

    @app.get("/v1/models", responses=described("The models of the network.", READING))
    async def models(request: Request) -> Response:
        """The models of the network: first the one that this node runs."""
        await guard(request)
        counts = door.serving()
        return _json(
            {"object": "list", "data": [model_value(door, one, counts[one.digest]) for one in door.catalog.all()]}
        )

    @app.get("/v1/models/{model}", responses=described("The model.", READING, (404,)))
    async def model(request: Request, model: str) -> Response:
        """One model, by its name or by its manifest's digest."""
        await guard(request)
        found = wanted_model(door, model)
        return _json(model_value(door, found, door.serving()[found.digest]))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The model of a request: as the client has written it, and as the network has it."""

    named: NamedModel
    served: ServedModel


async def _answer(
    door: Door,
    client: Client,
    asked: ChatRequest | CompletionRequest,
    wanted: _Wanted,
    kind: str,
    prompts: list[Tokens],
    limit: int | None,
) -> Response:
    """Place an order, and answer with its result or with a stream."""
    model = wanted.served
    if asked.wants_logprobs and not model.has_logprobs:
        what = "the engine of this node has" if model.is_here else f"this node does not run {model.name}, and so it has"
        message = f"{what} no log-probabilities; leave it out"
        raise refused_parameter("logprobs", message, "unsupported_parameter")
    room = min(model.room(len(prompt)) for prompt in prompts)
    order = Order(
        endpoint="chat.completions" if kind == "chat.completion" else "completions",
        prompts=tuple(prompt for prompt in prompts for _ in range(asked.choices)),
        tokens_max=min(map(model.usual_room, map(len, prompts))) if limit is None else min(limit, room),
        temperature_milli=round(1000 * (TEMPERATURE if asked.temperature is None else asked.temperature)),
        seed=asked.seed,
        client=client,
        logprobs=asked.wants_logprobs,
        policy=wanted_policy(door, wanted.named, asked.p2pverify),
        peer=wanted_peer(model, wanted.named, asked.p2pverify),
        report=wanted_report(door, asked.p2pverify),
        model=model.digest,
    )
    piece = await _speak(model, "model", lambda language: language.piece)
    try:
        opened = door.begin(order)
    except DeskBusy as busy:
        status, code = (429, "rate_limit_exceeded") if busy.is_own_limit else (503, "busy")
        raise OpenAIError(status, code, str(busy), retry_after_s=busy.retry_after_s) from None
    except DoorError as error:
        raise refusal_of(error) from None
    wish = Wish(kind, asked.stops, asked.includes_usage, sum(map(len, prompts)), asked.wants_logprobs)
    form = ResponseForm(kind, model, door.now_s(), opened.document.id)
    answering = Answering(form, order, wish, opened, piece)
    try:
        if not asked.stream:
            return _json(await answering.whole(), answering.headers)
        first = await answering.next_piece()
    except OpenAIError as error:
        return error.response(answering.headers)
    return sse.stream(answering.events(first), answering.headers)


async def _prompt_tokens(model: ServedModel, prompt: str | Tokens) -> Tokens:
    most = model.prompt_tokens_max
    if isinstance(prompt, str):
        return await _speak(model, "prompt", lambda language: language.plain(prompt, most))
    if len(prompt) > most:
        raise refused_parameter("prompt", f"at most {most} tokens, not {len(prompt)}", "context_length_exceeded")
    vocab_tokens = await _speak(model, "prompt", lambda language: language.vocab_tokens)
    if max(prompt) >= vocab_tokens:
        raise refused_parameter("prompt", f"token ids are less than {vocab_tokens}")
    return prompt


async def _speak(model: ServedModel, param: str, do: Callable[[Language], _T]) -> _T:
    """Call `do` with the model's language. Raises OpenAIError, which names `param` if the prompt is at fault."""
    try:
        return await model.speak(do)
    except PromptError as error:
        raise refused_parameter(param, str(error), error.code) from None
    except DoorError as error:
        raise refusal_of(error) from None


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
    success: dict[str, Any] = {"description": what, "content": {"application/json": {"schema": {"type": "object"}}}}
    if model is not None:
        success = answer(model, what)
    if "stream" in what:
        success["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return {200: success, **refused}


def _takes(kind: type[BaseModel]) -> dict[str, Any]:
    """The body of a route."""
    schema = kind.model_json_schema(ref_template=SCHEMAS)
    schema.pop("$defs", None)
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "security": [{}, {"key": []}],
    }
