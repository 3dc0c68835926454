"""Tables and schema files are read exactly, and refused with the line and the column, never with a value."""

from pathlib import Path

import pytest

from p2pverify.node.data.table import load_row_schema, load_rows, load_schema, read_number
from p2pverify.node.files.textfile import FileError

SCHEMA = """
label = "diagnosis"
labels = ["benign", "malignant"]

[[feature]]
name = "radius"
unit = "mm"
offset = "14.127"
scale = "3.524"
low = "7"
high = "28"

[[feature]]
name = "texture"
scale = "1"
grid = [ "0", "0", "0", "0", "0", "0", "0", "0", "1", "1", "1", "1", "1", "1", "1", "1", "1.5"]
"""
TABLE = """patient,radius,texture,diagnosis
Alice,17.99,0.5,malignant
"Bob, jr.", 1.4127e1 ,1,benign
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_csv_and_of_json_lines_are_equal(tmp_path: Path) -> None:
    """Whatever the order of the columns. Columns that the schema does not name are left out."""
    schema = load_schema(write(tmp_path / "schema.toml", SCHEMA))
    rows = load_rows(write(tmp_path / "rows.csv", TABLE), schema)
    lines = '{"texture": 0.50, "diagnosis": "malignant", "radius": 17.99}\n\n'
    lines += '{"radius": 14.127, "texture": 1, "diagnosis": "benign", "note": [1]}\n'
    assert load_rows(write(tmp_path / "rows.jsonl", lines), schema) == rows
    assert [schema.cells(row) for row in rows] == [((4490, 2048), 1), ((0, 4096), 0)]
    assert schema.features[0].grid[0] < 0 < schema.features[0].grid[-1]
    assert b"Alice" not in b"".join(rows)


TEXTS = 'text = "note"\nbytes_max = 12\n'


def test_rows_of_texts(tmp_path: Path) -> None:
    """A schema of texts names one column, and a row is its UTF-8."""
    schema = load_row_schema(write(tmp_path / "schema.toml", TEXTS))
    with pytest.raises(FileError, match="a schema of texts"):
        load_schema(tmp_path / "schema.toml")
    table = 'patient,note\nAlice,"Grüße, Bob"\nBob,ok\n'
    assert load_rows(write(tmp_path / "rows.csv", table), schema) == ["Grüße, Bob".encode(), b"ok"]
    assert load_rows(write(tmp_path / "rows.jsonl", '{"note": "ok", "more": 1}'), schema) == [b"ok"]


@pytest.mark.parametrize(
    ("schema", "table", "said"),
    [
        (TEXTS, "note\nmore than twelve\n", "line 2: column 'note': text: not 1 to 12 bytes"),
        (TEXTS, 'note\nok\n""\n', "line 3: column 'note': text: not 1 to 12 bytes"),
        (TEXTS, "word\nok\n", "has no column 'note'"),
        (TEXTS.replace("12", "1025"), "note\nok\n", "bytes_max"),
        (TEXTS.replace("12", "0"), "note\nok\n", "bytes_max is below 1"),
        (TEXTS + SCHEMA, "note\nok\n", "has no features and no label"),
    ],
)
def test_faults_of_texts(tmp_path: Path, schema: str, table: str, said: str) -> None:
    with pytest.raises(FileError) as refused:
        load_rows(write(tmp_path / "rows.csv", table), load_row_schema(write(tmp_path / "schema.toml", schema)))
    assert said in refused.value.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column 'diagnosis'"),
        ("radius,texture,diagnosis\n", "has no rows"),
        ("radius,texture,diagnosis,radius\n1,2,benign,3\n", "two columns of one name"),
        ("radius,texture,diagnosis\n1,2\n", "line 2: not 3 values"),
        ("radius,texture,diagnosis\n1,2,benign\nsecret,2,benign\n", "line 3: no number in column 'radius'"),
        ("radius,texture,diagnosis\n1,,benign\n", "line 2: no number in column 'texture'"),
        ("radius,texture,diagnosis\n1,nan,benign\n", "line 2: no number in column 'texture'"),
        ("radius,texture,diagnosis\n1,1e999,benign\n", "line 2: no number in column 'texture'"),
        ("radius,texture,diagnosis\n1,2,secret\n", "line 2: none of the schema's labels in column 'diagnosis'"),
        ('radius,texture,diagnosis\n1,"2"x,benign\n', "line 2: not CSV"),
    ],
)
def test_faults_of_a_table(tmp_path: Path, text: str, said: str) -> None:
    schema = load_schema(write(tmp_path / "schema.toml", SCHEMA))
    with pytest.raises(FileError) as refused:
        load_rows(write(tmp_path / "rows.csv", text), schema)
    assert said in refused.value.reason
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("line", ["[1]", "{", "[" * 5000, '{"radius": true, "texture": 1, "diagnosis": "benign"}'])
def test_faults_of_json_lines(tmp_path: Path, line: str) -> None:
    schema = load_schema(write(tmp_path / "schema.toml", SCHEMA))
    with pytest.raises(FileError, match="line 1: "):
        load_rows(write(tmp_path / "rows.jsonl", line), schema)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('label = "diagnosis"', "", "'label' is missing"),
        ('low = "7"', 'low = "low"', "feature 'radius': low is not a decimal number in quotes"),
        ('low = "7"', "", "feature 'radius': low is not a decimal number in quotes"),
        ('scale = "3.524"', 'scale = "0"', "feature 'radius': scale is not above 0"),
        ('scale = "3.524"', 'scale = "3.5241234"', "scale has more than six decimal places"),
        ('high = "28"', 'high = "2800"', "feature 'radius': the grid has not 17 values within 8 scales"),
        ('"0", "0",', "", "feature 'texture': the grid has not 17 values"),
        ('"1.5"', '"-1.5"', "grid: not ascending"),
        ('"texture"', '"radius"', "names repeat"),
        ('"benign", ', "", "a schema has a feature and two labels"),
    ],
)
def test_faults_of_a_schema(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SCHEMA
    with pytest.raises(FileError) as refused:
        load_schema(write(tmp_path / "schema.toml", SCHEMA.replace(old, new, 1)))
    assert said in refused.value.reason


@pytest.mark.parametrize("text", ["", ".", "1/2", "0x1", "1e100", "inf", "--1", "1_0", "٣", " 1"])
def test_what_is_no_number(text: str) -> None:
    assert read_number(text) is None
