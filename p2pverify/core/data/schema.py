"""The schema of a data set: its features and labels, and how a value becomes an integer of a row.

The publisher fixes offset and scale of each feature. So all owners of rows of a schema write equal values alike, and
no statistic of anybody's rows is in it. Protocol page: protocol/data.md.

    row = one big-endian integer of 16 bits for each feature, in the schema's order, then the label's number in one byte
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from p2pverify.core.encoding.canon import Value, as_array, as_text, decode, encode, sha256
from p2pverify.core.errors import DecodeError

SCHEMA_DOMAIN = "p2pverify/schema/1"
SCHEMA_BYTES_MAX = 65_536
FEATURES_MAX = 256
LABELS_MAX = 256
NAME_BYTES_MAX = 64
UNIT_BYTES_MAX = 32
GRID_POINTS = 17
#: The greatest number of a row; the least is its negative.
CELL_MAX = 2**15 - 1
#: A value that is one scale above the offset becomes this number.
ONE = 4096
#: Offset and scale are in millionths of the feature's unit.
MICRO = 1_000_000
_OFFSET_MAX = 2**62


@dataclass(frozen=True, slots=True)
class DataFeature:
    """One feature of the rows; fields in wire order.

    `offset` and `scale` are in millionths of the unit: the first becomes 0, one scale above it becomes `ONE`. `grid`
    has 17 ascending numbers of rows, from which prompts are written, so that no prompt needs a value of a real row.
    """

    name: str
    unit: str
    offset: int
    scale: int
    grid: tuple[int, ...]

    def cell(self, value: Fraction) -> int:
        """The number in a row for a value in the feature's unit: rounded half up, and cut at ±CELL_MAX."""
        scaled = (value * MICRO - self.offset) * ONE / self.scale
        return max(-CELL_MAX, min(CELL_MAX, (scaled + Fraction(1, 2)).__floor__()))


@dataclass(frozen=True, slots=True)
class Schema:
    """What the rows of a data set mean. `label` names what the `labels` are values of."""

    features: tuple[DataFeature, ...]
    label: str
    labels: tuple[str, ...]

    def encode(self) -> bytes:
        """The canonical bytes. Their SHA-256 is the schema's name on the ledger."""
        features = [[one.name, one.unit, one.offset, one.scale, list(one.grid)] for one in self.features]
        return encode([SCHEMA_DOMAIN, features, self.label, list(self.labels)])

    @property
    def id(self) -> bytes:
        """SHA-256 of the canonical bytes: 32 bytes."""
        return sha256(self.encode())

    @property
    def row_bytes(self) -> int:
        """Bytes of each row."""
        return 2 * len(self.features) + 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that a row needs."""
        return (self.label, *(feature.name for feature in self.features))

    def check(self, row: bytes) -> None:
        """Raises DecodeError if it is no row of this schema."""
        self.cells(row)

    def row(self, values: Sequence[Fraction], label: int) -> bytes:
        """The canonical bytes of a row: a value for each feature, and the number of its label."""
        cells = [one.cell(value) for one, value in zip(self.features, values, strict=True)]
        if not 0 <= label < len(self.labels):
            raise ValueError("no such label")
        return b"".join(cell.to_bytes(2, "big", signed=True) for cell in cells) + bytes([label])

    def cells(self, row: bytes) -> tuple[tuple[int, ...], int]:
        """The numbers of a row, and the number of its label. Raises DecodeError if it is no row of this schema."""
        if len(row) != self.row_bytes:
            raise DecodeError(f"row: not {self.row_bytes} bytes")
        cells = tuple(int.from_bytes(row[at : at + 2], "big", signed=True) for at in range(0, len(row) - 1, 2))
        if -CELL_MAX - 1 in cells:
            raise DecodeError("row: a number is too small")
        if row[-1] >= len(self.labels):
            raise DecodeError("row: no such label")
        return cells, row[-1]


def decode_schema(data: bytes) -> Schema:
    """Read a canonical schema. Raises DecodeError."""
    domain, features, label, labels = as_array(decode(data, size_max=SCHEMA_BYTES_MAX, depth_max=4), "schema", length=4)
    if domain != SCHEMA_DOMAIN:
        raise DecodeError("not a schema")
    found = Schema(
        tuple(_feature(item) for item in as_array(features, "features", length_max=FEATURES_MAX)),
        read_name(label, "label"),
        tuple(read_name(item, "label name") for item in as_array(labels, "labels", length_max=LABELS_MAX)),
    )
    if not found.features or len(found.labels) < 2:
        raise DecodeError("a schema has a feature and two labels")
    names = [one.name for one in found.features]
    if len({*names, found.label}) != len(names) + 1 or len(set(found.labels)) != len(found.labels):
        raise DecodeError("names repeat")
    return found


def read_name(value: Value, what: str) -> str:
    """A name that is safe to show: not empty, printable. Raises DecodeError."""
    name = as_text(value, what, NAME_BYTES_MAX)
    if not name or not name.isprintable():
        raise DecodeError(f"{what}: not a printable name")
    return name


def _feature(value: Value) -> DataFeature:
    name, unit, offset, scale, grid = as_array(value, "feature", length=5)
    points = tuple(_integer(item, "grid", CELL_MAX) for item in as_array(grid, "grid", length=GRID_POINTS))
    if list(points) != sorted(points):
        raise DecodeError("grid: not ascending")
    found = DataFeature(
        read_name(name, "feature name"),
        as_text(unit, "unit", UNIT_BYTES_MAX),
        _integer(offset, "offset", _OFFSET_MAX),
        _integer(scale, "scale", _OFFSET_MAX),
        points,
    )
    if found.unit and not found.unit.isprintable():
        raise DecodeError("unit: not printable")
    if found.scale < 1:
        raise DecodeError("scale is below 1")
    return found


def _integer(value: Value, name: str, most: int) -> int:
    if type(value) is not int or not -most <= value <= most:
        raise DecodeError(f"{name}: not an integer of at most {most}")
    return value
