"""Reads the log-probabilities in a server's answers, which have one of three shapes:

- parallel lists with one mapping per position (OpenAI's completions, vLLM, SGLang);
- a list of entries (chat completions, llama-server);
- vLLM's `prompt_logprobs`.

A token is named by its id, by "token_id:7", or by its text. A text counts only if exactly one token has it.
Every other answer raises ServerError.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from p2pverify.engine.openai.http import ServerError
from p2pverify.engine.openai.rows import LogprobRow, make_row

ID_PREFIX = "token_id:"
#: Rounding may leave a log-probability this far above 0.
EXCESS_MAX = 1e-3

IdOf = Callable[[str], int | None]
Pairs = list[tuple[int | None, float]]


@dataclass(frozen=True, slots=True)
class AnswerPlace:
    """One position of an answer: its token (None if the name is ambiguous), and its known log-probabilities."""

    token: int | None
    row: LogprobRow


class Reader:
    """Reads answers for one vocabulary. `id_of` gives the token that has a text, or None if not exactly one has it."""

    def __init__(self, vocab_tokens: int, id_of: IdOf) -> None:
        self._vocab_tokens = vocab_tokens
        self._id_of = id_of

    def places(self, document: dict[str, Any]) -> list[AnswerPlace | None]:
        """The positions of the first choice; None where the server gives no values, e.g. for the first token."""
        logprobs = choice_of(document).get("logprobs")
        if not isinstance(logprobs, dict):
            raise ServerError("the server gives no log-probabilities")
        if isinstance(logprobs.get("content"), list):
            return [self._entry(entry) for entry in logprobs["content"]]
        tokens, tops, own = (_list(logprobs.get(name)) for name in ("tokens", "top_logprobs", "token_logprobs"))
        if not len(tokens) == len(tops) == len(own):
            raise _malformed()
        return [self._mapped(*one) for one in zip(tokens, tops, own, strict=True)]

    def prompt_rows(self, document: dict[str, Any], prompt: Sequence[int]) -> list[LogprobRow | None] | None:
        """vLLM's `prompt_logprobs`: a row for each prompt token, None for the first. None if the answer has no rows."""
        found = choice_of(document).get("prompt_logprobs", document.get("prompt_logprobs"))
        if not isinstance(found, list) or len(found) != len(prompt):
            return None
        return [self._prompt_row(one, token) for one, token in zip(found, prompt, strict=True)]

    def _prompt_row(self, found: object, token: int) -> LogprobRow | None:
        if found is None:
            return None
        if not isinstance(found, dict):
            raise _malformed()
        pairs: Pairs = []
        for name, value in found.items():
            if not isinstance(value, dict):
                raise _malformed()
            pairs.append((self._by_number(name), _logprob(value.get("logprob"))))
        return self._row(pairs, token)

    def _entry(self, entry: object) -> AnswerPlace:
        """A position from a list of entries."""
        if not isinstance(entry, dict):
            raise _malformed()
        token = self._named(entry)
        pairs = [(self._named(one), _logprob(one.get("logprob"))) for one in _dicts(entry.get("top_logprobs"))]
        return AnswerPlace(token, self._row([*pairs, (token, _logprob(entry.get("logprob")))], token))

    def _mapped(self, name: object, top: object, own: object) -> AnswerPlace | None:
        """A position from parallel lists."""
        if own is None:
            return None
        if not isinstance(name, str) or not isinstance(top, dict):
            raise _malformed()
        token = self._by_text(name)
        pairs = [(self._by_text(one), _logprob(value)) for one, value in top.items()]
        return AnswerPlace(token, self._row([*pairs, (token, _logprob(own))], token))

    def _row(self, pairs: Pairs, token: int | None) -> LogprobRow:
        """The row of the listed tokens. `token` may be listed without being among the greatest, so it sets no bound."""
        listed = {one: value for one, value in pairs if one is not None}
        unnamed = max((value for one, value in pairs if one is None), default=-math.inf)
        least = min((value for one, value in pairs if one != token), default=math.inf)
        return make_row(listed, max(least, unnamed), self._vocab_tokens)

    def _named(self, entry: dict[str, Any]) -> int | None:
        number = entry.get("id", entry.get("token_id"))
        if isinstance(number, int) and not isinstance(number, bool):
            return number if 0 <= number < self._vocab_tokens else None
        name = entry.get("token")
        if not isinstance(name, str):
            raise _malformed()
        return self._by_text(name)

    def _by_text(self, name: str) -> int | None:
        return self._by_number(name.removeprefix(ID_PREFIX)) if name.startswith(ID_PREFIX) else self._id_of(name)

    def _by_number(self, name: str) -> int | None:
        if not name.isascii() or not name.isdecimal() or len(name) > 10:
            raise _malformed()
        return int(name) if int(name) < self._vocab_tokens else None


def choice_of(document: dict[str, Any]) -> dict[str, Any]:
    """The first choice of an answer. Raises ServerError."""
    choices = _dicts(document.get("choices"))
    if not choices:
        raise _malformed()
    return choices[0]


def prompt_tokens(document: dict[str, Any]) -> int | None:
    """The number of prompt tokens that the server reports; None if it reports none."""
    usage = document.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


def _logprob(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > EXCESS_MAX:
        raise _malformed()
    return float(value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _malformed()
    return value


def _dicts(value: object) -> list[dict[str, Any]]:
    found = _list(value)
    if not all(isinstance(one, dict) for one in found):
        raise _malformed()
    return found


def _malformed() -> ServerError:
    return ServerError("the server's answer does not have the shape of a completion with log-probabilities")
