"""A model server on loopback with OpenAI's completions API, in the variants of several real servers.

It serves given rows of logits. It is strict about requests and can be told to misbehave. A prompt is token ids, never
text.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = Callable[[Sequence[int], int], Iterator[NDArray[np.float32]]]
MODEL, KEY = "the-model", "secret"
KNOWN = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"}
KNOWN |= {"logprobs", "echo"}
ROWS_KEPT = 400
VLLM = {"return_tokens_as_token_ids", "prompt_logprobs"}


@dataclass
class Dialect:
    """The server's variant of the API.

    It grants `shown_max` log-probabilities. It refuses a larger number, or reduces it (`clamps`).
    """

    shown_max: int
    named_by_id: bool = False
    prompt_logprobs: bool = False
    echo: bool = False
    clamps: bool = False
    leaves_out_end: bool = False
    key: str = ""
    models: tuple[str, ...] = (MODEL,)
    spoil: Callable[[dict[str, Any]], Any] = lambda document: document
    requests: list[dict[str, Any]] = field(default_factory=list)


class Refusal(Exception):
    pass


@dataclass
class Model:
    """The server's model: rows of logits, the texts of tokens, and the tokens that end an answer.

    Rows are kept, because most tests ask the same questions.
    """

    rows: Rows
    piece: Callable[[int], str]
    ends: Callable[[int], bool]
    _known: dict[tuple[int, ...], NDArray[np.float32]] = field(default_factory=dict)

    def after(self, tokens: Sequence[int], first: int) -> list[NDArray[np.float64]]:
        """The log-probabilities of what follows the tokens up to each place from `first`."""
        ends = [tuple(tokens[: place + 1]) for place in range(first, len(tokens))]
        if not all(end in self._known for end in ends):
            if len(self._known) >= ROWS_KEPT:
                self._known.clear()
            self._known |= {end: row.copy() for end, row in zip(ends, self.rows(tokens, first), strict=True)}
        return [log_softmax(self._known[end]) for end in ends]


@contextmanager
def serve(model: Model, dialect: Dialect) -> Iterator[str]:
    """The base URL of a server that lives as long as the context."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20  # seconds until a kept connection without a client is closed

        def do_GET(self) -> None:
            self._answer(200, {"object": "list", "data": [{"id": name} for name in dialect.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            dialect.requests.append(body)
            try:
                self._answer(200, dialect.spoil(complete(model, dialect, body)))
            except Refusal as refusal:
                self._answer(400, {"error": {"message": str(refusal)}})

        def _answer(self, status: int, document: Any) -> None:
            if dialect.key and self.headers["Authorization"] != f"Bearer {dialect.key}":
                status, document = 401, {"error": {"message": "invalid key"}}
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # closing waits for the threads, because they use the model
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def complete(model: Model, dialect: Dialect, body: dict[str, Any]) -> dict[str, Any]:
    """A greedy completion of token ids."""
    if body["model"] not in dialect.models:
        raise Refusal(f"no model {body['model']}")
    unknown = set(body) - KNOWN - (VLLM if dialect.prompt_logprobs or dialect.named_by_id else set())
    if unknown:
        raise Refusal(f"unknown fields {sorted(unknown)}")
    shown = max(body["logprobs"], body.get("prompt_logprobs", 0))
    if shown > dialect.shown_max and not dialect.clamps:
        raise Refusal(f"at most {dialect.shown_max} logprobs")
    if body.get("echo") and not dialect.echo:
        raise Refusal("no echo")
    shown = min(body["logprobs"], dialect.shown_max)
    prompt, tokens = list(body["prompt"]), []
    rows: list[Any] = []
    while len(tokens) < body["max_tokens"] and not (tokens and model.ends(tokens[-1])):
        (row,) = model.after((*prompt, *tokens), len(prompt) + len(tokens) - 1)
        rows.append(row)
        tokens.append(int(row.argmax()))
    finish = "stop" if model.ends(tokens[-1]) else "length"
    if finish == "stop" and dialect.leaves_out_end and len(tokens) > 1:
        tokens.pop()
        rows.pop()
    choice: dict[str, Any] = {"index": 0, "text": "".join(map(model.piece, tokens)), "finish_reason": finish}
    wants_prompt = body.get("echo") or "prompt_logprobs" in body
    before: list[Any] = model.after(prompt, 0)[:-1] if wants_prompt else []
    if body.get("echo"):
        tokens, rows = prompt + tokens, [None, *before, *rows]
    choice["logprobs"] = lists(model, dialect, tokens, rows, shown)
    if "prompt_logprobs" in body and dialect.prompt_logprobs:
        at = zip(prompt[1:], before, strict=True)
        numbered = [by_number(model, row, token, body["prompt_logprobs"]) for token, row in at]
        choice["prompt_logprobs"] = [None, *numbered]
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(tokens)}
    return {"object": "text_completion", "choices": [choice], "usage": usage}


def lists(model: Model, dialect: Dialect, tokens: list[int], rows: list[Any], shown: int) -> dict[str, Any]:
    """Parallel lists, as OpenAI has them."""

    def name(token: int) -> str:
        return f"token_id:{token}" if dialect.named_by_id else model.piece(token)

    own = [None if row is None else float(row[token]) for token, row in zip(tokens, rows, strict=True)]
    tops = [None if row is None else {name(one): float(row[one]) for one in greatest(row, shown)} for row in rows]
    return {"tokens": list(map(name, tokens)), "token_logprobs": own, "top_logprobs": tops}


def by_number(model: Model, row: NDArray[np.float64], token: int, shown: int) -> dict[str, Any]:
    """vLLM's shape: the greatest log-probabilities, and the token's own at any rank."""
    found = dict.fromkeys([*greatest(row, shown), token])
    return {str(one): {"logprob": float(row[one]), "decoded_token": model.piece(one)} for one in found}


def greatest(row: NDArray[np.float64], count: int) -> list[int]:
    found = np.arange(len(row))
    if count < len(row):
        found = np.flatnonzero(row >= np.partition(row, -count)[-count])
    return [int(token) for token in found[np.argsort(-row[found], kind="stable")][:count]]


def log_softmax(row: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = row.astype(np.float64) - float(row.max())
    return shifted - np.log(np.exp(shifted).sum())
