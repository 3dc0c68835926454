"""The tokens of tabular models, and their texts.

0 to 65535      a number of a row plus 32768; in an answer, the first tokens are labels
65536 to 66536  a probability in thousandths plus 65536: the end of an answer
"""

import json
from collections.abc import Sequence
from fractions import Fraction

from p2pverify.core.contract.history.training import ONE_Q16
from p2pverify.core.data.schema import CELL_MAX, MICRO, ONE, DataFeature, Schema
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.node.clients.language import Message, PromptError

CELL_ZERO = 32_768
PERMILLE_ZERO = 65_536
PERMILLE = 1000
VOCAB_TOKENS = PERMILLE_ZERO + PERMILLE + 1
TEXT_CHARS_MAX = 32_768


def tokens_of(cells: Sequence[int]) -> tuple[int, ...]:
    """The prompt of a row's numbers."""
    return tuple(cell + CELL_ZERO for cell in cells)


def cells_of(schema: Schema, prompt: Sequence[int]) -> list[int]:
    """The numbers of a row. Raises ValueError if a prompt is no row of the schema."""
    if len(prompt) != len(schema.features):
        raise ValueError(f"a row has {len(schema.features)} tokens, not {len(prompt)}")
    cells = [token - CELL_ZERO for token in prompt]
    if any(abs(cell) > CELL_MAX for cell in cells):
        raise ValueError("a token is no number of a row")
    return cells


