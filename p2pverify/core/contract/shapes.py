"""The shapes of owed questions, if the contract has a table of what its clients' requests look like.

Each slot draws one row of the table by its weight, and then its lengths within the row. So owed questions follow the
observed lengths, and a responder cannot tell them from the requests of clients by these values.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate

from p2pverify.core.encoding.canon import Value, as_array, as_uint, check_sorted
from p2pverify.core.errors import DecodeError

ANSWER_TOKENS_MAX = 1024
PROMPT_TOKENS_MAX = 256
TEMPERATURE_MILLI_MAX = 2000
SHAPES_MAX = 64
#: The context of a node unless its operator takes another one; less is not possible.
USUAL_CONTEXT_TOKENS = 1024
#: Inclusive bounds, in the order of `RequestShape`.
SHAPE_BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("weight", 1, 65_535),
    ("prompt_from", 1, PROMPT_TOKENS_MAX),
    ("prompt_to", 1, PROMPT_TOKENS_MAX),
    ("answer_from", 0, ANSWER_TOKENS_MAX),
    ("answer_to", 0, ANSWER_TOKENS_MAX),
    ("temperature_milli", 0, TEMPERATURE_MILLI_MAX),
)


@dataclass(frozen=True, slots=True)
class RequestShape:
    """One row of the table, in wire order. Lengths in tokens, both ends included.

    The prompt's length is that of the user's turn. If both ends of the answer's length are 0, the shape is open: the
    answer may be as long as the context allows.
    """

    weight: int
    prompt_from: int
    prompt_to: int
    answer_from: int
    answer_to: int
    temperature_milli: int

    @property
    def is_open(self) -> bool:
        return self.answer_to == 0

    def prompt_tokens(self, number: int) -> int:
        """The greatest length of the prompt that a drawn number gives."""
        return self.prompt_from + number % (self.prompt_to - self.prompt_from + 1)

    def answer_tokens(self, number: int) -> int:
        """The greatest length of the answer that a drawn number gives. The shape must not be open."""
        return self.answer_from + number % (self.answer_to - self.answer_from + 1)


def choose_shape(shapes: Sequence[RequestShape], number: int) -> RequestShape:
    """The row that a drawn number gives, each with its weight."""
    sums = list(accumulate(shape.weight for shape in shapes))
    return shapes[bisect_right(sums, number % sums[-1])]


def shapes_value(shapes: Sequence[RequestShape]) -> Value:
    """A table in wire order."""
    return [list(astuple(shape)) for shape in shapes]


def read_shapes(value: Value) -> tuple[RequestShape, ...]:
    """Read a decoded table, which has at least one row. Raises DecodeError."""
    shapes = tuple(_shape(item) for item in as_array(value, "shapes", length_max=SHAPES_MAX))
    if not shapes:
        raise DecodeError("shapes: empty")
    check_sorted([astuple(shape)[1:] for shape in shapes], "shapes")  # so none stands there twice
    return shapes


def _shape(value: Value) -> RequestShape:
    items = as_array(value, "shape", length=len(SHAPE_BOUNDS))
    numbers = []
    for (name, low, high), item in zip(SHAPE_BOUNDS, items, strict=True):
        number = as_uint(item, name, high)
        if number < low:
            raise DecodeError(f"{name} is below {low}")
        numbers.append(number)
    found = RequestShape(*numbers)
    if found.prompt_from > found.prompt_to or found.answer_from > found.answer_to:
        raise DecodeError("a shape's range ends before it begins")
    if found.answer_from == 0 and not found.is_open:
        raise DecodeError("a shape has answers of no tokens")
    return found
