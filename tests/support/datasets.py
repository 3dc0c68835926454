"""Data sets for tests: records of them, and rows with their schema."""

from fractions import Fraction

from p2pverify.core.data.schema import DataFeature, Schema
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.data import Dataset, Statement

SCHEMA = Schema(
    (
        DataFeature("mean radius", "mm", 14_127_000, 3_524_000, tuple(range(-8192, 8193, 1024))),
        DataFeature("mean texture", "", 19_290_000, 4_301_000, tuple(range(-8000, 8001, 1000))),
    ),
    "diagnosis",
    ("benign", "malignant"),
)


def rows(count: int) -> list[bytes]:
    """Different rows of the schema."""
    return [SCHEMA.row((Fraction(10 + n, 3), Fraction(20 - n, 7)), n % 2) for n in range(count)]


def dataset_of(name: str = "rows", *, rows: int = 3, until: int = 1000) -> Dataset:
    """What a record of a data set says. The name stands for the root."""
    return Dataset(sha256(name.encode()), rows, SCHEMA.id, "CC-BY-4.0", 1, (), None, sha256(b"card"), until)


def statement_of(name: str = "study") -> Statement:
    """What a record of a statement says."""
    return Statement("consent/1", sha256(name.encode()), sha256(b"document"), ())
