"""Vectors and page of sync, run and read like another implementation. Negentropy's are with its own tests."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import RECORD_BYTES_MAX, decode_record
from p2pverify.core.sync import memory, messages, negentropy, session
from p2pverify.core.sync.index import RecordIndex
from p2pverify.core.sync.messages import (
    AskCommon,
    Common,
    Fetch,
    Reconcile,
    Reconciled,
    Records,
    decode_answer,
    decode_request,
)
from p2pverify.net.protocols.sync import PROTOCOL, SyncLimits

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocol" / "vectors"
READERS = {"request": decode_request, "answer": decode_answer}


def _load(kind: str) -> list[Any]:
    return [
        pytest.param(kind, case, id=f"{kind}: {case['comment']}")
        for name in ("valid", "invalid")
        for case in json.loads((VECTORS / f"sync-{kind}" / f"{name}.json").read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("kind", "case"), [each for kind in READERS for each in _load(kind)])
def test_frames(kind: str, case: dict[str, Any]) -> None:
    """Each frame's body is decoded and encoded to the same bytes, or refused for the vector's reason."""
    data = bytes.fromhex(case["input"][kind])
    if case["expect"] == "accept":
        assert READERS[kind](data).encode() == data
    else:
        with pytest.raises(DecodeError) as caught:
            READERS[kind](data)
        assert caught.value.reason == case["reason"]


@pytest.mark.parametrize(
    ("module", "paths"),
    [
        ("messages.py", ("sync-request/invalid.json", "sync-answer/invalid.json")),
        ("negentropy.py", ("negentropy/invalid.json",)),
    ],
)
def test_every_fault_of_form_has_a_vector(module: str, paths: tuple[str, ...]) -> None:
    """Every named refusal of the decoders is in a vector."""
    tree = ast.parse((ROOT / "p2pverify" / "core" / "sync" / module).read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    raised = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "DecodeError" and isinstance(call.args[0], ast.Constant)
    }
    shown = {case["reason"] for path in paths for case in json.loads((VECTORS / path).read_text(encoding="utf-8"))}
    assert len(raised) >= 4
    assert raised <= shown


def _page() -> str:
    return (ROOT / "protocol" / "sync.md").read_text(encoding="utf-8")


def test_the_page_shows_a_session() -> None:
    """Six frames: a newcomer finds the common cut, reconciles, gets an id, and fetches the record of that id."""
    blocks = re.findall(r"```hex\n(.*?)\n```", _page(), re.DOTALL)
    offered, taken, asked, told, wanted, given = (bytes.fromhex(block) for block in blocks)
    request, answer, fetch, records = (
        decode_request(asked),
        decode_answer(told),
        decode_request(wanted),
        decode_answer(given),
    )
    common = decode_request(offered)
    assert isinstance(common, AskCommon)
    assert isinstance(request, Reconcile)
    assert decode_answer(taken) == Common(request.cut, None)
    assert common.cuts == (common.network,) == (request.cut,)
    assert request.message == negentropy.Initiator(RecordIndex()).initiate()
    assert isinstance(answer, Reconciled)
    (listed,) = negentropy.read_ranges(answer.message)
    assert fetch == Fetch(listed.ids)
    assert isinstance(records, Records)
    record = decode_record(records.records[0])
    assert record.is_signed()
    assert (record.id, record.seq, record.header.network) == (listed.ids[0], 0, common.network)


def test_the_page_quotes_the_grammar() -> None:
    """Every line of grammar on the page is in the grammar, and every message of sync is quoted."""
    grammar = set((ROOT / "protocol" / "p2pverify.cddl").read_text(encoding="utf-8").splitlines())
    quoted = [line for block in re.findall(r"```cddl\n(.*?)\n```", _page(), re.DOTALL) for line in block.splitlines()]
    assert [line for line in quoted if line not in grammar] == []
    assert sum(line.startswith("sync-") for line in quoted) == 13


def test_the_page_names_the_limits() -> None:
    """Figures on the page equal the code's."""
    page = " ".join(_page().split())
    limits = SyncLimits()
    for said in (
        PROTOCOL,
        f"A request is at most {messages.REQUEST_BYTES_MAX:,} bytes, an answer {messages.ANSWER_BYTES_MAX:,}",
        f"at most {negentropy.MESSAGE_BYTES_MAX:,} bytes, and has at most {negentropy.RANGES_MAX:,} ranges",
        f"of which at most {negentropy.FINGERPRINTS_MAX:,} are fingerprints",
        f"fewer than {2 * negentropy.BUCKETS} ids are a list; more are {negentropy.BUCKETS} ranges",
        f"up to {messages.FETCH_IDS_MAX} at a time",
        f"has {RECORD_BYTES_MAX + 5:,} bytes of room",
        f"than the id; {messages.LIST_IDS_MAX:,} if there are more",
        f"every {limits.interval_s:.0f} seconds one with the neighbour whose turn it is; {limits.sessions_max} at once",
        f"in its next {memory.GENERATION_SESSIONS} sessions",
        f"at most {limits.served_per_peer_max} sessions of a peer at a time, {session.REQUESTS_MAX:,} requests in each",
        f"{limits.idle_seconds_max:.0f} seconds between two of them",
        f"after {session.REQUESTS_MAX:,} requests, after {session.USELESS_MAX:,} ids that brought nothing",
        f"after {session.ROUNDS_MAX} rounds",
        f"after {limits.answer_seconds_max:.0f} seconds without an answer, and after {limits.idle_seconds_max:.0f}",
    ):
        assert said in page


def test_a_long_answer_is_not_read() -> None:
    """It is too long for the vectors."""
    with pytest.raises(DecodeError, match="too long"):
        decode_answer(bytes(messages.ANSWER_BYTES_MAX + 1))
