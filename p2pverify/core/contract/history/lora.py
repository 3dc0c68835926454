"""What the training rule of a language model says beside the common fields. Protocol page: protocol/lora.md.

The trainer torch-lora/1 computes in 32-bit floats, whose bits belong to a class. A rule names one class, and the
digest that a machine of it gives for a training of drawn rows.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint
from p2pverify.core.errors import DecodeError

LORA = "torch-lora/1"
RANK_MAX = 64
ROW_TOKENS_MAX = 1024
STEPS_MAX = 4096
#: Inclusive bounds of the numbers, in wire order.
LORA_BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("rank", 1, RANK_MAX),
    ("tokens", 2, ROW_TOKENS_MAX),
    ("steps", 1, STEPS_MAX),
)


@dataclass(frozen=True, slots=True)
class LoraRule:
    """Fields in wire order. `path` is the name of the numeric path, and `golden` (32 B) the proof of the class."""

    rank: int  # of the adapter's matrices
    tokens: int  # of a row that count; what follows them is not read
    steps: int  # after so many steps a training ends
    path: str
    golden: bytes

    def to_value(self) -> list[object]:
        return [self.rank, self.tokens, self.steps, self.path, self.golden]


def read_lora(value: Value) -> LoraRule:
    """Raises DecodeError."""
    *numbers, path, golden = as_array(value, "training lora", length=len(LORA_BOUNDS) + 2)
    values: dict[str, int] = {}
    for (name, low, high), item in zip(LORA_BOUNDS, numbers, strict=True):
        values[name] = number = as_uint(item, name, high)
        if number < low:
            raise DecodeError(f"{name} is below {low}")
    found = LoraRule(**values, path=as_text(path, "path", 64), golden=as_bytes(golden, "golden", size=32))
    if not found.path or not found.path.isprintable():
        raise DecodeError("path is not a printable name")
    return found
