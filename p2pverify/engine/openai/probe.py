"""Finds out by asking what a server can do; its name is not looked at.

Needed are token ids as a prompt and tokens that can be told in the answer. How many log-probabilities it shows decides
whether answers at a temperature can be picked here, and whether it shows those of a prompt, how dear scoring is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from p2pverify.engine.openai.completions import Reader, choice_of, prompt_tokens
from p2pverify.engine.openai.http import MESSAGE_CHARS_MAX, Server, ServerError, ServerRefused
from p2pverify.engine.openai.rows import LogprobRow

ANSWER_BYTES = 1 << 16
LISTED_BYTES = 256  # a listed token in JSON: llama-server takes about 95
MODELS_BYTES_MAX = 1 << 20
#: Fields beyond OpenAI's that make vLLM name tokens by their ids.
NAMED_BY_ID = {"return_tokens_as_token_ids": True}
FEWER = (4096, 1024, 256, 100, 64, 20, 5)
#: How many are asked for first: enough for most places, cheap to send.
USUAL = 64


class PromptRows(Enum):
    """How a server shows the log-probabilities of a prompt's tokens."""

    NONE = "none"
    FIELD = "prompt_logprobs"
    ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What probing found: `shown_max` log-probabilities a place, `context_tokens` 0 if not told.

    `token` is the first that the server answered with, `text` what the server calls it, if it does.
    """

    model: str
    fields: Mapping[str, object]
    shown_max: int
    prompt_rows: PromptRows
    context_tokens: int
    token: int
    text: str | None


class Completions:
    """Requests for completions of token ids, greedy and without penalties, whatever the server's defaults."""

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
        """The server's answer, not yet checked, with the `shown` greatest log-probabilities a place.

        With `prompt_rows`, those of the prompt too. Raises ServerError.
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
    """Ask a server what it can do, with a prompt of a few tokens. Raises ServerError, which says what is missing."""
    model, context_tokens = _choose_model(server, wanted)
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


def _choose_model(server: Server, wanted: str) -> tuple[str, int]:
    """The model's name at the server, and its context."""
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
    """One token after a prompt of token ids, and its text, asked with and without fields of others than OpenAI."""
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
    """How many log-probabilities the server shows: the whole vocabulary, or the largest usual number it grants."""
    for count in (vocab_tokens, *(fewer for fewer in FEWER if fewer < vocab_tokens)):
        try:
            places = reader.places(completions.ask(prompt, tokens_max=1, shown=count))
        except ServerRefused:
            continue
        listed = places[0].row.tokens.size if places and places[0] is not None else 0
        return min(count, listed)
    return 1


def _prompt_rows(completions: Completions, prompt: Sequence[int], reader: Reader) -> PromptRows:
    """Whether the server shows log-probabilities of the prompt's tokens, and how they are asked for."""
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
