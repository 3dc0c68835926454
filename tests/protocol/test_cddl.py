"""The grammar accepts every valid vector, and refuses other forms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, decode, encode
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX, Kind, decode_record
from p2pverify.core.records.payloads.lines import recall, rotation
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
KINDS = {kind: kind.name.lower().replace("_", "-") for kind in Kind}


def _inputs(path: str, name: str, *expects: str) -> list[bytes]:
    cases: list[Any] = json.loads((PROTOCOL / "vectors" / path).read_text(encoding="utf-8"))
    return [bytes.fromhex(case["input"][name]) for case in cases if not expects or case["expect"] in expects]


#: Kinds whose payload has a further form, which the grammar names otherwise.
OTHER_FORMS = {Kind.DATASET: ("offered-",)}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: KINDS[kind])
def test_valid_records_conform(kind: Kind) -> None:
    """Every valid record conforms to the grammar, and its payload to its kind."""
    for data in _inputs(f"{KINDS[kind]}/valid.json", "record"):
        assert conforms("record", data)
        payload = decode_record(data).payload
        assert any(conforms(f"{form}{KINDS[kind]}-payload", payload) for form in ("", *OTHER_FORMS.get(kind, ())))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.LEAVE], ids=lambda kind: KINDS[kind])
def test_each_item_is_described(kind: Kind) -> None:
    """A payload with any item removed or replaced, or with one more, does not conform."""
    data = _inputs(f"{KINDS[kind]}/valid.json", "record")[0]
    items = as_array(decode(decode_record(data).payload, size_max=PAYLOAD_BYTES_MAX), "payload")
    rule = f"{KINDS[kind]}-payload"
    # The validator accepts extra arrays if all items are arrays, as in a conflict.
    changed: list[list[Value]] = [] if kind == Kind.CONFLICT else [[*items, None]]
    changed += [items[:at] + items[at + 1 :] for at in range(len(items))]
    changed += [[*items[:at], {}, *items[at + 1 :]] for at in range(len(items))]
    assert not any(conforms(rule, encode(each)) for each in changed)


def test_grammar_refuses_what_it_describes() -> None:
    """The grammar alone refuses a good part of the invalid payloads."""
    refused, seen = 0, 0
    for kind in Kind:
        for data in _inputs(f"{KINDS[kind]}/invalid.json", "record", "reject"):
            top = as_array(decode(data, size_max=RECORD_BYTES_MAX), "record")
            payload = as_bytes(top[2], "payload")
            seen += 1
            refused += not conforms(f"{KINDS[kind]}-payload", payload)
    assert refused > seen // 3


def test_definitions_conform() -> None:
    """Every valid network definition conforms to one of four rules: with a tariff, lines, a table alone, or neither."""
    rules = ("network-payload", "shaped-network-payload", "lined-network-payload", "paid-network-payload")
    found = [_with_line(data) for data in _inputs("network-definition/valid.json", "definition")]
    fitting = [[rule for rule in rules if conforms(rule, data)] for data in found]
    assert all(len(each) == 1 for each in fitting)
    assert {each[0] for each in fitting} == set(rules)


def _with_line(data: bytes) -> bytes:
    """A definition with a line if it has a tariff: the validator cannot handle two empty lists in a row."""
    items = as_array(decode(data, size_max=len(data)), "definition")
    if len(items) == 10 and not items[8]:
        items[8] = [["line", bytes(32), [[bytes(32)], 1], 1, 1, 0]]
    return encode(items)


def test_views_conform() -> None:
    """Heads and rows of views conform, those of networks with lines to rules of their own."""
    for file in sorted((PROTOCOL / "vectors" / "fold").glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            if case["reason"] is None:
                _check_view(case["expect"])


def _check_view(shown: Any) -> None:
    lined = "lined-" if "lines" in shown else ""
    view = "paid-" if "accounts" in shown else lined
    assert conforms(f"{view}view", bytes.fromhex(shown["view"]))
    assert all(conforms(f"{lined}score-row", bytes.fromhex(row)) for row in shown["rows"])
    assert all(conforms("dispute-row", bytes.fromhex(row)) for row in shown["disputes"])
    rules = [
        [rule for rule in ("line-row", "version-row", "rounds-row") if conforms(rule, bytes.fromhex(row))]
        for row in shown.get("lines", [])
    ]
    assert all(len(each) == 1 for each in rules)


Decode = Callable[[bytes], recall.Recall | rotation.Rotation]
STATEMENTS: dict[Kind, tuple[Decode, str]] = {
    Kind.RECALL: (recall.decode_recall, "recall"),
    Kind.ROTATION: (rotation.decode_rotation, "rotation"),
}


@pytest.mark.parametrize("kind", STATEMENTS, ids=lambda kind: KINDS[kind])
def test_statements_conform(kind: Kind) -> None:
    """What publishers sign conforms, and each signature of the vector is over it."""
    decode_payload, name = STATEMENTS[kind]
    record = decode_record(_inputs(f"{name}/valid.json", "record")[0])
    found = decode_payload(record.payload)
    statement = found.statement(record.header.network)
    assert conforms(f"{name}-statement", statement)
    assert found.signatures
    assert all(sign.verify(key, statement, signed) for key, signed in found.signatures)


def test_streams_conform() -> None:
    """Every valid request and response conforms, and neither conforms to the other's rule."""
    requests = _inputs("request/valid.json", "request")
    responses = _inputs("response/valid.json", "response", "answer", "refusal")
    assert all(conforms("request", data) for data in requests)
    assert all(conforms("response", data) for data in responses)
    # The validator cannot handle choices between arrays at the top, so their members are checked one by one.
    assert all(conforms("answer", data) != conforms("refusal", data) for data in responses)
    assert not any(conforms("answer", data) or conforms("refusal", data) for data in requests)
    assert not any(conforms("request", data) for data in responses)


def test_frames_of_answers_conform() -> None:
    """Every frame of a valid stream conforms to the rule of its kind, and a whole response is no last frame."""
    cases: list[Any] = json.loads((PROTOCOL / "vectors/answer-stream/valid.json").read_text(encoding="utf-8"))
    frames = [bytes.fromhex(frame) for case in cases for frame in case["input"]["frames"] if frame]
    assert {frame[0] for frame in frames} == {0, 2}
    for frame in frames:
        rules = ("tokens-frame",) if frame[0] == 2 else ("last-answer", "refusal")
        assert any(conforms(rule, frame[1:]) for rule in rules)
    with_tokens = _inputs("response/valid.json", "response", "answer")[0]
    assert not conforms("last-answer", with_tokens)


SYNC = {
    "sync-request": (
        "sync-ask-common",
        "sync-between",
        "sync-reconcile",
        "sync-fetch",
        "sync-ask-final",
        "sync-ask-digests",
        "sync-list",
    ),
    "sync-answer": ("sync-common", "sync-reconciled", "sync-records", "sync-final", "sync-digests", "sync-ids"),
}


@pytest.mark.parametrize("kind", SYNC)
def test_syncconforms(kind: str) -> None:
    """Every valid request and answer of sync conforms to exactly one kind, and each kind has a vector."""
    found = [
        [rule for rule in SYNC[kind] if conforms(rule, data)]
        for data in _inputs(f"{kind}/valid.json", kind.removeprefix("sync-"))
    ]
    assert all(len(rules) == 1 for rules in found)
    assert {rules[0] for rules in found} == set(SYNC[kind])
