"""The grammar accepts every valid vector, and refuses other forms."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, decode, encode
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX, Kind, decode_record
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
KINDS = {kind: kind.name.lower().replace("_", "-") for kind in Kind}


def _inputs(path: str, name: str, *expects: str) -> list[bytes]:
    cases: list[Any] = json.loads((PROTOCOL / "vectors" / path).read_text(encoding="utf-8"))
    return [bytes.fromhex(case["input"][name]) for case in cases if not expects or case["expect"] in expects]


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: KINDS[kind])
def test_valid_records_conform(kind: Kind) -> None:
    """Every valid record conforms to the grammar, and its payload to its kind."""
    for data in _inputs(f"{KINDS[kind]}/valid.json", "record"):
        assert conforms("record", data)
        assert conforms(f"{KINDS[kind]}-payload", decode_record(data).payload)


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
    """Every valid network definition conforms to one of the two rules, with a table of shapes or without one."""
    found = _inputs("network-definition/valid.json", "definition")
    shaped = [conforms("shaped-network-payload", data) for data in found]
    assert any(shaped)
    assert [conforms("network-payload", data) for data in found] == [not each for each in shaped]


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
    "sync-request": ("sync-reconcile", "sync-fetch", "sync-ask-final", "sync-ask-digests", "sync-list"),
    "sync-answer": ("sync-reconciled", "sync-records", "sync-final", "sync-digests", "sync-ids"),
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
