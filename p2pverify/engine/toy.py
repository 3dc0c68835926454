"""A tiny deterministic "model" for tests: the next token follows from a hash of all tokens before it.

It needs no weights and takes microseconds a token. Otherwise it behaves like a real engine:

- greedy answers ignore the sampler's key; sampled answers depend on it and on the temperature;
- another `variant`, or any file as its weights, is another model;
- prompts that do not fit are refused.

Text is UTF-8, one token a byte. Three control bytes are the special tokens.

At each position two tokens lead; at one position in 16 they are nearly equal. Another numeric `path` changes their
distance a little, so honest answers of two paths differ at these positions by a small margin. All other tokens have
much lower values. The paths "sha256" and "integer" change nothing; "integer" is the path of the referee, "toy-exact/1".
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import TokenScores
from p2pverify.node.ports import GENERATE, LOGITS, SCORE, WRITE, Generated, Hear, ModelInfo, unheard

VOCAB_TOKENS = 256
CONTEXT_TOKENS = 8192
SEED_BYTES = 16
END, USER, ASSISTANT = 0, 1, 2
SPECIAL = frozenset((END, USER, ASSISTANT))
LETTERS = b"abcdefghijklmnopqrstuvwxyz      "
END_ONE_IN = 64
#: For conversations: every message follows the mark of its side, and the assistant's mark ends the prompt.
TEMPLATE = (
    "{% for message in messages %}{{ '\x02' if message.role == 'assistant' else '\x01' }}{{ message.content }}"
    "{% endfor %}\x02"
)

ENGINE, REFEREE = "toy/1", "toy-exact/1"
PATH, REFEREE_PATH = "sha256", "integer"
#: Distances in micronats: between two nearly equal tokens (NEAR_TIE), how much a path changes a distance (PATH_NOISE),
#: between the best two tokens otherwise (CLEAR), and from the best to every other token (FAR).
NEAR_TIE_ONE_IN = 16
NEAR_TIE_MAX = 20_000
PATH_NOISE_MAX = 30_000
CLEAR_MIN, CLEAR_MAX = 1_000_000, 3_000_000
FAR_MIN, FAR_MAX = 4_000_000, 12_000_000
SURPRISAL_MIN = 300_000

DOMAIN = b"p2pverify/toy/1\0"


@dataclass(frozen=True, slots=True)
class _Place:
    """The model's output at one position: the token it picks, the second best, and their distance in micronats."""

    best: int
    second: int
    distance: int
    drawn: bytes

    def deficit(self, token: int) -> int:
        """The distance from a token to the best, in micronats."""
        if token == self.best:
            return 0
        if token == self.second:
            return self.distance
        return FAR_MIN + _number(self.drawn[8:], token) % (FAR_MAX - FAR_MIN)


