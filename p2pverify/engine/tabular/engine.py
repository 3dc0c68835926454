"""A tabular model as an engine: a prompt is a row, and an answer is a label with its probability.

    prompt = one token for each feature of the schema: the number of the row plus 32768
    answer = the number of the label, then 65536 plus the probability of the likeliest label in thousandths

The label is drawn as tokens of other engines are: the likeliest at temperature 0, else by the sampler with the
question's key. All arithmetic is exact (see `numbers`), so there is one numeric path.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.data.schema import GRID_POINTS
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import TokenScores
from p2pverify.engine import margins, sampler
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import weights
from p2pverify.engine.tabular import words
from p2pverify.engine.tabular.model import MODEL_BYTES_MAX, TabularModel, decode_model
from p2pverify.engine.tabular.numbers import ONE_Q12, Ints, softmax
from p2pverify.node.ports import GENERATE, LOGITS, SCORE, WRITE, Generated, Hear, ModelInfo, unheard

ENGINE, NUMERIC_PATH = "tabular/1", "integer"
CONTEXT_TOKENS = 8192
PROMPT = b"p2pverify/tabular/prompt/1\0"
#: What stands for the chat template: prompts have none.
TEMPLATE = b"p2pverify/tabular/template/1"
SEED_BYTES = 16
#: The deficit and the surprisal of a second token that is not the right one: 2 nats, the most that a token counts.
WRONG_MICRONATS = 2_000_000


class TabularEngine:
    """Fulfils the node's `Engine` port. An answer takes microseconds. Any thread may call it."""

    def __init__(self, model: TabularModel, name: str = "tabular") -> None:
        self.model = model
        self._info = ModelInfo(
            model=name,
            weights_sha256=model.digest,
            tokenizer_sha256=model.schema.id,
            template_sha256=sha256(TEMPLATE),
            engine=ENGINE,
            numeric_path=NUMERIC_PATH,
            quantisation="Q16",
            licence="",
            context_tokens=CONTEXT_TOKENS,
            vocab_tokens=words.VOCAB_TOKENS,
            can=frozenset((GENERATE, LOGITS, SCORE, WRITE)),
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        """A row whose numbers lie between those of the schema's grid; it follows from a 16-byte seed.

        Each number lies between two neighbours of its feature's grid, both ends included. The words of SHAKE-256 of the
        seed draw which two, and where between them. Raises ValueError if a row has more tokens than `tokens_max`.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a prompt's seed has {SEED_BYTES} bytes, not {len(seed)}")
        features = self.model.schema.features
        if tokens_max < len(features):
            raise ValueError(f"a row has {len(features)} tokens, and a prompt may have {tokens_max}")
        drawn = hashlib.shake_256(PROMPT + seed).digest(4 * len(features))
        cells = []
        for at, feature in enumerate(features):
            place, part = (int.from_bytes(drawn[4 * at + half : 4 * at + half + 2], "big") for half in (0, 2))
            low, high = feature.grid[place % (GRID_POINTS - 1) :][:2]
            cells.append(low + (high - low) * part // (2**16 - 1))
        return words.tokens_of(cells)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        """Answer a row. Raises ValueError if the prompt is no row of the schema, or does not fit."""
        rows = self._rows(ask, ask.tokens_max)
        logits = _floats(rows[0])
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        milli = ask.temperature_milli
        label = sampler.sample(logits, milli, key, 0) if milli else sampler.greedy(logits)
        tokens = (label, words.permille_token(rows[1]))[: ask.tokens_max]
        hear(tokens)
        return Generated(Output(tokens, "stop" if len(tokens) == len(rows) else "length", _digest(rows, tokens)), 0, 0)

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        """Score claimed tokens: see `Engine.score`. The margins of the first are those of the logits."""
        rows = self._rows(ask, max(1, len(tokens)))
        if not tokens or any(not 0 <= token < words.VOCAB_TOKENS for token in tokens):
            raise ValueError("there are no tokens to score, or one is not in the vocabulary")
        right = words.permille_token(rows[1])
        key = sampler.philox_key(sampler.ANSWER, ask.sampler_key)
        label = tokens[0]
        known = label if label < len(rows[0]) else 0
        deficit, surprisal, best = margins.margin(_floats(rows[0]), known, ask.temperature_milli, key, 0)
        if known != label:
            deficit = surprisal = WRONG_MICRONATS
        wrong = [0 if token == right else WRONG_MICRONATS for token in tokens[1:]]
        return TokenScores(
            (deficit, *wrong),
            (surprisal, *wrong),
            (best, *(right for _ in wrong)),
            tuple(map(words.ends, tokens)),
            _digest(rows, tokens),
        )

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        """The row of a text such as "mean radius = 17.99; mean texture = 10.38". Features without a value are average.

        A text without "=" names no feature. There is no system message. Raises ValueError for an unknown feature, or a
        value that is no decimal number.
        """
        del system
        return words.row_of(self.model.schema, text)

    def encode_text(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer such as "malignant 0.973", or of a row. Raises ValueError as `encode_chat` does."""
        return words.answer_of(self.model.schema, text) or self.encode_chat(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of an answer or of a row. Raises ValueError for a token outside the vocabulary."""
        return words.text_of(self.model.schema, tokens)

    def close(self) -> None:
        """Does nothing."""

    def _rows(self, ask: Ask, tokens_max: int) -> tuple[Ints, Ints]:
        """What the two tokens are picked from: logits in Q12 (labels,), and probabilities in Q16 (labels,)."""
        if tokens_max < 1 or ask.temperature_milli < 0:
            raise ValueError("no token is asked for, or the temperature is negative")
        if len(ask.prompt) + tokens_max > CONTEXT_TOKENS:
            raise ValueError(f"{len(ask.prompt)} tokens and {tokens_max} more do not fit a context of {CONTEXT_TOKENS}")
        cells = words.cells_of(self.model.schema, ask.prompt)
        logits = self.model.forward(np.array([cells], np.int16))[1]
        return logits[0], softmax(logits)[0]


def open_model(path: Path, expected: bytes | None, progress: weights.Progress | None) -> TabularEngine:
    """The engine of a model's file, whose SHA-256 (32 B) is compared if given. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            data = file.read(MODEL_BYTES_MAX + 1)
        found = decode_model(data)
    except OSError as error:
        raise WeightsError(f"cannot read the weights at {path}: {error.strerror}") from None
    except DecodeError as error:
        raise WeightsError(f"{path} is no file of a tabular model: {error.reason}") from None
    weights.check(path, expected, progress)
    return TabularEngine(found, path.stem[:64])


def _floats(logits: Ints) -> margins.Logits:
    """Logits for the sampler: the nearest float32 of each. One division by a power of two changes no bit but those."""
    return logits.astype(np.float32) / np.float32(ONE_Q12)


def _digest(rows: tuple[Ints, Ints], tokens: Sequence[int]) -> bytes:
    """SHA-256 over the rows of an answer's tokens, as little-endian integers of 64 bits."""
    return sha256(b"".join(row.astype("<i8").tobytes() for row in rows[: len(tokens)]))
