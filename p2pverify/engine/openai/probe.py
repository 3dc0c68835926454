"""Finds out a server's abilities by requests; the server's name is ignored.

The server must take token ids as a prompt, and tokens must be recognisable in its answers. The number of
log-probabilities that it shows decides whether this process can sample answers. Scoring is cheap if the server shows a
prompt's log-probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from p2pverify.engine.openai.completions import Reader, choice_of, prompt_tokens
from p2pverify.engine.openai.http import MESSAGE_CHARS_MAX, Server, ServerError, ServerRefused
from p2pverify.engine.openai.rows import LogprobRow

ANSWER_BYTES = 1 << 16
LISTED_BYTES = 256  # the most bytes of a listed token in JSON; llama-server uses about 95
MODELS_BYTES_MAX = 1 << 20
#: A field outside OpenAI's API that makes vLLM name tokens by their ids.
NAMED_BY_ID = {"return_tokens_as_token_ids": True}
FEWER = (4096, 1024, 256, 100, 64, 20, 5)
#: The number of log-probabilities in a first request: enough for most positions, and cheap to send.
USUAL = 64


class PromptRows(Enum):
    """How a server shows the log-probabilities of a prompt's tokens: not, in a field, or in an echo of the prompt."""

    NONE = "none"
    FIELD = "prompt_logprobs"
    ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Abilities:
    """The result of probing.

    The server shows at most `shown_max` log-probabilities per position. `context_tokens` is 0 if not known. `token` is
    the first token that the server answered, and `text` the server's text for it (None if not given).
    """

    model: str
    fields: Mapping[str, object]
    shown_max: int
    prompt_rows: PromptRows
    context_tokens: int
    token: int
    text: str | None


class Completions:
    """Requests for completions of token ids: greedy and without penalties, whatever the server's defaults are."""

    def __init__(self, server: Server, model: str, fields: Mapping[str, object]) -> None:
        self._server = server
        self._fields = {
            "model": model,
            "temperature": 0,
            "top_p": 1,
            "seed": 0,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            **fields,
        }

    def ask(
        self,
        prompt: Sequence[int],
        *,
        tokens_max: int,
        shown: int,
        prompt_shown: int = 0,
        prompt_rows: PromptRows = PromptRows.NONE,
    ) -> dict[str, Any]:
        """The server's answer, not yet checked, with the `shown` greatest log-probabilities per position.

        `prompt_rows` also requests the prompt's log-probabilities, `prompt_shown` per position. Raises ServerError.
        """
        body: dict[str, object] = {"prompt": list(prompt), "max_tokens": tokens_max, "logprobs": shown}
        if prompt_rows is PromptRows.FIELD:
            body["prompt_logprobs"] = prompt_shown
        elif prompt_rows is PromptRows.ECHO:
            body |= {"echo": True, "logprobs": max(shown, prompt_shown)}
        listed = tokens_max * (shown + 4) + len(prompt) * (prompt_shown + 4)
        size_max = ANSWER_BYTES + listed * LISTED_BYTES
        return self._server.post("/completions", self._fields | body, size_max=size_max)


def probe(server: Server, wanted: str, prompt: Sequence[int], reader: Reader, vocab_tokens: int) -> Abilities:
    """Find out a server's abilities with a prompt of a few tokens.

    Raises ServerError, whose message names the missing ability.
    """
    model, context_tokens = choose_model(server, wanted)
    fields, completions, token, text = _first_answer(server, model, prompt, reader)
    return Abilities(
        model=model,
        fields=fields,
        shown_max=_shown_max(completions, prompt, reader, vocab_tokens),
        prompt_rows=_prompt_rows(completions, prompt, reader),
        context_tokens=context_tokens,
        token=token,
        text=text,
    )


def choose_model(server: Server, wanted: str) -> tuple[str, int]:
    """The model's name at the server, and its context in tokens (0 if not known)."""
    listed = server.get("/models", size_max=MODELS_BYTES_MAX).get("data")
    models = [one for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)] if listed else []
    found = [one for one in models if wanted in ("", one["id"])]
    if len(found) != 1:
        names = ", ".join(repr(one["id"][:80]) for one in models)[:MESSAGE_CHARS_MAX] or "no models"
        asked = f"no model {wanted!r}" if wanted else "not exactly one model"
        raise ServerError(f"the server at {server.url} has {asked} but {names}: set openai_model")
    meta = found[0].get("meta")
    sizes = (found[0].get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    known = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0]
    return found[0]["id"], min(known, default=0)


def _first_answer(
    server: Server, model: str, prompt: Sequence[int], reader: Reader
) -> tuple[Mapping[str, object], Completions, int, str | None]:
    """The fields that the server takes, requests with them, and the token and text of a first answer.

    NAMED_BY_ID is tried first, then no fields.
    """
    refused: ServerRefused | None = None
    for fields in (NAMED_BY_ID, {}):
        completions = Completions(server, model, fields)
        try:
            answer = completions.ask(prompt, tokens_max=1, shown=1)
        except ServerRefused as error:
            refused = error
            continue
        if prompt_tokens(answer) not in (None, len(prompt)):
            raise ServerError(
                f"the server at {server.url} reads {prompt_tokens(answer)} tokens where {len(prompt)} were sent: "
                "it must take token ids as they are"
            )
        places = reader.places(answer)
        if len(places) != 1 or places[0] is None or places[0].token is None:
            raise ServerError(f"the server at {server.url} does not tell which token it picked")
        text = choice_of(answer).get("text")
        return fields, completions, places[0].token, text if isinstance(text, str) else None
    raise ServerError(f"{refused}; token ids as a prompt of /completions, and logprobs, are needed")


def _shown_max(completions: Completions, prompt: Sequence[int], reader: Reader, vocab_tokens: int) -> int:
    """The number of log-probabilities that the server shows: the whole vocabulary, or the largest granted of FEWER."""
    for count in (vocab_tokens, *(fewer for fewer in FEWER if fewer < vocab_tokens)):
        try:
            places = reader.places(completions.ask(prompt, tokens_max=1, shown=count))
        except ServerRefused:
            continue
        listed = places[0].row.tokens.size if places and places[0] is not None else 0
        return min(count, listed)
    return 1


def _prompt_rows(completions: Completions, prompt: Sequence[int], reader: Reader) -> PromptRows:
    """How to request the log-probabilities of the prompt's tokens; NONE if the server does not show them."""
    for kind in (PromptRows.FIELD, PromptRows.ECHO):
        try:
            rows = ask_prompt_rows(completions, kind, prompt, 2, reader)
        except ServerRefused:
            continue
        if rows is not None:
            return kind
    return PromptRows.NONE


def ask_prompt_rows(
    completions: Completions, kind: PromptRows, prompt: Sequence[int], shown: int, reader: Reader
) -> list[LogprobRow | None] | None:
    """A row for each token of a prompt, in one request; None if the server's answer has none. Raises ServerError."""
    answer = completions.ask(prompt, tokens_max=1, shown=1, prompt_shown=shown, prompt_rows=kind)
    if kind is PromptRows.FIELD:
        return reader.prompt_rows(answer, prompt)
    places = reader.places(answer)
    if len(places) not in (len(prompt), len(prompt) + 1):
        return None
    named = [None if one is None else one.token for one in places[: len(prompt)]]
    if any(theirs not in (None, ours) for theirs, ours in zip(named, prompt, strict=True)):
        raise ServerError("the server echoes another prompt than it was sent")
    return [None if one is None else one.row for one in places[: len(prompt)]]
