"""Every vector of schemas and of rows, run like another implementation."""

from fractions import Fraction
from typing import Any

import pytest

from p2pverify.core.data.commitments import RowProof, commit_row
from p2pverify.core.data.schema import DataFeature, Schema, decode_schema
from p2pverify.core.data.texts import RowSchema, TextSchema, decode_row_schema
from p2pverify.core.encoding.canon import as_array, decode, encode
from p2pverify.core.errors import DecodeError
from tests.protocol.test_vectors import _load
from tests.support.grammar import conforms


def read(data: bytes) -> RowSchema | str:
    """The schema, or the reason why there is none."""
    try:
        return decode_row_schema(data)
    except DecodeError as error:
        return error.reason


def seen(schema: Schema, proof: RowProof, rows: int, root: bytes) -> str | None:
    """Why a row is not one of the data set with this root, or None."""
    try:
        schema.cells(proof.row)
    except DecodeError as error:
        return error.reason
    return None if proof.root(rows) == root else "the row is not in the data set"


@pytest.mark.parametrize("case", _load("data-schema/*.json"))
def test_schemas(case: dict[str, Any]) -> None:
    """Each schema is read, or refused for the vector's reason. The grammar accepts all that is read."""
    data = bytes.fromhex(case["input"]["schema"])
    found = read(data)
    if isinstance(found, str):
        assert (case["expect"], case["reason"]) == ("reject", found)
        return
    assert (case["expect"], case["reason"]) == ({"id": found.id.hex()}, None)
    assert found.encode() == data
    if isinstance(found, TextSchema):
        assert conforms("text-schema", data)
        return
    domain, features, label, labels = as_array(decode(data, size_max=len(data)), "schema")
    # The validator cannot handle the two lists in a row, so their items are checked one by one.
    assert all(conforms("feature", encode(each)) for each in as_array(features, "features"))
    assert all(conforms("data-name", encode(each)) for each in [label, *as_array(labels, "labels")])
    assert domain == "p2pverify/schema/1"


@pytest.mark.parametrize("case", _load("row/*valid.json"))
def test_rows(case: dict[str, Any]) -> None:
    """Each row is in its data set, or is refused for the vector's reason."""
    given = case["input"]
    path = tuple(bytes.fromhex(each) for each in given["path"])
    proof = RowProof(given["index"], bytes.fromhex(given["salt"]), bytes.fromhex(given["row"]), path)
    schema = decode_schema(bytes.fromhex(given["schema"]))
    reason = seen(schema, proof, given["rows"], bytes.fromhex(given["root"]))
    assert reason == case["reason"]
    commitment = {"commitment": commit_row(proof.salt, proof.row).hex()}
    assert case["expect"] == (commitment if reason is None else "reject")


@pytest.mark.parametrize("case", _load("row/cells.json"))
def test_cells(case: dict[str, Any]) -> None:
    """Each value becomes the vector's number."""
    given = case["input"]
    feature = DataFeature("x", "", given["offset"], given["scale"], ())
    assert feature.cell(Fraction(given["value"])) == case["expect"]
