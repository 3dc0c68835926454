"""The common base of engines that know the logits: it writes prompts, answers and scores.

An engine supplies a tokeniser and `rows`, the logits after each token. This module derives the rest, so that all
engines ask, sample and judge in the same way. `sampler` picks tokens, `margins` computes margins.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import TokenScores
from p2pverify.engine import margins, sampler
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import chat_template
from p2pverify.engine.gguf.conversation import RENDERED_CHARS_MAX
from p2pverify.engine.gguf.reader import FileHead
from p2pverify.engine.language import conversation_of, pieces_of
from p2pverify.engine.llama import bindings
from p2pverify.engine.llama.lanes import Rows
from p2pverify.node.clients.language import Message, PromptError
from p2pverify.node.ports import Generated, Hear, ModelInfo, unheard

CONTEXT_TOKENS = 1024  # unless the operator asks for another number; it changes no bit of an answer
SEED_BYTES = 16
OPENER_TEMPERATURE_MILLI = 1500
PROMPT_TEMPERATURE_MILLI = 800


class CausalEngine(ABC):
    """The part of the node's `Engine` port that follows from tokeniser and logits.

    As many threads as `info.lanes` says may call it at a time.
    """

    def __init__(self, info: ModelInfo, tokeniser: bindings.LlamaModel, head: FileHead) -> None:
        """`head` is that of the weights. The engine owns the tokeniser and closes it.

        Raises WeightsError, after the engine has closed itself, if the chat template cannot hold a question.
        """
        self._info = info
        self._tokeniser = tokeniser
        self._special = frozenset(head.special_tokens())
        self._pieces = pieces_of(tokeniser)
        self._openers = [tokeniser.tokenise(word, special=False)[0] for word in chat_template.OPENERS]
        try:
            self._conversation = conversation_of(head, tokeniser, self._pieces)
        except WeightsError:
            self.close()
            raise
        self._before, self._after = self._conversation.frame()

    @abstractmethod
    def rows(self, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        """Logits (vocab_tokens,) after each token of tokens[first:], in order. `tokens` is the whole sequence.

        A prefix that is still in memory is not run again; this changes no bit. Each array is valid until the next
        one is requested.
        """

    def lane(self, tokens: Sequence[int]) -> AbstractContextManager[Rows]:  # noqa: ARG002 - for engines with many
        """`rows` for the calls of one job, whose sequences begin with `tokens`."""
        return nullcontext(self.rows)

    @property
    def info(self) -> ModelInfo:
        return self._info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """Token ids of a prompt. The model writes its user turn of 1 to `tokens_max` tokens from a 16-byte seed.

        After the template's opening, an instruction-tuned model continues with a typical user question (Magpie, Xu et
        al. 2024). A small model also needs a given first word, so one of `chat_template.OPENERS` is drawn. The turn
        ends after a question mark, before a special token or a new line, or at `tokens_max`. Its text then becomes a
        prompt like the text of a client. Tokenised again it may be longer, and then it loses its last tokens. Raises
        ValueError if the seed has another size or the turn does not fit.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a prompt's seed has {SEED_BYTES} bytes, not {len(seed)}")
        frame = len(self._before) + len(self._after)
        self._check_room(frame, tokens_max)
        key = sampler.philox_key(sampler.PROMPT, seed)
        with self.lane(self._before) as rows:
            openers = _next(rows, self._before)[self._openers]
            turn = [self._openers[sampler.sample(openers, OPENER_TEMPERATURE_MILLI, key, 0)]]
            while len(turn) < tokens_max and not self._pieces[turn[-1]].endswith(b"?"):
                logits = _next(rows, (*self._before, *turn))
                token = sampler.sample(logits, PROMPT_TEMPERATURE_MILLI, key, len(turn))
                if token in self._special or b"\n" in self._pieces[token]:
                    break
                turn.append(token)
        prompt = self._prompt_of(turn)
        while len(prompt) > frame + tokens_max and len(turn) > 1:
            del turn[-1]
            prompt = self._prompt_of(turn)
        return prompt

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        """Answer a prompt. Raises ValueError if it is empty, not of this vocabulary, or does not fit the context."""
        self._check_question(ask, ask.tokens_max)
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        start = time.monotonic()
        first = start
        tokens: list[int] = []
        seen = hashlib.sha256()
        finish = "length"
        with self.lane(ask.prompt) as rows:
            while finish == "length" and len(tokens) < ask.tokens_max:
                logits = _next(rows, (*ask.prompt, *tokens))
                seen.update(logits.astype("<f4", copy=False).data)
                tokens.append(_pick(logits, ask.temperature_milli, key, len(tokens)))
                hear(tokens[-1:])
                if len(tokens) == 1:
                    first = time.monotonic()
                if self.ends(tokens[-1]):
                    finish = "stop"
        output = Output(tuple(tokens), finish, seen.digest())
        return Generated(output, _ms(first - start), _ms(time.monotonic() - start))

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """Score a claimed answer in one pass.

        Raises ValueError as `answer` does, and if `tokens` is empty or has a token outside the vocabulary.
        """
        return self.score_from(ask, tokens, 0)

    def score_from(self, ask: Ask, tokens: Sequence[int], start: int) -> TokenScores:
        """Score `tokens[start:]`, which follow `tokens[:start]` in a claimed answer, as `score` does."""
        if not 0 <= start < len(tokens):
            raise ValueError(f"there is no token {start} to score in an answer of {len(tokens)}")
        self._check_tokens(tokens)
        self._check_question(ask, len(tokens))
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        seen = hashlib.sha256()
        found = []
        sequence = (*ask.prompt, *tokens[:-1])
        with self.lane(sequence) as rows:
            logits_of = rows(sequence, len(ask.prompt) - 1 + start)
            for position, (token, logits) in enumerate(zip(tokens[start:], logits_of, strict=True), start):
                seen.update(logits.astype("<f4", copy=False).data)
                found.append(margins.margin(logits, token, ask.temperature_milli, key, position))
        deficits, surprisals, best = zip(*found, strict=True)
        return TokenScores(deficits, surprisals, best, tuple(map(self.ends, tokens[start:])), seen.digest())

    def next_token(self, ask: Ask, tokens: Sequence[int]) -> tuple[int, int]:
        """The token that this engine writes after the `tokens` of an answer, and its surprisal in micronats.

        Raises ValueError as `answer` does.
        """
        self._check_tokens(tokens)
        self._check_question(ask, len(tokens) + 1)
        sequence = (*ask.prompt, *tokens)
        with self.lane(sequence) as rows:
            logits = _next(rows, sequence)
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        token = _pick(logits, ask.temperature_milli, key, len(tokens))
        return token, round(margins.surprisal(logits, token) * margins.MICRONATS)

    def ends(self, token: int) -> bool:
        """Whether a token of the vocabulary ends an answer."""
        return self._tokeniser.ends(token)

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        """Token ids of a one-turn chat prompt. Names of special tokens in the text stay text. Raises ValueError."""
        messages = [*([Message("system", system)] if system else []), Message("user", text)]
        try:
            return self._conversation.chat(messages, RENDERED_CHARS_MAX)
        except PromptError as error:
            raise ValueError(str(error)) from None

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text alone. Names of special tokens in it stay text. Raises ValueError."""
        return self._tokeniser.tokenise(text, special=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special tokens. Raises ValueError for a token outside the vocabulary."""
        self._check_tokens(tokens)
        return b"".join(self._pieces[token] for token in tokens).decode(errors="replace")

    def close(self) -> None:
        self._tokeniser.close()

    def _prompt_of(self, turn: Sequence[int]) -> tuple[int, ...]:
        return self.encode_chat(b"".join(self._pieces[token] for token in turn).decode(errors="ignore").rstrip())

    def _check_question(self, ask: Ask, tokens_max: int) -> None:
        """Raises ValueError if the engine cannot take this question with an answer of `tokens_max` tokens."""
        self._check_tokens(ask.prompt)
        self._check_room(len(ask.prompt), tokens_max)
        if not ask.prompt or ask.temperature_milli < 0:
            raise ValueError("the prompt is empty" if not ask.prompt else "the temperature is negative")

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if any(not 0 <= token < self._info.vocab_tokens for token in tokens):
            raise ValueError(f"a token is not in the vocabulary of {self._info.vocab_tokens}")

    def _check_room(self, used: int, tokens_max: int) -> None:
        if tokens_max < 1:
            raise ValueError("at least one token must be asked for")
        if used + tokens_max > self._info.context_tokens:
            raise ValueError(f"{used} tokens and {tokens_max} more do not fit a context of {self._info.context_tokens}")


def _next(rows: Rows, tokens: Sequence[int]) -> NDArray[np.float32]:
    (logits,) = rows(tokens, len(tokens) - 1)
    return logits


def _pick(logits: NDArray[np.float32], temperature_milli: int, key: int, position: int) -> int:
    if temperature_milli == 0:
        return sampler.greedy(logits)
    return sampler.sample(logits, temperature_milli, key, position)


def open_tokeniser(path: Path, vocab_tokens: int) -> bindings.LlamaModel:
    """The vocabulary of a GGUF file. Raises WeightsError if it does not have `vocab_tokens` tokens."""
    tokeniser = bindings.LlamaModel(bindings.load(), path, vocab_only=True)
    if tokeniser.vocab_tokens != vocab_tokens:
        tokeniser.close()
        raise WeightsError(f"the model gives {vocab_tokens} logits for {tokeniser.vocab_tokens} tokens")
    return tokeniser


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
