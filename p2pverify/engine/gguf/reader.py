"""Reads the head of a GGUF file: its metadata and the places of its tensors.

It reads only the fields that this package uses: scalars, the tokenizer's digest and token types, and the layout that
`prune` needs. It does not read the numbers in the tensors. The format is described in docs/gguf.md of the ggml project,
version 3, little endian.
"""

import hashlib
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from p2pverify.engine.errors import WeightsError

MAGIC = b"GGUF"
VERSION = 3
ENTRIES_MAX = 4096
TENSORS_MAX = 65_536
ARRAY_MAX = 2_000_000
STRING_BYTES_MAX = 1 << 20
DIMENSIONS_MAX = 4
DEFAULT_ALIGNMENT = 32
ALIGNMENT_MAX = 65_536

STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
QUANTISATIONS = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 32: "BF16"} | dict(
    enumerate(("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"), 10)
)
NORMAL_TOKEN, UNKNOWN_TOKEN, CONTROL_TOKEN, USER_TOKEN = 1, 2, 3, 4

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One metadata entry: its range of bytes in the file, with the key, and the start of its value."""

    key: str
    kind: int
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's description. `offset` counts bytes from the data section's start; `size` (bytes) includes padding."""

    name: str
    dimensions: tuple[int, ...]
    kind: int
    offset: int
    size: int


class Cursor:
    """Reads the head of the file from start to end. Every read is bounded by the file's length."""

    def __init__(self, data: "mmap.mmap | bytes") -> None:
        self.data = data
        self.at = 0

    def skip(self, count: int) -> int:
        """Step over `count` bytes and return their offset. Raises WeightsError."""
        start = self.at
        if count < 0 or start + count > len(self.data):
            raise WeightsError("the GGUF file ends in the middle of its head")
        self.at = start + count
        return start

    def scalar(self, layout: str) -> int | float | bool:
        start = self.skip(struct.calcsize(layout))
        value: int | float | bool = struct.unpack_from(layout, self.data, start)[0]
        return value

    def count(self, layout: str, limit: int, what: str) -> int:
        value = int(self.scalar(layout))
        if value > limit:
            raise WeightsError(f"the GGUF file claims {value} for {what}, and at most {limit} is read")
        return value

    def string(self) -> bytes:
        size = self.count("<Q", STRING_BYTES_MAX, "a string's length")
        start = self.skip(size)
        return bytes(self.data[start : start + size])

    def text(self) -> str:
        try:
            return self.string().decode()
        except UnicodeDecodeError:
            raise WeightsError("the GGUF file has a name that is not UTF-8") from None

    def skip_value(self, kind: int) -> None:
        if kind in SCALARS:
            self.skip(struct.calcsize(SCALARS[kind]))
        elif kind == STRING:
            self.skip(self.count("<Q", STRING_BYTES_MAX, "a string's length"))
        elif kind == ARRAY:
            self._skip_array()
        else:
            raise WeightsError(f"the GGUF file has a value of unknown type {kind}")

    def _skip_array(self) -> None:
        kind = int(self.scalar("<I"))
        count = self.count("<Q", ARRAY_MAX, "an array's length")
        if kind in SCALARS:
            self.skip(count * struct.calcsize(SCALARS[kind]))
        elif kind == STRING:
            self._skip_strings(count)
        else:
            raise WeightsError(f"the GGUF file has an array of unknown type {kind}")

    def _skip_strings(self, count: int) -> None:
        """Step over strings. A vocabulary has 100,000 of them, so nothing is called for each good one."""
        data, last = self.data, len(self.data) - 8
        length_at = struct.Struct("<Q").unpack_from
        for _ in range(count):
            size = length_at(data, self.at)[0] if self.at <= last else STRING_BYTES_MAX + 1
            if size > STRING_BYTES_MAX:
                size = self.count("<Q", STRING_BYTES_MAX, "a string's length")
            self.at += 8 + size
        self.skip(0)