class ToyEngine:
    """Fulfils the node's `Engine` port. `path` names its numeric path, `engine` its build.

    `weights` (32 B) is the digest of a file; any file makes a model of its own, and `variant` is its name then.
    """

    def __init__(
        self, variant: str = "honest", *, path: str = PATH, engine: str = ENGINE, weights: bytes | None = None
    ) -> None:
        self.variant = variant
        self._weights = _hash(b"weights", variant.encode()) if weights is None else weights
        self._path = b"" if path in (PATH, REFEREE_PATH) else path.encode()
        self._info = ModelInfo(
            model="toy" if variant == "honest" else f"toy ({variant})",
            weights_sha256=self._weights,
            tokenizer_sha256=_hash(b"tokenizer", b"bytes"),
            template_sha256=hashlib.sha256(TEMPLATE.encode()).digest(),
            engine=engine,
            numeric_path=path,
            quantisation="none",
            licence="Apache-2.0",
            context_tokens=CONTEXT_TOKENS,
            vocab_tokens=VOCAB_TOKENS,
            can=frozenset((GENERATE, LOGITS, SCORE, WRITE)),
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """A prompt whose user turn of 1 to `tokens_max` letters and spaces follows from a 16-byte seed."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a prompt's seed has {SEED_BYTES} bytes, not {len(seed)}")
        _check_room(2, tokens_max)
        state = _hash(b"prompt", self._weights, self._path, seed)
        turn: list[int] = []
        while len(turn) < tokens_max:
            token = _token(state)
            if token == END and turn:
                break
            turn.append(LETTERS[0] if token == END else token)
            state = _hash(state, bytes([token]))
        return (USER, *turn, ASSISTANT)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        """Answer a prompt. Raises ValueError if it is empty, not of this vocabulary, or does not fit."""
        state, noise = self._begin(ask, ask.tokens_max)
        rows = hashlib.sha256()
        tokens: list[int] = []
        while len(tokens) < ask.tokens_max:
            rows.update(self._row(state))
            token = self._place(state, noise).best
            tokens.append(token)
            hear((token,))
            if token == END:
                return Generated(Output(tuple(tokens), "stop", rows.digest()), 0, 0)
            state = _hash(state, bytes([token]))
        return Generated(Output(tuple(tokens), "length", rows.digest()), 0, 0)

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """Score claimed tokens. Raises ValueError as `answer` does, and for no tokens or one outside the vocabulary."""
        return self.score_from(ask, tokens, 0)

    def score_from(self, ask: Ask, tokens: Sequence[int], start: int) -> TokenScores:
        """Score `tokens[start:]`, which follow `tokens[:start]` in a claimed answer, as `score` does."""
        if not 0 <= start < len(tokens):
            raise ValueError(f"there is no token {start} to score in an answer of {len(tokens)}")
        state, noise = self._begin(ask, len(tokens))
        for token in _bytes(tokens[:start]):
            state = _hash(state, bytes([token]))
        rows = hashlib.sha256()
        deficits, surprisals, best = [], [], []
        for token in _bytes(tokens[start:]):
            rows.update(self._row(state))
            place = self._place(state, noise)
            deficits.append(place.deficit(token))
            surprisals.append(self._surprisal(state, token))
            best.append(place.best)
            state = _hash(state, bytes([token]))
        ends = tuple(map(self.ends, tokens[start:]))
        return TokenScores(tuple(deficits), tuple(surprisals), tuple(best), ends, rows.digest())

    def next_token(self, ask: Ask, tokens: Sequence[int]) -> tuple[int, int]:
        """The token that this engine writes after the `tokens` of an answer, and its surprisal in micronats.

        Raises ValueError as `answer` does.
        """
        state, noise = self._begin(ask, len(tokens) + 1)
        for token in _bytes(tokens):
            state = _hash(state, bytes([token]))
        best = self._place(state, noise).best
        return best, self._surprisal(state, best)

    def ends(self, token: int) -> bool:
        """Whether a token ends an answer."""
        return token == END

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        """Token ids of a one-turn chat prompt; special bytes in the texts become spaces. Raises ValueError."""
        return (*((USER, *encode_text(system)) if system else ()), USER, *encode_text(text), ASSISTANT)

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text alone; special bytes in it become spaces. Raises ValueError."""
        return encode_text(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special tokens. Raises ValueError for a token outside the vocabulary."""
        return bytes(byte for byte in _bytes(tokens) if byte not in SPECIAL).decode(errors="replace")

    def close(self) -> None:
        """Does nothing."""

    def _begin(self, ask: Ask, tokens_max: int) -> tuple[bytes, bytes]:
        """The state before the first token of an answer of up to `tokens_max` tokens, and the sampler's noise."""
        if not ask.prompt or ask.temperature_milli < 0:
            raise ValueError("the prompt is empty" if not ask.prompt else "the temperature is negative")
        _check_room(len(ask.prompt), tokens_max)
        noise = b"" if ask.temperature_milli == 0 else _hash(b"noise", ask.sampler_key, b"%d" % ask.temperature_milli)
        return _hash(b"answer", self._weights, _bytes(ask.prompt)), noise

    def _row(self, state: bytes) -> bytes:
        """A digest in place of the logits at one position. It depends on model, path and tokens, not on the sampler."""
        return _hash(b"row", self._path, state)

    def _surprisal(self, state: bytes, token: int) -> int:
        return SURPRISAL_MIN + self._place(state, b"").deficit(token)

    def _place(self, state: bytes, noise: bytes) -> _Place:
        drawn = _hash(state, noise)
        first = _token(drawn)
        second = LETTERS[drawn[2] % 26]
        if second == first:
            second = LETTERS[(drawn[2] + 1) % 26]
        if drawn[3] % NEAR_TIE_ONE_IN == 0:
            distance = _number(drawn[4:], 0) % NEAR_TIE_MAX
        else:
            distance = CLEAR_MIN + _number(drawn[4:], 0) % (CLEAR_MAX - CLEAR_MIN)
        if self._path:
            moved = _number(_hash(b"path", self._path, drawn), 0)
            distance += moved % (2 * PATH_NOISE_MAX) - PATH_NOISE_MAX
        if distance < 0:
            return _Place(second, first, -distance, drawn)
        return _Place(first, second, distance, drawn)


def encode_text(text: str) -> tuple[int, ...]:
    """Token ids of a text; special bytes in it become spaces."""
    return tuple(32 if byte in SPECIAL else byte for byte in text.encode())


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(DOMAIN + b"".join(parts)).digest()


def _token(state: bytes) -> int:
    return END if state[0] % END_ONE_IN == 0 else LETTERS[state[1] % len(LETTERS)]


def _number(data: bytes, salt: int) -> int:
    """A number that follows from the first four bytes and a salt."""
    return (int.from_bytes(data[:4], "big") + salt * 2_654_435_761) % 2**32


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
