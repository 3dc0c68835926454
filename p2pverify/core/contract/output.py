"""What an engine is asked, and what it answers: two values that travel whole through the package."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_bytes, as_text, digest, read_tokens
from p2pverify.core.errors import DecodeError

OUTPUT = "p2pverify/output/2"
FINISHES = ("stop", "length")
NO_LOGITS = bytes(32)  # for an engine that does not show its logits, or does not repeat them exactly

NO_KEY = bytes(32)  # for a greedy sampler, which draws nothing


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to an engine: the prompt's token ids, the most tokens of the answer, and how to sample them.

    `temperature_milli` is the temperature times 1000; the sampling is greedy at 0, and Gumbel-max otherwise.
    `sampler_key` (32 B) and a token's place draw the noise. A greedy answer does not depend on it.
    """

    prompt: tuple[int, ...]
    tokens_max: int
    temperature_milli: int
    sampler_key: bytes

    def to_value(self) -> list[object]:
        return [list(self.prompt), self.tokens_max, self.temperature_milli, self.sampler_key]


@dataclass(frozen=True, slots=True)
class Output:
    """An engine's answer: token ids, the reason of its end, and the logits; never text.

    `finish` is "stop" if the last token ends an answer, else "length". `logits` is the SHA-256 over the rows of logits
    from which the tokens were picked, in order, as little-endian bytes of the engine's own type. It is NO_LOGITS if the
    engine does not show them.
    """

    tokens: tuple[int, ...]
    finish: str
    logits: bytes = NO_LOGITS

    def to_value(self) -> list[object]:
        return [list(self.tokens), self.finish, self.logits]

    def digest(self, question: bytes) -> bytes:
        """The digest (32 B) of this answer to a question, which is named by its id."""
        return digest([OUTPUT, question, *self.to_value()])


def read_output(fields: Sequence[Value], tokens_max: int) -> Output:
    """Read the three decoded fields of an `Output`. Raises DecodeError."""
    tokens, finish, logits = fields
    return Output(
        read_tokens(tokens, "tokens", tokens_max),
        _finish(finish),
        as_bytes(logits, "logits digest", size=32),
    )


def _finish(value: Value) -> str:
    finish = as_text(value, "finish", 8)
    if finish not in FINISHES:
        raise DecodeError("unknown finish")
    return finish
