"""The rows of the case studies: how files become rows, and how rows are dealt. tests/realdata has the real files."""

import gzip
import sys
from itertools import chain
from pathlib import Path

import pytest

from p2pverify.node.data.table import load_schema
from p2pverify.resources import resource
from p2pverify.testnet.cases.datasets import CASES, CaseDataMissing, load_case, split_rows

CREDIT = "OBS#,{},RESPONSE\n1,{},1\n2,{},0\n"
FLIGHTS = (
    "CRS_DEP_TIME,CARRIER,DEP_TIME,DEST,DISTANCE,FL_DATE,FL_NUM,ORIGIN,"
    "Weather,DAY_WEEK,DAY_OF_MONTH,TAIL_NUM,Flight Status\n"
    "1455,OH,1455,JFK,184,01/01/2004,5935,BWI,0,4,1,N940CA,ontime\n"
    "830,DH,1640,LGA,213,01/01/2004,6155,DCA,1,7,1,N405FJ,delayed\n"
)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place where packages are found."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for package in ("sklearn", "dmba"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    return tmp_path


def _write(packages: Path, name: str, text: str) -> None:
    path = packages / CASES[name].package / CASES[name].file
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_credit(packages: Path) -> None:
    """Each column of the schema is read, and the label is the response."""
    schema = load_schema(resource("testnet") / "schemas" / "german-credit.toml")
    names = [feature.name for feature in schema.features]
    values = ",".join(["0"] * len(names)), ",".join(["1"] * len(names))
    _write(packages, "german-credit", CREDIT.format(",".join(names), *values))
    found = load_case("german-credit")
    (first, good), (second, bad) = map(schema.cells, found.rows)
    assert (found.schema.labels[good], found.schema.labels[bad], found.groups) == ("good", "bad", ("", ""))
    assert all(one < two for one, two in zip(first, second, strict=True))


def test_flights(packages: Path) -> None:
    """Hour, distance and weather, and one indicator of each kind; the group is the carrier."""
    _write(packages, "flights", FLIGHTS)
    found = load_case("flights")
    names = [feature.name for feature in found.schema.features]
    rows = [dict(zip(names, found.schema.cells(row)[0], strict=True)) for row in found.rows]
    told = [[name for name in names if " " in name and row[name] > 0] for row in rows]
    assert {"to JFK", "from BWI"} <= set(told[0])
    assert {"bad weather", "to LGA", "from DCA"} <= set(told[1])
    assert rows[0]["thursday"] > 0 > rows[1]["thursday"]
    assert [found.schema.cells(row)[1] for row in found.rows] == [0, 1]
    assert found.groups == ("OH", "DH")


def test_wdbc(packages: Path) -> None:
    """The file has no line of names: values are taken in their published order."""
    _write(packages, "wdbc", "2,30,malignant,benign\n" + ",".join(["17.99", "10.38", *["1"] * 28, "0"]) + "\n")
    found = load_case("wdbc")
    cells, label = found.schema.cells(found.rows[0])
    first = found.schema.features[0]
    assert (first.name, found.schema.features[29].name) == ("mean radius", "worst fractal dimension")
    assert (cells[0], found.schema.labels[label]) == (round((17.99e6 - first.offset) / first.scale * 4096), "malignant")


@pytest.mark.parametrize("name", CASES)
def test_what_is_missing_says_what_to_do(name: str, packages: Path) -> None:
    """Without the package, and with another file in it."""
    with pytest.raises(CaseDataMissing, match=r"not installed: run `uv sync --group cases`"):
        load_case(name)
    _write(packages, name, "a,b\n1,2\n")
    with pytest.raises(CaseDataMissing, match="another"):
        load_case(name)


def test_rows_are_dealt_by_a_seed() -> None:
    """A quarter is for the test, the rest in proportion to the sizes; each row once, and otherwise with each seed."""
    test, parts = split_rows(101, [1, 2, 3], b"seed")
    assert (len(test), [len(part) for part in parts]) == (25, [12, 26, 38])
    assert sorted([*test, *chain(*parts)]) == list(range(101))
    assert split_rows(101, [1, 2, 3], b"seed") == (test, parts) != split_rows(101, [1, 2, 3], b"other")
