"""The examples of `client/README.md` run as they stand there, and its tables are those of the code."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from p2pverify import client
from p2pverify.client import calls, exchange, replies
from tests.client.serving import ServedHome, in_thread

PAGE = (Path(client.__file__).parent / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
EXAMPLES = BLOCK.findall(PAGE)


def run(code: str) -> str:
    """What an example prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


async def test_the_examples_run(served: ServedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each prints what its text says, against a node of this home."""
    monkeypatch.setenv("P2PVERIFY_HOME", str(served.path))
    monkeypatch.chdir(tmp_path)
    said = [await in_thread(lambda code=code: run(code)) for code in EXAMPLES]  # type: ignore[misc]
    ask, stream, on_trio, on_asyncio, verify, passport, errors = said
    assert "trusted ('signature'" in ask
    assert "answered by 12D3Koo" in stream
    assert "answered by 12D3Koo" in on_trio
    assert len(set(re.findall("rcpt_[0-9a-z]+", on_asyncio))) == 3
    assert re.search("signed by 12D3Koo.* for [0-9]+ tokens\nthe network says: trusted ", verify)
    assert passport.count("trusted 0.") >= 1
    assert "PassportFacts(row=" in passport
    assert errors.startswith("temperature is refused: temperature: ")


def test_the_tables_are_those_of_the_code() -> None:
    limits = {
        "the head of an answer": exchange.HEAD_BYTES_MAX,
        "a refusal": exchange.REFUSAL_BYTES_MAX,
        "an event of a stream": replies.EVENT_BYTES_MAX,
        "an answer": calls.ANSWER_BYTES_MAX,
        "a document: scores or a receipt": calls.DOCUMENT_BYTES_MAX,
        "a whole stream": calls.STREAM_BYTES_MAX,
    }
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|$", PAGE, re.M)
    assert {what: int(number.replace(",", "")) for what, number in rows} == limits
    errors = {name for name in client.__all__ if name.endswith("Error")} - {"ClientError"}
    assert set(re.findall(r"^\| `(\w+Error)`[ ,]", PAGE, re.M)) == errors
    assert all(issubclass(getattr(client, name), client.ClientError) for name in errors)
