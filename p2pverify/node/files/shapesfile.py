"""The file of a table of shapes, which `network shapes` writes and `network new` reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.shapes import RequestShape, read_shapes, shapes_value
from p2pverify.core.errors import DecodeError
from p2pverify.node.files.networktable import ShapeRow, shape_lines
from p2pverify.node.files.textfile import FileError
from p2pverify.node.files.tomlfile import load_table

SHAPES_FILE_BYTES_MAX = 65_536


@dataclass(frozen=True, kw_only=True)
class ShapesTable:
    """The whole file."""

    shapes: tuple[ShapeRow, ...]


def load_shapes(path: Path) -> tuple[RequestShape, ...]:
    """Read a file of at most 64 KiB. The order of its rows does not matter. Raises FileError."""
    missing = "make one with 'p2pverify network shapes'"
    table = load_table(path, ShapesTable, size_max=SHAPES_FILE_BYTES_MAX, missing=missing)
    shapes = [RequestShape(*row) for row in sorted(table.shapes, key=lambda row: row[1:])]
    try:
        if any(number < 0 for row in table.shapes for number in row):
            raise DecodeError("a number is negative")
        return read_shapes(shapes_value(shapes))
    except DecodeError as error:
        raise FileError(path, error.reason, "correct the rows in it") from None


def dump_shapes(shapes: Sequence[RequestShape]) -> str:
    """The text of a file."""
    return "\n".join(shape_lines(shapes)) + "\n"
