"""The file of a statement opens its record, and carries the other party's signature."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.data import decode_statement
from p2pverify.node.data.statements import OpenStatement, decode_open_statement, load_statement
from p2pverify.node.files.textfile import FileError

AUTHOR, OTHER = sha256(b"author"), sha256(b"other")
ALONE = OpenStatement(
    bytes(32), public_key(AUTHOR), "dua/1", "lot 7", sha256(b"one"), b"They agree.", sha256(b"two"), (bytes(32),)
)
ASKED = replace(ALONE, other=public_key(OTHER))


def test_both_sign_one_statement() -> None:
    signed = ASKED.signed_by(OTHER)
    assert (ALONE.waits, ASKED.waits, signed.waits) == (False, True, False)
    assert (ALONE.holds, ASKED.holds, signed.holds) == (True, False, True)
    assert decode_open_statement(signed.encode()) == signed
    assert decode_statement(signed.statement.encode()).is_cosigned(bytes(32), ALONE.author)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "lot 8"},
        {"document": b"They do not agree."},
        {"profile": "dua/2"},
        {"parents": ()},
        {"author": public_key(sha256(b"third"))},
        {"network": sha256(b"another network")},
        {"document_salt": bytes(32)},
        {"other": public_key(sha256(b"third"))},
    ],
)
def test_a_signature_is_for_one_statement(change: dict[str, object]) -> None:
    signed = ASKED.signed_by(OTHER)
    assert not replace(signed, **change).holds  # type: ignore[arg-type]
    assert not ASKED.signed_by(AUTHOR).holds


def test_the_record_shows_nothing_of_the_statement() -> None:
    payload = ASKED.signed_by(OTHER).statement.encode()
    assert b"lot 7" not in payload
    assert b"They agree." not in payload
    for text in (b"lot 7", b"They agree."):
        assert sha256(text) not in payload


def test_what_is_no_statement(tmp_path: Path) -> None:
    good = ASKED.encode()
    fields = [ALONE.network, ALONE.author, "Not A Name", "x", bytes(32), b"", bytes(32), [], b"", b""]
    bad = [b"", good[:-1], good + b"\0", replace(ALONE, signature=bytes(64)).encode(), encode(["x", *fields])]
    bad += [encode(["p2pverify/statement-file/1", *fields]), replace(ALONE, parents=(bytes(32),) * 2).encode()]
    for data in bad:
        with pytest.raises(DecodeError):
            decode_open_statement(data)
    (tmp_path / "x").write_bytes(b"\x80")
    with pytest.raises(FileError, match="not 11 items"):
        load_statement(tmp_path / "x")
