"""Seeds: the inputs of each decoder in `protocol/vectors`, valid and invalid."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import decode_record

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"


def vectors(folder: str, member: str = "", *, is_text: bool = False) -> list[bytes]:
    """The inputs of a folder's vectors. `member` names the field of the input, if cases have fields."""
    found = []
    for file in sorted((VECTORS / folder).glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            given = case["input"].get(member) if member else case["input"]
            if isinstance(given, str):
                found.append(given.encode() if is_text else bytes.fromhex(given))
    assert found, folder
    return found


def payloads(kind: str) -> list[bytes]:
    """The payloads of the records in a kind's vectors."""
    found = []
    for data in vectors(kind, "record"):
        try:
            found.append(decode_record(data).payload)
        except DecodeError:
            continue
    return found


def negentropy() -> list[bytes]:
    """The messages of whole sessions, and invalid messages."""
    file = VECTORS / "negentropy" / "sessions.json"
    sessions = json.loads(file.read_text(encoding="utf-8"))
    said = [bytes.fromhex(message) for session in sessions for message in session["expect"]["messages"]]
    return said + vectors("negentropy", "message")


def answer_streams() -> list[bytes]:
    """The frames of whole streams, each after two bytes of its length."""
    found = []
    for file in sorted((VECTORS / "answer-stream").glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            frames = [bytes.fromhex(frame or "") for frame in case["input"]["frames"]]
            found.append(b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames))
    return found


def peer_list() -> list[bytes]:
    """The frame in the example on the page of streams, without its length."""
    page = (VECTORS.parent / "streams.md").read_text(encoding="utf-8")
    example = re.search(r"```hex\n(.*?)```", page, re.DOTALL)
    assert example is not None
    return [bytes.fromhex("".join(example[1].split()))[4:]]


def of(folder: str, member: str = "") -> Callable[[], list[bytes]]:
    """`vectors`, read on demand."""
    return cache(lambda: vectors(folder, member))


def of_payloads(kind: str) -> Callable[[], list[bytes]]:
    """`payloads`, read on demand."""
    return cache(lambda: payloads(kind))


@cache
def score_rows() -> list[bytes]:
    """The rows of the valid vectors of views, and of those of networks with lines."""
    files = [(VECTORS / "fold" / f"{name}.json").read_text(encoding="utf-8") for name in ("valid", "lines")]
    return [bytes.fromhex(row) for file in files for case in json.loads(file) for row in case["expect"]["rows"]]
