"""mlcroissant reads the rows that our card describes, and refuses a changed file."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from p2pverify.interop.croissant import Column, DataCard, write_croissant

mlcroissant = pytest.importorskip("mlcroissant")

ROWS = b"age,dose,label\n41,0.5,yes\n52,1.25,no\n"
CARD = DataCard(
    name="ward-a",
    description="Two rows.",
    columns=(Column("age", "integer", "in years"), Column("dose", "float"), Column("label", "text")),
    file="a.csv",
    sha256=sha256(ROWS).digest(),
    licence="CC-BY-4.0",
    published="2026-11-29",
    url="urn:p2pverify:data:ward-a",
    cite_as="nobody",
    sensitive="health",
    collection="by hand",
)


def _rows(folder: Path) -> list[dict[str, object]]:
    return list(mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records("rows"))


def test_the_rows_are_read_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(ROWS)
    (tmp_path / "croissant.json").write_text(write_croissant(CARD))
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json"))
    assert (dataset.metadata.name, list(dataset.metadata.issues.errors)) == ("ward-a", [])
    assert "1.1" in str(dataset.metadata.conforms_to)
    assert [(row["rows/age"], row["rows/dose"]) for row in _rows(tmp_path)] == [(41, 0.5), (52, 1.25)]
    (tmp_path / "a.csv").write_bytes(ROWS.replace(b"52", b"53"))
    with pytest.raises(mlcroissant.GenerationError, match="Download") as refused:
        _rows(tmp_path)
    assert "not identical" in str(refused.value.__cause__)


def test_a_card_without_its_file_is_refused(tmp_path: Path) -> None:
    """So the judge looks at the card and not only at the rows."""
    document = json.loads(write_croissant(CARD))
    document["distribution"] = []
    (tmp_path / "croissant.json").write_text(json.dumps(document))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json"))
