"""Files from peers in vectors, grammar and page agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.blobs import chunks, messages, plan
from p2pverify.core.contract.history import files
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.net.protocols import blob
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
PAGE = (PROTOCOL / "blob.md").read_text(encoding="utf-8")


def _cases(name: str, file: str = "*") -> list[Any]:
    paths = sorted((PROTOCOL / "vectors" / name).glob(f"{file}.json"))
    return [case for path in paths for case in json.loads(path.read_text(encoding="utf-8"))]


def _params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["comment"]) for case in _cases(name)]


def _entry(data: str) -> files.FileEntry:
    return files.read_file_entry(decode(bytes.fromhex(data), size_max=4096))


def _verdict(read: Any, refusal: str) -> tuple[str, str | None]:
    try:
        read()
    except DecodeError as error:
        return refusal, error.reason
    return "accept", None


@pytest.mark.parametrize("case", _params("file-entry"))
def test_entries(case: dict[str, Any]) -> None:
    found = _verdict(lambda: _entry(case["input"]["entry"]), "reject")
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _params("chunk-list"))
def test_chunk_lists(case: dict[str, Any]) -> None:
    """A list is well-formed, and then it is the one of its file."""
    data = bytes.fromhex(case["input"]["list"])

    def read() -> None:
        chunks.decode_chunk_list(data)
        chunks.read_chunk_list(_entry(case["input"]["entry"]), data)

    assert _verdict(read, "reject") == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _params("blob-request"))
def test_requests(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input"]["request"])
    found = _verdict(lambda: messages.decode_blob_request(data), "reset")
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _params("blob-answer"))
def test_answers(case: dict[str, Any]) -> None:
    data, length = bytes.fromhex(case["input"]["answer"]), case["input"]["length"]
    try:
        found = _verdict(lambda: messages.decode_blob_answer(data, length), "invalid")
    except messages.BlobRefused as refused:
        found = (refused.status.word, None)
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize(
    ("name", "item", "rule"),
    [
        ("file-entry", "entry", "file"),
        ("chunk-list", "list", "chunk-list"),
        ("blob-request", "request", "blob-request"),
    ],
)
def test_the_grammar_describes_them(name: str, item: str, rule: str) -> None:
    """All well-formed values conform, and each item of one is described."""
    good = [bytes.fromhex(case["input"][item]) for case in _cases(name, "valid")]
    assert all(conforms(rule, data) for data in good)
    items = decode(good[0], size_max=4096)
    assert isinstance(items, list)
    for at in range(len(items)):
        assert not conforms(rule, encode([*items[:at], {}, *items[at + 1 :]])), at


def test_the_page_shows_the_first_of_each() -> None:
    entry, listed, request, answer = (
        block.replace("\n", "") for block in re.findall(r"```hex\n(.*?)\n```", PAGE, re.S)
    )
    assert entry == _cases("file-entry", "valid")[0]["input"]["entry"]
    assert listed == _cases("chunk-list", "valid")[0]["input"]["list"]
    assert request == _cases("blob-request", "valid")[0]["input"]["request"]
    assert answer == _cases("blob-answer", "valid")[0]["input"]["answer"]
    grammar = set((PROTOCOL / "p2pverify.cddl").read_text(encoding="utf-8").splitlines())
    quoted = [line for block in re.findall(r"```cddl\n(.*?)\n```", PAGE, re.S) for line in block.splitlines()]
    assert quoted
    assert [line for line in quoted if line not in grammar] == []


def test_the_page_names_the_limits() -> None:
    """Statuses, sizes and rates."""
    for status in messages.BlobStatus:
        assert f"| `{status:02x}` | `{status.word}` |" in PAGE
    mib = 1024 * 1024
    limits = blob.BlobLimits()
    for text in (
        f"at most {files.FILE_BYTES_MAX:,} bytes",
        f"at most {files.FILE_PATH_BYTES_MAX} bytes of printable ASCII",
        f"{chunks.CHUNK_LIST_BYTES_MAX // mib} MiB",
        f"at most {plan.SOURCES_MAX} peers at a time",
        f"{limits.per_peer_max} requests open",
        f"{limits.working_per_peer_max} of them",
        f"{limits.working_max} of all peers",
        f"{limits.own.per_second // mib} MiB a second",
        f"{limits.pool.per_second // mib} MiB a second",
    ):
        assert text in PAGE, text