@dataclass(frozen=True, slots=True)
class FileHead:
    """The head of a GGUF file, and the bytes it was read from."""

    data: bytes  # everything before the data section
    entries: dict[str, MetadataEntry]
    tensors: tuple[Tensor, ...]
    data_start: int
    alignment: int

    def scalar(self, key: str) -> Scalar:
        """A scalar or string of the metadata. Raises WeightsError if it is absent or an array."""
        entry = self.entries.get(key)
        if entry is None:
            raise WeightsError(f"the GGUF file lacks {key}")
        if entry.kind == ARRAY:
            raise WeightsError(f"{key} in the GGUF file is a list, and one value is expected")
        cursor = Cursor(self.data)
        cursor.at = entry.value
        return cursor.text() if entry.kind == STRING else cursor.scalar(SCALARS[entry.kind])

    def text(self, key: str, default: str) -> str:
        return str(self.scalar(key)) if key in self.entries else default

    def number(self, key: str) -> int:
        value = self.scalar(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise WeightsError(f"{key} in the GGUF file is not an integer")
        return value

    @property
    def quantisation(self) -> str:
        kind = self.number("general.file_type")
        return QUANTISATIONS.get(kind, f"file-type-{kind}")

    def context_tokens(self) -> int:
        """The context length, in tokens, that the model was trained for. Raises WeightsError."""
        return self.number(f"{self.scalar('general.architecture')}.context_length")

    def tokenizer_sha256(self) -> bytes:
        """SHA-256 over the raw entries (key, type, value) named tokenizer.ggml.*, in the order of their keys.

        The entries hold the tokens, their types, the merges, the pre-tokenizer's name and the special ids: everything
        that token ids depend on. The chat template is not one of them, because it has its own digest.
        """
        found = sorted(key for key in self.entries if key.startswith("tokenizer.ggml."))
        if not found:
            raise WeightsError("the GGUF file has no tokenizer")
        digest = hashlib.sha256()
        for key in found:
            digest.update(self.data[self.entries[key].start : self.entries[key].end])
        return digest.digest()

    def special_tokens(self) -> tuple[int, ...]:
        """Ids of all tokens that are not ordinary text (control, unknown, unused, user-defined, byte)."""
        return tuple(token for token, kind in enumerate(self.token_types()) if kind != NORMAL_TOKEN)

    def token_types(self) -> tuple[int, ...]:
        """The type of each token (NORMAL_TOKEN, ...). Raises WeightsError."""
        entry = self.entries.get("tokenizer.ggml.token_type")
        if entry is None or entry.kind != ARRAY:
            raise WeightsError("the GGUF file lacks tokenizer.ggml.token_type")
        kind, count = struct.unpack_from("<IQ", self.data, entry.value)
        if kind not in {4, 5}:
            raise WeightsError("the token types in the GGUF file are not 32-bit integers")
        return struct.unpack_from(f"<{count}i", self.data, entry.value + 12)


def read_head(path: Path) -> FileHead:
    """Read the head of a GGUF file. Raises WeightsError for anything that is not well-formed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return parse_head(data)
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from None


def parse_head(data: "mmap.mmap | bytes") -> FileHead:
    """Parse the bytes of a whole GGUF file and keep only the head. Raises WeightsError."""
    cursor = Cursor(data)
    start = cursor.skip(4)
    if data[start : start + 4] != MAGIC or cursor.scalar("<I") != VERSION:
        raise WeightsError(f"not a GGUF file of version {VERSION}")
    tensor_count = cursor.count("<Q", TENSORS_MAX, "the number of tensors")
    entry_count = cursor.count("<Q", ENTRIES_MAX, "the number of entries")
    entries = {entry.key: entry for entry in (_entry(cursor) for _ in range(entry_count))}
    described = [_described(cursor) for _ in range(tensor_count)]
    alignment = DEFAULT_ALIGNMENT
    if "general.alignment" in entries:
        alignment = FileHead(bytes(data[: cursor.at]), entries, (), 0, 0).number("general.alignment")
        if not 0 < alignment <= ALIGNMENT_MAX:
            raise WeightsError(f"the GGUF file's alignment is {alignment}")
    data_start = -(-cursor.at // alignment) * alignment
    tensors = _with_sizes(described, len(data) - data_start)
    return FileHead(bytes(data[: cursor.at]), entries, tensors, data_start, alignment)


def _entry(cursor: Cursor) -> MetadataEntry:
    start = cursor.at
    key = cursor.text()
    kind = int(cursor.scalar("<I"))
    value = cursor.at
    cursor.skip_value(kind)
    return MetadataEntry(key, kind, start, value, cursor.at)


def _described(cursor: Cursor) -> Tensor:
    name = cursor.text()
    rank = cursor.count("<I", DIMENSIONS_MAX, "a tensor's rank")
    dimensions = tuple(int(cursor.scalar("<Q")) for _ in range(rank))
    return Tensor(name, dimensions, int(cursor.scalar("<I")), int(cursor.scalar("<Q")), 0)


def _with_sizes(described: list[Tensor], data_size: int) -> tuple[Tensor, ...]:
    """Sizes follow from the offsets: a tensor ends where the next one begins."""
    offsets = sorted({tensor.offset for tensor in described})
    if not described:
        return ()
    if len(offsets) != len(described) or offsets[-1] >= data_size:
        raise WeightsError("the GGUF file's tensors overlap or lie outside it")
    end_of = dict(zip(offsets, [*offsets[1:], data_size], strict=True))
    return tuple(
        Tensor(one.name, one.dimensions, one.kind, one.offset, end_of[one.offset] - one.offset) for one in described
    )
