"""A model server behind the node's port: vLLM, SGLang, llama-server and other servers with OpenAI's completions API.

The server runs the model: token ids go in, log-probabilities come out. This process tokenises and samples, with the
vocabulary of the weights' GGUF file. Each token is first requested with few log-probabilities, and with more if these
do not decide the sampler's pick. A server gives no digest of logits, so it is in no class of equal bits, and its peers
are judged across classes. `http` sends requests, `completions` reads answers, `probe` finds out the abilities.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.output import NO_LOGITS, Ask, Output
from p2pverify.core.inference.compare import TokenScores
from p2pverify.engine import sampler
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.modelinfo import model_info
from p2pverify.engine.gguf.reader import FileHead, read_head
from p2pverify.engine.language import conversation_of, pieces_of
from p2pverify.engine.llama import bindings
from p2pverify.engine.llama.causal import CONTEXT_TOKENS, CausalEngine
from p2pverify.engine.openai.completions import Reader, choice_of
from p2pverify.engine.openai.http import ANSWER_S, Endpoint, Server, ServerError
from p2pverify.engine.openai.probe import (
    USUAL,
    Abilities,
    Completions,
    PromptRows,
    ask_prompt_rows,
    probe,
)
from p2pverify.engine.openai.rows import LogprobRow, judge, noise_at, pick
from p2pverify.node.ports import GENERATE, GREEDY, SCORE, WRITE, Generated, Hear, ModelInfo, unheard

ENGINE, NUMERIC_PATH = "openai/1", "unknown"
PROBE_TEXT = "What is the capital of France?"
REPLACEMENT = "\ufffd"
#: The most log-probabilities per position in a request for a prompt's rows. Where they do not decide, the position is
#: requested alone.
PROMPT_SHOWN_MAX = 256

_T = TypeVar("_T")


class OpenAIEngine(CausalEngine):
    """Fulfils the node's `Engine` port. Not thread-safe: one call at a time.

    A server that shows the log-probabilities of its whole vocabulary has every ability except logits. A server that
    shows fewer can answer at temperature 0. At other temperatures, a call raises ValueError if they do not decide the
    sampler's pick. Such a server can also score if it shows a prompt's log-probabilities; the same error can occur.
    """

    def __init__(
        self,
        path: Path,
        endpoint: Endpoint,
        *,
        expect_sha256: bytes | None = None,
        progress: weights.Progress | None = None,
        answer_s: float = ANSWER_S,
        context_tokens: int = CONTEXT_TOKENS,
    ) -> None:
        """Probe the server. `path` is the file of the weights that it should run; `answer_s` limits one answer (s).

        Raises EngineUnavailable or its subclasses WeightsError and ServerError.
        """
        self._server = Server(endpoint.url, endpoint.key, answer_s=answer_s)
        digest = weights.check(path, expect_sha256, progress)
        head = read_head(path)
        tokeniser = bindings.LlamaModel(bindings.load(), path, vocab_only=True)
        try:
            self._reader = Reader(tokeniser.vocab_tokens, _token_of(tokeniser))
            before, after = conversation_of(head, tokeniser, pieces_of(tokeniser)).frame()
            prompt = (*before, *tokeniser.tokenise(PROBE_TEXT, special=False), *after)
            if progress is not None:
                progress("probing the server", 0, 1)
            self.abilities = probe(self._server, endpoint.model, prompt, self._reader, tokeniser.vocab_tokens)
            self._completions = Completions(self._server, self.abilities.model, self.abilities.fields)
            self._check_vocabulary(tokeniser)
        except BaseException:
            tokeniser.close()
            self._server.close()
            raise
        shown_max = self.abilities.shown_max
        self._counts = sorted({min(count, shown_max) for count in (USUAL, USUAL * 64, shown_max)})
        super().__init__(
            _info(head, digest, tokeniser.vocab_tokens, self.abilities, context_tokens),
            tokeniser,
            head,
        )

    def rows(self, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        """Log-probabilities (vocab_tokens,) after each token of tokens[first:], in place of `CausalEngine`'s logits.

        Each array takes one request. Raises ValueError if the server does not show the whole vocabulary, ServerError.
        """
        if WRITE not in self._info.can:
            raise ValueError("the server does not show the log-probabilities of its whole vocabulary")
        for size in range(first + 1, len(tokens) + 1):
            row = self._row(tokens[:size], self._info.vocab_tokens)
            if row.tokens.size != self._info.vocab_tokens:
                raise ServerError("the server no longer shows the log-probabilities of its whole vocabulary")
            yield row.logprobs.astype(np.float32)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        """Answer a prompt.

        Raises ValueError as `CausalEngine` does and if the server lacks the ability, ServerError if the server fails.
        """
        self._check_question(ask, ask.tokens_max)
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        start = time.monotonic()
        first = 0.0
        tokens: list[int] = []
        while len(tokens) < ask.tokens_max and not (tokens and self._tokeniser.ends(tokens[-1])):
            # The first token is requested alone, so that its time is known.
            known = len(tokens)
            room = ask.tokens_max - known if tokens else 1
            if ask.temperature_milli == 0:
                tokens += self._greedy((*ask.prompt, *tokens), room)
            else:
                tokens.append(self._sampled((*ask.prompt, *tokens), ask.temperature_milli, key, known))
            hear(tokens[known:])
            first = first or time.monotonic() - start
        finish = "stop" if self._tokeniser.ends(tokens[-1]) else "length"
        total = time.monotonic() - start
        return Generated(Output(tuple(tokens), finish), round(first * 1000), round(total * 1000))

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """Score a claimed answer. It takes one request if the server shows a prompt's rows, else one for each token.

        Raises ValueError as `CausalEngine` does and if the server lacks the ability, ServerError if the server fails.
        """
        if SCORE not in self._info.can:
            raise ValueError("the server shows too few log-probabilities to score with, and none of a prompt's tokens")
        self._check_tokens(tokens)
        self._check_question(ask, len(tokens))
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        found = []
        for position, row in enumerate(self._claimed_rows(ask.prompt, tokens)):
            token = tokens[position]
            noise = noise_at(ask.temperature_milli, key, position, self._info.vocab_tokens)
            measured = None if row is None else judge(row, token, noise)
            if measured is None:
                prefix = (*ask.prompt, *tokens[:position])
                measured = self._settle(prefix, partial(judge, token=token, noise=noise))
            found.append(measured)
        deficits, surprisals, best = zip(*found, strict=True)
        ends = tuple(map(self._tokeniser.ends, tokens))
        return TokenScores(deficits, surprisals, best, ends, NO_LOGITS)

    def close(self) -> None:
        self._server.close()
        super().close()

    def _greedy(self, prefix: tuple[int, ...], room: int) -> list[int]:
        """The server's own greedy answer, up to and including the first token that ends an answer."""
        answer = self._completions.ask(prefix, tokens_max=room, shown=1)
        tokens = []
        for place in self._reader.places(answer)[:room]:
            if place is None or place.token is None:
                raise ServerError("the server does not tell which token it picked")
            tokens.append(place.token)
            if self._tokeniser.ends(place.token):
                return tokens
        if not tokens or (len(tokens) < room and choice_of(answer).get("finish_reason") == "stop"):
            tokens.append(self._ending((*prefix, *tokens)))
        return tokens

    def _ending(self, prefix: tuple[int, ...]) -> int:
        """The token that ended an answer, for servers that leave it out."""
        token = self._settle(prefix, lambda row: pick(row, None))
        if not self._tokeniser.ends(token):
            raise ServerError("the server ends its answer without a token that ends one")
        return token

    def _sampled(self, prefix: tuple[int, ...], temperature_milli: int, key: int, position: int) -> int:
        noise = noise_at(temperature_milli, key, position, self._info.vocab_tokens)
        return self._settle(prefix, lambda row: pick(row, noise))

    def _settle(self, prefix: tuple[int, ...], read: Callable[[LogprobRow], _T | None]) -> _T:
        """The result of `read` on the row after `prefix`.

        While it is None, the row is requested again with more log-probabilities. Raises ValueError if none suffice.
        """
        for count in self._counts:
            found = read(self._row(prefix, count))
            if found is not None:
                return found
        raise ValueError(
            f"the server shows {self._counts[-1]} log-probabilities a token, which do not settle the sampler's pick: "
            "let it show more (vLLM: --max-logprobs -1)"
        )

    def _row(self, prefix: Sequence[int], count: int) -> LogprobRow:
        places = self._reader.places(self._completions.ask(prefix, tokens_max=1, shown=count))
        if len(places) != 1 or places[0] is None:
            raise ServerError("the server does not answer with one token where one was asked for")
        return places[0].row

    def _claimed_rows(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[LogprobRow | None]:
        """The row at each claimed token; None where one request does not give it."""
        if self.abilities.prompt_rows is PromptRows.NONE:
            return [None] * len(tokens)
        whole = (*prompt, *tokens)
        shown = min(self.abilities.shown_max, PROMPT_SHOWN_MAX)
        rows = ask_prompt_rows(self._completions, self.abilities.prompt_rows, whole, shown, self._reader)
        if rows is None:
            raise ServerError("the server no longer shows the log-probabilities of a prompt")
        return rows[len(prompt) :]

    def _check_vocabulary(self, tokeniser: bindings.LlamaModel) -> None:
        """Compare the server's text for its first token with our text. Raises ServerError if they differ."""
        token, text = self.abilities.token, self.abilities.text
        ours = tokeniser.piece(token).decode(errors="replace").strip()
        if text is not None and REPLACEMENT not in ours and text.strip() != ours:
            raise ServerError(
                f"the server's token {token} is {text[:40]!r} and not {ours[:40]!r}: it has another vocabulary than "
                "these weights"
            )


def _token_of(tokeniser: bindings.LlamaModel) -> Callable[[str], int | None]:
    """A function from a text to its token. The result is None for incomplete UTF-8 or a text of several tokens."""

    def token_of(text: str) -> int | None:
        tokens = () if REPLACEMENT in text else tokeniser.tokenise(text, special=True)
        return tokens[0] if len(tokens) == 1 else None

    return token_of


def _info(head: FileHead, digest: bytes, vocab_tokens: int, abilities: Abilities, context_tokens: int) -> ModelInfo:
    is_full = abilities.shown_max >= vocab_tokens
    can = {GENERATE, WRITE, SCORE} if is_full else {GREEDY}
    if abilities.prompt_rows is not PromptRows.NONE and abilities.shown_max > 1:
        can.add(SCORE)
    sizes = (context_tokens, head.context_tokens(), abilities.context_tokens or context_tokens)
    return model_info(
        head,
        digest,
        engine=ENGINE,
        numeric_path=NUMERIC_PATH,
        context_tokens=min(sizes),
        vocab_tokens=vocab_tokens,
        can=can,
    )
