"""The default engine: llama.cpp in canonical settings, one determinism class per code path.

Flash attention over a q8_0 key-value cache makes decoding give the same bits as evaluating a prompt, so a prefix
that is still in memory can be reused without changing an answer: a challenger that wrote a prompt answers it
without reading it again. Loading the library is left to `llamacpp`, picking tokens to `sampling`.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2pverify.engine import llamacpp, sampling, template, weights
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import Head, read_head
from p2pverify.node.ports import Generated, ModelInfo

CONTEXT_TOKENS = 1024
BATCH_TOKENS = 64
THREADS = 1
SETTINGS = "fa1/kv-q8_0"
SEED_BYTES = 16
OPENER_TEMPERATURE_MILLI = 1500
PROMPT_TEMPERATURE_MILLI = 800

X86_PATHS = ("AVX512", "AVX2", "AVX", "SSE3")
ARM_PATHS = ("NEON", "DOTPROD", "MATMUL_INT8", "SVE", "SME")
MACHINES = {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}


def numeric_path(features: Mapping[str, bool], machine: str) -> str:
    """The code path's name, e.g. "x86-64-avx2/fa1/kv-q8_0", from what the build says that it uses.

    On x86-64 the widest vector extension compiled in decides; elsewhere all of those that change sums are named.
    """
    name = MACHINES.get(machine.lower(), machine.lower())
    used = [feature.lower() for feature in (*X86_PATHS, *ARM_PATHS) if features.get(feature)]
    if name == "x86-64":
        used = used[:1]
    return "/".join(["-".join([name, *(used or ["generic"])]), SETTINGS])


class LlamaEngine:
    """Fulfils the node's `Engine` port. Not thread-safe: one call at a time."""

    def __init__(
        self, path: Path, *, expect_sha256: bytes | None = None, progress: weights.Progress | None = None
    ) -> None:
        """Check and load weights. Raises EngineUnavailable or its subclass WeightsError."""
        digest = weights.check(path, expect_sha256, progress)
        library = llamacpp.load()
        head = read_head(path)
        if progress is not None:
            progress("loading model", 0, 1)
        self.path = path
        self._special = frozenset(head.special_tokens())
        self._model = llamacpp.Model(library, path)
        context_tokens = min(CONTEXT_TOKENS, self._model.trained_tokens)
        try:
            self._info = _info(head, digest, library.features, self._model.vocab_tokens, context_tokens)
            self.context = llamacpp.Context(
                self._model, tokens_max=context_tokens, batch_tokens=BATCH_TOKENS, threads=THREADS
            )
        except EngineUnavailable:
            self._model.close()
            raise
        self._before = self._model.tokenise(template.BEFORE, special=True)
        self._after = self._model.tokenise(template.AFTER, special=True)
        self._pieces = tuple(map(self._model.piece, range(self._model.vocab_tokens)))
        openers = [self._model.tokenise(word, special=False) for word in template.OPENERS]
        self._openers = tuple(tokens[0] for tokens in openers)
        if progress is not None:
            progress("loading model", 1, 1)

    @property
    def info(self) -> ModelInfo:
        return self._info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """Token ids of a prompt whose user turn, of 1 to `tokens_max` tokens, the model writes from a 16-byte seed.

        After the template's opening, an instruction-tuned model continues with what users ask (Magpie, Xu et al.
        2024); so small a model needs its first word to be one of `template.OPENERS`. The turn ends with a question
        mark, before a special token or a new line, or at `tokens_max`. It is encoded again from its text, as a
        client's would be. Raises ValueError for another size of seed or a turn that does not fit.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a prompt's seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._check_room(len(self._before) + len(self._after), tokens_max)
        key = sampling.philox_key(sampling.PROMPT, seed)
        openers = self.context.evaluate(self._before)[list(self._openers)]
        turn = [self._openers[sampling.sample(openers, OPENER_TEMPERATURE_MILLI, key, 0)]]
        while len(turn) < tokens_max and not self._pieces[turn[-1]].endswith(b"?"):
            logits = self.context.evaluate((*self._before, *turn))
            token = sampling.sample(logits, PROMPT_TEMPERATURE_MILLI, key, len(turn))
            if token in self._special or b"\n" in self._pieces[token]:
                break
            turn.append(token)
        text = b"".join(self._pieces[token] for token in turn).decode(errors="ignore").rstrip()
        user = self._model.tokenise(text, special=False)[:tokens_max]
        return (*self._before, *user, *self._after)

    def answer(
        self, prompt: Sequence[int], *, tokens_max: int, temperature_milli: int, sampler_key: bytes
    ) -> Generated:
        """Answer a prompt. Raises ValueError if it is empty, not of this vocabulary, or does not fit the context."""
        self._check_tokens(prompt)
        self._check_room(len(prompt), tokens_max)
        if not prompt or temperature_milli < 0:
            raise ValueError("the prompt is empty" if not prompt else "the temperature is negative")
        key = sampling.philox_key(sampling.ANSWER, sampler_key)
        start = time.monotonic()
        first = start
        tokens: list[int] = []
        finish = "length"
        while finish == "length" and len(tokens) < tokens_max:
            logits = self.context.evaluate((*prompt, *tokens))
            if temperature_milli == 0:
                token = sampling.greedy(logits)
            else:
                token = sampling.sample(logits, temperature_milli, key, len(tokens))
            tokens.append(token)
            if len(tokens) == 1:
                first = time.monotonic()
            if self._model.ends(token):
                finish = "stop"
        return Generated(tuple(tokens), finish, _ms(first - start), _ms(time.monotonic() - start))

    def encode_chat(self, text: str) -> tuple[int, ...]:
        """Token ids of a one-turn chat prompt. Names of special tokens in the text stay text. Raises ValueError."""
        return (*self._before, *self._model.tokenise(text, special=False), *self._after)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; special tokens are left out. Raises ValueError for a token not of this vocabulary."""
        self._check_tokens(tokens)
        return b"".join(self._pieces[token] for token in tokens).decode(errors="replace")

    def close(self) -> None:
        self.context.close()
        self._model.close()

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if any(not 0 <= token < self._info.vocab_tokens for token in tokens):
            raise ValueError(f"a token is not in the vocabulary of {self._info.vocab_tokens}")

    def _check_room(self, used: int, tokens_max: int) -> None:
        if tokens_max < 1:
            raise ValueError("at least one token must be asked for")
        if used + tokens_max > self._info.context_tokens:
            raise ValueError(f"{used} tokens and {tokens_max} more do not fit a context of {self._info.context_tokens}")


def _info(head: Head, digest: bytes, features: Mapping[str, bool], vocab_tokens: int, context_tokens: int) -> ModelInfo:
    named = head.text("general.name", "unnamed")
    return ModelInfo(
        model=weights.NAME if digest == weights.SHA256 else f"{named} {head.quantisation}",
        weights_sha256=digest,
        tokenizer_sha256=head.tokenizer_sha256(),
        template_sha256=template.SHA256,
        engine=llamacpp.BUILD,
        numeric_path=numeric_path(features, platform.machine()),
        quantisation=head.quantisation,
        licence=head.text("general.license", "unknown"),
        context_tokens=context_tokens,
        vocab_tokens=vocab_tokens,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