def permille_token(shares: Ints) -> int:
    """The token of the greatest of some probabilities in Q16, in thousandths, rounded half up."""
    return PERMILLE_ZERO + (int(shares.max()) * PERMILLE + ONE_Q16 // 2) // ONE_Q16


def ends(token: int) -> bool:
    """Whether a token ends an answer."""
    return token >= PERMILLE_ZERO


def row_of(schema: Schema, text: str) -> tuple[int, ...]:
    """The prompt of a text "name = value; name = value"; features without a value have the number 0.

    Raises ValueError for an unknown feature, or a value that is no decimal number.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"the text has more than {TEXT_CHARS_MAX} characters")
    return _row(schema, _named_values(text))


def _named_values(text: str) -> dict[str, Fraction]:
    values: dict[str, Fraction] = {}
    for part in text.split(";") if "=" in text else ():
        if not part.strip():
            continue
        name, _, value = part.rpartition("=")
        try:
            values[name.strip()] = _decimal(value.split()[0])
        except (ValueError, IndexError):
            raise ValueError(f"{part.strip()[:80]!r} is not the name of a feature, '=', and a decimal number") from None
    return values


def _json_values(text: str) -> dict[str, Fraction]:
    """The values of a JSON object of numbers, or of texts that are decimal numbers. Raises ValueError."""
    try:
        found = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise ValueError("the row is no JSON object") from None
    if not isinstance(found, dict):
        raise ValueError("the row is no JSON object")
    values: dict[str, Fraction] = {}
    for name, value in found.items():
        try:
            values[name] = _decimal(value if isinstance(value, str) else "")
        except ValueError:
            raise ValueError(f"{name[:64]!r} has no decimal number") from None
    return values


def _row(schema: Schema, values: dict[str, Fraction]) -> tuple[int, ...]:
    unknown = values.keys() - {feature.name for feature in schema.features}
    if unknown:
        raise ValueError(f"the schema has no feature {min(unknown)[:64]!r}")
    return tokens_of([one.cell(values[one.name]) if one.name in values else 0 for one in schema.features])


class TabularLanguage:
    """Fulfils the node's `Language` port for models of rows of one schema.

    A client's message is a row: "name = value; name = value", or a JSON object of names and numbers. The text of an
    answer is a label and its probability.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    @property
    def vocab_tokens(self) -> int:
        """See the port."""
        return VOCAB_TOKENS

    def chat(self, messages: Sequence[Message], tokens_max: int) -> tuple[int, ...]:
        """The row of a conversation of one user's message. Raises PromptError."""
        if [one.role for one in messages] != ["user"]:
            raise PromptError("template_error", "a model of rows takes one user's message, which is a row")
        return self.plain(messages[0].content, tokens_max)

    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A row has nothing around it."""
        return (), ()

    def plain(self, text: str, tokens_max: int) -> tuple[int, ...]:
        """The row of a text. Features without a value are average. Raises PromptError."""
        if len(text) > TEXT_CHARS_MAX:
            raise PromptError("context_length_exceeded", f"the row has more than {TEXT_CHARS_MAX} characters")
        try:
            values = _json_values(text) if text.lstrip().startswith("{") else _named_values(text)
            row = _row(self._schema, values)
        except ValueError as error:
            raise PromptError("template_error", f"this model takes a row of numbers: {error}") from None
        if not values:
            some = "; ".join(f"{one.name} = 0" for one in self._schema.features[:2])
            raise PromptError("template_error", f"this model takes a row of numbers, such as '{some}'")
        if len(row) > tokens_max:
            raise PromptError("context_length_exceeded", f"a row has {len(row)} tokens, and {tokens_max} fit")
        return row

    def piece(self, token: int) -> bytes:
        """The name of a label, or a blank and a probability; empty for any other token."""
        labels = self._schema.labels
        if 0 <= token < len(labels):
            return labels[token].encode()
        return f" {(token - PERMILLE_ZERO) / PERMILLE:.3f}".encode() if PERMILLE_ZERO <= token < VOCAB_TOKENS else b""


def answer_of(schema: Schema, text: str) -> tuple[int, ...]:
    """The tokens of a label's name, with or without its probability. Empty if the text is no answer."""
    name, _, share = text.strip().rpartition(" ")
    if text.strip() in schema.labels:
        return (schema.labels.index(text.strip()),)
    try:
        permille = _decimal(share) * PERMILLE
    except ValueError:
        return ()
    if name not in schema.labels or permille.denominator != 1 or not 0 <= permille <= PERMILLE:
        return ()
    return (schema.labels.index(name), PERMILLE_ZERO + int(permille))


def text_of(schema: Schema, tokens: Sequence[int]) -> str:
    """The text of an answer or of a row; tokens that are neither as numbers. Raises ValueError for other tokens."""
    if any(not 0 <= token < VOCAB_TOKENS for token in tokens):
        raise ValueError(f"a token is not in the vocabulary of {VOCAB_TOKENS}")
    is_answer = bool(tokens) and tokens[0] < len(schema.labels) and (len(tokens) == 1 or ends(tokens[1]))
    if is_answer and len(tokens) <= 2:
        share = f" {(tokens[1] - PERMILLE_ZERO) / PERMILLE:.3f}" if len(tokens) == 2 else ""
        return schema.labels[tokens[0]] + share
    if len(tokens) == len(schema.features) and all(0 < token < PERMILLE_ZERO for token in tokens):
        pairs = zip(schema.features, tokens, strict=True)
        return "; ".join(f"{one.name} = {_value(one, token - CELL_ZERO)}" for one, token in pairs)
    return " ".join(map(str, tokens))


def _value(feature: DataFeature, cell: int) -> str:
    """A value in the feature's unit that has this number, in as few decimals as say it."""
    exact = (Fraction(cell * feature.scale, ONE) + feature.offset) / MICRO
    decimals = 0
    while feature.cell(Fraction(_spelt(exact, decimals))) != cell and decimals < 18:
        decimals += 1
    return _spelt(exact, decimals)


def _spelt(exact: Fraction, decimals: int) -> str:
    """A number with so many decimals, rounded half up."""
    units = (exact * 10**decimals + Fraction(1, 2)).__floor__()
    whole, part = divmod(abs(units), 10**decimals)
    return f"{'-' if units < 0 else ''}{whole}" + (f".{part:0{decimals}d}" if decimals else "")


def _decimal(text: str) -> Fraction:
    """A decimal number of at most 40 characters. Raises ValueError."""
    digits = text.strip()
    plain = digits.removeprefix("-").replace(".", "", 1)
    if len(digits) > 40 or not (plain.isascii() and plain.isdecimal()):
        raise ValueError(text[:40])
    return Fraction(digits)
