"""Real rows for the case studies: WDBC, German credit and flight delays, as rows of a schema.

The files lie in the wheels of scikit-learn and dmba, which are found and never imported. The schemas are the files of
`testnet/schemas`. Their offsets and scales are fixed, near the means and deviations of the published tables, so that no
owner's rows decide how another's are written.
"""

import csv
import gzip
import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from p2pverify.core.data.schema import MICRO, ONE, Schema
from p2pverify.engine.tabular.numbers import shuffled
from p2pverify.node.data.table import load_schema, read_number
from p2pverify.resources import resource

SPLIT = b"p2pverify/testnet/split/1\0"
GET_THEM = "run `uv sync --group cases`, or `pip install --no-deps scikit-learn==1.9.1 dmba==0.2.4`"
#: One row in four is held by no peer: the test rows of a case.
TEST_ONE_IN = 4
_PLACES = 18  # of 1 / (ONE * MICRO): twelve for the power of two, six for that of ten
_MEASURES = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points",
             "symmetry", "fractal dimension")  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class CaseDataMissing(Exception):
    """The package with the rows of a case is not installed, or has other files; the message says what to do."""


@dataclass(frozen=True, slots=True)
class CaseData:
    """The rows of a case in their published order, as canonical bytes, with their schema and their licence (SPDX).

    `groups` has what a row belongs to, such as the carrier of a flight; it is "" if the data does not say.
    """

    schema: Schema
    rows: tuple[bytes, ...]
    groups: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True)
class CaseSource:
    """Where the rows of a case are, and how a line of the file becomes values by feature, a label and a group."""

    package: str
    file: str
    licence: str
    lines: Callable[[str], Iterator[tuple[Mapping[str, str], str, str]]]


def load_case(name: str) -> CaseData:
    """The rows of one of CASES. Raises CaseDataMissing."""
    source = CASES[name]
    schema = load_schema(resource("testnet") / "schemas" / f"{name}.toml")
    rows, groups = [], []
    try:
        for values, label, group in source.lines(_text(source)):
            rows.append(schema.row([_number(values[one.name]) for one in schema.features], schema.labels.index(label)))
            groups.append(group)
    except (OSError, KeyError, ValueError) as error:
        raise CaseDataMissing(f"{source.package} has another {source.file} ({error}): {GET_THEM}") from None
    return CaseData(schema, tuple(rows), tuple(groups), source.licence)


def table_of(schema: Schema, rows: Sequence[bytes]) -> str:
    """Rows as a CSV table, whose values give these rows again to the byte."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([*(one.name for one in schema.features), schema.label])
    for row in rows:
        cells, label = schema.cells(row)
        values = [
            Fraction(one.offset * ONE + cell * one.scale, ONE * MICRO)
            for one, cell in zip(schema.features, cells, strict=True)
        ]
        writer.writerow([*map(_decimal, values), schema.labels[label]])
    return lines.getvalue()


def _decimal(value: Fraction) -> str:
    """A number in decimals. It is exact, because its denominator divides a power of ten."""
    scaled = value * 10**_PLACES
    sign, digits = "-" if scaled < 0 else "", f"{abs(scaled.numerator):0{_PLACES + 1}}"
    return f"{sign}{digits[:-_PLACES]}.{digits[-_PLACES:]}"


def split_rows(count: int, sizes: Sequence[int], seed: bytes) -> tuple[list[int], list[list[int]]]:
    """The numbers of the test rows, and of the rows of each peer, drawn from a seed.

    The rows that are not for the test are dealt in proportion to `sizes`.
    """
    order = shuffled(SPLIT, seed, 0, count).tolist()
    test, rest = order[: count // TEST_ONE_IN], order[count // TEST_ONE_IN :]
    ends = [len(rest) * sum(sizes[: at + 1]) // sum(sizes) for at in range(len(sizes))]
    return test, [rest[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _text(source: CaseSource) -> str:
    """The file of a case, unpacked. Raises CaseDataMissing, and OSError if the file cannot be read."""
    found = importlib.util.find_spec(source.package)
    for folder in (found.submodule_search_locations if found else None) or ():
        path = Path(folder) / source.file
        if path.is_file():
            data = path.read_bytes()
            return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    raise CaseDataMissing(f"the rows of {source.package}/{source.file} are not installed: {GET_THEM}")


def _number(text: str) -> Fraction:
    found = read_number(text)
    if found is None:
        raise ValueError("a value is no number")
    return found


def _wdbc(text: str) -> Iterator[tuple[Mapping[str, str], str, str]]:
    """Thirty measures of the nuclei of cells, without a line of names; 0 is malignant."""
    names = [f"{of} {measure}" for of in ("mean", "error of", "worst") for measure in _MEASURES]
    for *values, label in list(csv.reader(io.StringIO(text)))[1:]:
        yield dict(zip(names, values, strict=True)), ("malignant", "benign")[int(label)], ""


def _credit(text: str) -> Iterator[tuple[Mapping[str, str], str, str]]:
    for row in csv.DictReader(io.StringIO(text)):
        yield row, ("bad", "good")[int(row["RESPONSE"])], ""


def _flights(text: str) -> Iterator[tuple[Mapping[str, str], str, str]]:
    """Hour, distance and weather, and an indicator for each weekday and airport. The group is the carrier."""
    for row in csv.DictReader(io.StringIO(text)):
        hour = int(row["CRS_DEP_TIME"]) // 100
        values = {
            "hour": str(hour),
            "hours from noon, squared": str((hour - 12) ** 2),
            "distance": row["DISTANCE"],
            "bad weather": row["Weather"],
        }
        values |= {day: str(int(row["DAY_WEEK"] == str(at))) for at, day in enumerate(_DAYS, 1)}
        values |= {f"to {code}": str(int(row["DEST"] == code)) for code in ("JFK", "EWR", "LGA")}
        values |= {f"from {code}": str(int(row["ORIGIN"] == code)) for code in ("DCA", "IAD", "BWI")}
        yield values, row["Flight Status"], row["CARRIER"]


CASES: dict[str, CaseSource] = {
    "wdbc": CaseSource("sklearn", "datasets/data/breast_cancer.csv", "CC-BY-4.0", _wdbc),
    "german-credit": CaseSource("dmba", "csvFiles/GermanCredit.csv.gz", "CC-BY-4.0", _credit),
    "flights": CaseSource("dmba", "csvFiles/FlightDelays.csv.gz", "LicenseRef-US-Government-Work", _flights),
}
