"""Recognising files that are no export."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.node.files.networkfile import dump_network
from p2pverify.store.filekinds import HEAD_BYTES, name_kind
from tests.support.networks import MANIFEST, make_network, seeds

DOCUMENT = json.dumps({"schema": "p2pverify/scores/1", "scores": []}, indent=1)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "an empty file"),
        (DOCUMENT.encode(), "a JSON document (p2pverify/scores/1)"),
        (b" [1, 2]", "a JSON document"),
        (b'\xef\xbb\xbf{"a": 1}', "a JSON document"),
        (gzip.compress(b"x", mtime=0), "a file packed by gzip"),
        (b"GGUF\3\0\0\0", "a model's weights"),
        (b"ab" * 32 + b"\n", "64 hexadecimal digits, as a key or a token"),
        ("ü".encode() * HEAD_BYTES, "a text file"),
        (("ü" * HEAD_BYTES).encode()[:-1], "a text file"),
        (b"\xff\xfe\0", "a binary file of no known kind"),
    ],
)
def test_kinds_are_told_apart(head: bytes, kind: str) -> None:
    """The first bytes are enough, even if they end within a character."""
    assert name_kind(head)[0] == kind


def test_a_network_file_and_a_database_are_recognised(tmp_path: Path) -> None:
    """These two files are most easily confused with an export."""
    network = dump_network(make_network(seeds(2)), (MANIFEST,))
    assert name_kind(network.encode())[0] == "a network file"
    with closing(sqlite3.connect(tmp_path / "node.db")) as database:
        database.execute("CREATE TABLE records (id)")
    assert name_kind((tmp_path / "node.db").read_bytes())[0] == "a database, such as a node's"


@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_every_file_has_a_name(head: bytes) -> None:
    """Every content gets a name of one line."""
    kind, hint = name_kind(head)
    assert kind
    assert hint
    assert kind.isprintable()
