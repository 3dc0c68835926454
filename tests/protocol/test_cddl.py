"""The grammar accepts every valid vector, and refuses what has another form."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pycddl  # type: ignore[import-untyped]  # it has no stubs
import pytest

from p2pverify.core.canon import Value, as_array, as_bytes, decode, encode
from p2pverify.core.records import PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX, Kind, decode_record

PROTOCOL = Path(__file__).parents[2] / "protocol"
KINDS = {kind: kind.name.lower().replace("_", "-") for kind in Kind}


@cache
def _schema(rule: str) -> pycddl.Schema:
    """The grammar with one rule at the top, which is where validation begins."""
    return pycddl.Schema(f"start = {rule}\n" + (PROTOCOL / "p2pverify.cddl").read_text(encoding="utf-8"))


def _conforms(rule: str, data: bytes) -> bool:
    try:
        _schema(rule).validate_cbor(data)
    except pycddl.ValidationError:
        return False
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return False  # so the validator ends where one of two lists in a row is missing
    return True


def _inputs(path: str, name: str, *expects: str) -> list[bytes]:
    cases: list[Any] = json.loads((PROTOCOL / "vectors" / path).read_text(encoding="utf-8"))
    return [bytes.fromhex(case["input"][name]) for case in cases if not expects or case["expect"] in expects]


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: KINDS[kind])
def test_valid_records_conform(kind: Kind) -> None:
    """Every valid record is a record of the grammar, and its payload is one of its kind."""
    for data in _inputs(f"{KINDS[kind]}/valid.json", "record"):
        assert _conforms("record", data)
        assert _conforms(f"{KINDS[kind]}-payload", decode_record(data).payload)


@pytest.mark.parametrize("kind", set(Kind) - {Kind.LEAVE}, ids=lambda kind: KINDS[kind])
def test_each_item_is_described(kind: Kind) -> None:
    """A payload with any one item left out or replaced, or with one more, does not conform."""
    data = _inputs(f"{KINDS[kind]}/valid.json", "record")[0]
    items = as_array(decode(decode_record(data).payload, size_max=PAYLOAD_BYTES_MAX), "payload")
    rule = f"{KINDS[kind]}-payload"
    # The validator takes more arrays than described where all items are arrays, as in a conflict.
    changed: list[list[Value]] = [] if kind == Kind.CONFLICT else [[*items, None]]
    changed += [items[:at] + items[at + 1 :] for at in range(len(items))]
    changed += [[*items[:at], {}, *items[at + 1 :]] for at in range(len(items))]
    assert not any(_conforms(rule, encode(each)) for each in changed)


def test_grammar_refuses_what_it_describes() -> None:
    """A fair share of the invalid payloads is refused by the grammar alone."""
    refused, seen = 0, 0
    for kind in Kind:
        for data in _inputs(f"{KINDS[kind]}/invalid.json", "record", "reject"):
            top = as_array(decode(data, size_max=RECORD_BYTES_MAX), "record")
            payload = as_bytes(top[2], "payload")
            seen += 1
            refused += not _conforms(f"{KINDS[kind]}-payload", payload)
    assert refused > seen // 3


def test_definitions_conform() -> None:
    """Every valid network definition conforms."""
    found = _inputs("network-definition/valid.json", "definition")
    assert found
    assert all(_conforms("network-payload", data) for data in found)


def test_streams_conform() -> None:
    """Every valid request and response conforms, and neither is taken for the other."""
    requests = _inputs("request/valid.json", "request")
    responses = _inputs("response/valid.json", "response", "answer", "refusal")
    assert all(_conforms("request", data) for data in requests)
    assert all(_conforms("response", data) for data in responses)
    # Choices between arrays at the top are too much for the validator, so their members are asked one by one.
    assert all(_conforms("answer", data) != _conforms("refusal", data) for data in responses)
    assert not any(_conforms("answer", data) or _conforms("refusal", data) for data in requests)
    assert not any(_conforms("request", data) for data in responses)


SYNC = {
    "sync-request": ("sync-reconcile", "sync-fetch", "sync-ask-final", "sync-ask-digests", "sync-list"),
    "sync-answer": ("sync-reconciled", "sync-records", "sync-final", "sync-digests", "sync-ids"),
}


@pytest.mark.parametrize("kind", SYNC)
def test_sync_conforms(kind: str) -> None:
    """Every valid request and answer of sync is exactly one of its kinds, and each kind is shown."""
    found = [
        [rule for rule in SYNC[kind] if _conforms(rule, data)]
        for data in _inputs(f"{kind}/valid.json", kind.removeprefix("sync-"))
    ]
    assert all(len(rules) == 1 for rules in found)
    assert {rules[0] for rules in found} == set(SYNC[kind])
