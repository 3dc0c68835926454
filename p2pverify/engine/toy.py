"""A tiny deterministic "model" for tests: the next token is a hash of all tokens before it.

It has no weights and takes microseconds a token; otherwise it behaves as a real engine: greedy answers ignore the
sampler's key, sampled ones depend on it and on the temperature, another `variant` is another model, and prompts that
do not fit are refused. Text is UTF-8, one token a byte; three control bytes are its special tokens.
"""

import hashlib
from collections.abc import Sequence

from p2pverify.node.ports import Generated, ModelInfo

VOCAB_TOKENS = 256
CONTEXT_TOKENS = 8192
SEED_BYTES = 16
END, USER, ASSISTANT = 0, 1, 2
SPECIAL = frozenset((END, USER, ASSISTANT))
LETTERS = b"abcdefghijklmnopqrstuvwxyz      "
END_ONE_IN = 64
TEMPLATE = "\x01{}\x02"

DOMAIN = b"p2pverify/toy/1\0"


class ToyEngine:
    """Fulfils the node's `Engine` port."""

    def __init__(self, variant: str = "honest") -> None:
        self.variant = variant
        self._weights = _hash(b"weights", variant.encode())
        self._info = ModelInfo(
            model="toy" if variant == "honest" else f"toy ({variant})",
            weights_sha256=self._weights,
            tokenizer_sha256=_hash(b"tokenizer", b"bytes"),
            template_sha256=hashlib.sha256(TEMPLATE.encode()).digest(),
            engine="toy/1",
            numeric_path="sha256",
            quantisation="none",
            licence="Apache-2.0",
            context_tokens=CONTEXT_TOKENS,
            vocab_tokens=VOCAB_TOKENS,
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """A prompt whose user turn of 1 to `tokens_max` letters and spaces follows from a 16-byte seed."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a prompt's seed has {SEED_BYTES} bytes, not {len(seed)}")
        _check_room(2, tokens_max)
        state = _hash(b"prompt", self._weights, seed)
        turn: list[int] = []
        while len(turn) < tokens_max:
            token = _token(state)
            if token == END and turn:
                break
            turn.append(LETTERS[0] if token == END else token)
            state = _hash(state, bytes([token]))
        return (USER, *turn, ASSISTANT)

    def answer(
        self, prompt: Sequence[int], *, tokens_max: int, temperature_milli: int, sampler_key: bytes
    ) -> Generated:
        """Answer a prompt. Raises ValueError if it is empty, not of this vocabulary, or does not fit."""
        if not prompt or temperature_milli < 0:
            raise ValueError("the prompt is empty" if not prompt else "the temperature is negative")
        _check_room(len(prompt), tokens_max)
        state = _hash(b"answer", self._weights, _bytes(prompt))
        noise = b"" if temperature_milli == 0 else _hash(b"noise", sampler_key, b"%d" % temperature_milli)
        tokens: list[int] = []
        while len(tokens) < tokens_max:
            token = _token(_hash(state, noise))
            tokens.append(token)
            if token == END:
                return Generated(tuple(tokens), "stop", 0, 0)
            state = _hash(state, bytes([token]))
        return Generated(tuple(tokens), "length", 0, 0)

    def encode_chat(self, text: str) -> tuple[int, ...]:
        """Token ids of a one-turn chat prompt; special bytes in the text become spaces. Raises ValueError."""
        return (USER, *(32 if byte in SPECIAL else byte for byte in text.encode()), ASSISTANT)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; special tokens are left out. Raises ValueError for a token not of this vocabulary."""
        return bytes(byte for byte in _bytes(tokens) if byte not in SPECIAL).decode(errors="replace")

    def close(self) -> None:
        """There is nothing to close."""


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(DOMAIN + b"".join(parts)).digest()


def _token(state: bytes) -> int:
    return END if state[0] % END_ONE_IN == 0 else LETTERS[state[1] % len(LETTERS)]


def _bytes(tokens: Sequence[int]) -> bytes:
    try:
        return bytes(tokens)
    except ValueError:
        raise ValueError(f"a token is not in the vocabulary of {VOCAB_TOKENS}") from None


def _check_room(used: int, tokens_max: int) -> None:
    if tokens_max < 1:
        raise ValueError("at least one token must be asked for")
    if used + tokens_max > CONTEXT_TOKENS:
        raise ValueError(f"{used} tokens and {tokens_max} more do not fit a context of {CONTEXT_TOKENS}")
