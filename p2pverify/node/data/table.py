"""Tables of people, in CSV or JSON lines, and the TOML file of a schema: read exactly, without floats.

Errors name the line and the column, never the value, because values are private.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from p2pverify.core.data.schema import (
    CELL_MAX,
    GRID_POINTS,
    MICRO,
    SCHEMA_BYTES_MAX,
    DataFeature,
    Schema,
)
from p2pverify.core.data.texts import RowSchema, TextSchema, decode_row_schema
from p2pverify.core.errors import DecodeError
from p2pverify.node.files.textfile import FileError, lines_of, read_bytes, text_of
from p2pverify.node.files.tomlfile import load_table

TABLE_BYTES_MAX = 256 * 1024 * 1024
#: Rows of one data set on this machine.
TABLE_ROWS_MAX = 1_000_000
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{0,30})?([eE][+-]?\d{1,2})?", re.ASCII)
_CORRECT = "correct the file, or leave the row out of it"


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """One feature in a schema file; its numbers are decimal texts in the feature's unit.

    The grid is a list of 17 values, or 17 equally spaced values from `low` to `high`.
    """

    name: str
    unit: str = ""
    offset: str = "0"
    scale: str = "1"
    low: str = ""
    high: str = ""
    grid: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SchemaTable:
    """A whole schema file: of numbers and a label, or of the column `text` of texts of up to `bytes_max` bytes."""

    label: str = ""
    labels: tuple[str, ...] = ()
    feature: tuple[FeatureTable, ...] = ()
    text: str = ""
    bytes_max: int = 0


def load_schema(path: Path) -> Schema:
    """Read a schema file of numbers and a label. Raises FileError."""
    found = load_row_schema(path)
    if isinstance(found, TextSchema):
        raise FileError(path, "is a schema of texts", "name one of numbers and a label")
    return found


def load_row_schema(path: Path) -> RowSchema:
    """Read a schema file of either kind. Raises FileError."""
    missing = "write one: protocol/data.md shows an example"
    table = load_table(path, SchemaTable, size_max=SCHEMA_BYTES_MAX, missing=missing)
    try:
        if table.text:
            if table.label or table.labels or table.feature:
                raise ValueError("a schema of texts has no features and no label")
            return decode_row_schema(TextSchema(table.text, table.bytes_max).encode())
        if not table.label:
            raise ValueError("'label' is missing")
        features = tuple(_feature(each) for each in table.feature)
        return decode_row_schema(Schema(features, table.label, table.labels).encode())
    except (ValueError, DecodeError) as error:
        raise FileError(path, str(error), "correct the schema: protocol/data.md has the limits") from None


def _feature(given: FeatureTable) -> DataFeature:
    offset, scale = (_micro(given.name, key, getattr(given, key)) for key in ("offset", "scale"))
    if scale < 1:
        raise ValueError(f"feature {given.name!r}: scale is not above 0")
    feature = DataFeature(given.name, given.unit, offset, scale, ())
    if given.grid:
        points = [_decimal(given.name, "grid", text) for text in given.grid]
    else:
        low, high = (_decimal(given.name, key, getattr(given, key)) for key in ("low", "high"))
        points = [low + (high - low) * place / (GRID_POINTS - 1) for place in range(GRID_POINTS)]
    grid = tuple(feature.cell(point) for point in points)
    if len(grid) != GRID_POINTS or any(abs(point) == CELL_MAX for point in grid):
        raise ValueError(f"feature {given.name!r}: the grid has not {GRID_POINTS} values within 8 scales of the offset")
    return DataFeature(given.name, given.unit, offset, scale, grid)


def _micro(name: str, key: str, text: str) -> int:
    value = _decimal(name, key, text) * MICRO
    if value.denominator != 1:
        raise ValueError(f"feature {name!r}: {key} has more than six decimal places")
    return value.numerator


def _decimal(name: str, key: str, text: str) -> Fraction:
    found = read_number(text)
    if found is None:
        raise ValueError(f"feature {name!r}: {key} is not a decimal number in quotes")
    return found


def read_number(text: str) -> Fraction | None:
    """A decimal number, exactly; None for any other text."""
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def load_rows(path: Path, schema: RowSchema) -> list[bytes]:
    """The rows of a table in their order, as canonical bytes. Raises FileError.

    The file is CSV with a line of names first, or has one JSON object a line if its name ends in `.jsonl`. Columns that
    the schema does not name are left out.
    """
    text = text_of(path, read_bytes(path, size_max=TABLE_BYTES_MAX, missing="name a CSV or JSONL file"))
    found = _json_lines(path, text) if path.suffix == ".jsonl" else _csv_lines(path, text, schema)
    rows = [_row(path, schema, line, values) for line, values in found]
    if not 0 < len(rows) <= TABLE_ROWS_MAX:
        raise FileError(path, f"has no rows, or more than {TABLE_ROWS_MAX}", "split it into several data sets")
    return rows


def _csv_lines(path: Path, text: str, schema: RowSchema) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(lines_of(text), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if missing := sorted({*schema.columns} - set(names)):
            raise FileError(path, f"has no column {missing[0]!r}", "its first line has the names of the columns")
        if len(set(names)) != len(names):
            raise FileError(path, "has two columns of one name", "rename one of them")
        for values in reader:
            if values:
                if len(values) != len(names):
                    raise FileError(path, f"line {reader.line_num}: not {len(names)} values", _CORRECT)
                yield reader.line_num, dict(zip(names, map(str.strip, values), strict=True))
    except csv.Error:
        raise FileError(path, f"line {reader.line_num}: not CSV", "correct the quotes in that line") from None


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            values: Any = json.loads(line, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise FileError(path, f"line {number}: not a JSON object", _CORRECT)
        yield number, {name: value for name, value in values.items() if isinstance(value, str)}


def _row(path: Path, schema: RowSchema, line: int, values: Mapping[str, str]) -> bytes:
    if isinstance(schema, TextSchema):
        text = values.get(schema.column, "").encode(errors="surrogatepass")
        try:
            schema.check(text)
        except DecodeError as error:
            raise FileError(path, f"line {line}: column {schema.column!r}: {error.reason}", _CORRECT) from None
        return text
    cells: list[Fraction] = []
    for feature in schema.features:
        cell = read_number(values.get(feature.name, ""))
        if cell is None:
            raise FileError(path, f"line {line}: no number in column {feature.name!r}", _CORRECT)
        cells.append(cell)
    label = _place(schema.labels, values.get(schema.label, ""))
    if label is None:
        raise FileError(path, f"line {line}: none of the schema's labels in column {schema.label!r}", _CORRECT)
    return schema.row(cells, label)


def _place(labels: Sequence[str], text: str) -> int | None:
    return labels.index(text) if text in labels else None
