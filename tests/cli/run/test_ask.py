"""`ask` against a fake node: what it sends, prints and ends with."""

import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pverify.cli import errors
from p2pverify.cli.main import main
from p2pverify.cli.run.ask import PROMPT_BYTES_MAX
from p2pverify.node.files.home import Home
from tests.cli.fake_api import FakeApi, body, fake_api
from tests.cli.transcript import PROGRAM, environment, run
from tests.support.documents import ALICE, ANSWER, CHECKED_RECEIPT, RECEIPT, SCORES

CHAT = "/v1/chat/completions"
RECEIPT_PATH = f"/v1/receipts/{RECEIPT.id}"
MODELS = {"object": "list", "data": [{"id": "toy", "object": "model"}]}
ID_HEADER = "x-p2pverify-receipt"


def chunk(text: str | None, **more: object) -> dict[str, object]:
    delta = {} if text is None else {"content": text}
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}], **more}


def stream(*values: object, done: bool = True) -> tuple[int, bytes]:
    lines = [f"data: {json.dumps(value)}\n\n" for value in values]
    return 200, "".join([*lines, *(["data: [DONE]\n\n"] if done else [])]).encode()


def refusal(status: int, code: str, message: str = "it does not work") -> tuple[int, bytes]:
    return body({"error": {"message": message, "type": "server_error", "param": None, "code": code}}, status)


SAID = stream(chunk(""), chunk("ho"), chunk(" ho\u00e9"), chunk(None, p2pverify={"receipt": RECEIPT.id}))


@contextmanager
def node(home: Home, chat: tuple[int, bytes] = SAID, receipt: object = RECEIPT) -> Iterator[FakeApi]:
    with fake_api(home, {CHAT: chat, RECEIPT_PATH: body(receipt), "/v1/models": body(MODELS)}) as api:
        api.bodies["/v1/scores?view=final"] = body(SCORES)
        api.headers[ID_HEADER] = RECEIPT.id
        yield api


def ask(home: Home, *args: str) -> int:
    """Run in this process, because it is quicker. The output is in the test's capsys."""
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home.path), "ask", *args])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_text_goes_to_stdout_and_one_line_to_stderr(home: Home) -> None:
    """So the text can be piped. The request has no limits of its own."""
    with node(home) as api:
        done = run(home.path, "ask", "hi there")
    assert (done.returncode, done.stdout) == (0, "ho ho\u00e9\n")
    assert done.stderr == (
        "answered by SP57aGZQ (trusted, 91-100 %); checked: signature, commitment, class, standing; "
        f"not compared with other peers; receipt {RECEIPT.id}\n"
    )
    assert [json.loads(sent) for sent in api.posted] == [
        {"model": "toy", "messages": [{"role": "user", "content": "hi there"}], "stream": True, "p2pverify": {}}
    ]
    token = f"Bearer {home.read_token()}"
    assert [(method, path, given == token) for method, path, given in api.requests] == [
        ("GET", "/livez", False),
        ("GET", "/v1/models", True),
        ("POST", CHAT, True),
        ("GET", RECEIPT_PATH, True),
    ]


@pytest.mark.parametrize(
    ("args", "model", "wish"),
    [
        (("--panel", "5", "--every", "1"), "toy", {"panel": 5, "every": 1}),
        (("--every", "7"), "toy", {"every": 7}),
        (("--model", "other@n3"), "other@n3", {}),
        (("--peer", ALICE), "toy", {"peer": ALICE}),
        (("--peer", "SP57aGZQ"), "toy", {"peer": ALICE}),
    ],
)
def test_options_become_fields(home: Home, args: tuple[str, ...], model: str, wish: dict[str, object]) -> None:
    with node(home) as api:
        assert ask(home, "hi", *args) == 0
    (sent,) = (json.loads(each) for each in api.posted)
    assert (sent["model"], sent["p2pverify"]) == (model, wish)


def test_a_full_check_is_told(home: Home, capsys: Any) -> None:
    with node(home, receipt=CHECKED_RECEIPT):
        assert ask(home, "hi") == 0
    assert "; 3 of 5 peers agree, 1 differ, 1 not compared; receipt rcpt_" in capsys.readouterr().err


def test_an_answer_of_this_node(home: Home, capsys: Any) -> None:
    own = replace(ANSWER, own=True, standing=None, low=0.0, high=1.0)
    with node(home, receipt=replace(RECEIPT, answers=(own,))):
        assert ask(home, "hi") == 0
    assert capsys.readouterr().err.startswith("answered by this node (0-100 %); ")


def test_json_is_the_receipt_and_nothing_else(home: Home) -> None:
    with node(home, receipt=CHECKED_RECEIPT):
        done = run(home.path, "ask", "hi", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.encode() == body(CHECKED_RECEIPT)[1] + b"\n"


def test_questions_from_files(home: Home, tmp_path: Path) -> None:
    """Also from a pipe."""
    path = tmp_path / "question.txt"
    path.write_text("why\n\u00e9?", encoding="utf-8")
    with node(home) as api:
        assert ask(home, "--file", str(path)) == 0
        piped = subprocess.run(
            [*PROGRAM, "ask", "--file", "-"],
            env=environment(home.path), input=b"what?", capture_output=True, check=True, timeout=60,
        )  # fmt: skip
    assert piped.stdout.decode() == "ho ho\u00e9\n"
    assert [json.loads(sent)["messages"][0]["content"] for sent in api.posted] == ["why\n\u00e9?", "what?"]


def test_a_row_is_asked_at_temperature_0(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    file.write_text('{"age": 41}', encoding="utf-8")
    for row in ('{"age": 41}', str(file)):
        with node(home) as api:
            assert ask(home, "--row", row) == 0
            sent = json.loads(api.posted[-1])
            assert (sent["messages"][0]["content"], sent["temperature"]) == ('{"age": 41}', 0)
    with node(home) as api:
        for wrong in (("--row", "{"), ("--row", "{}"), ("--row", "{}", "hello"), ("--row", str(tmp_path / "none"))):
            assert ask(home, *wrong) == 2
        assert not api.posted


@pytest.mark.parametrize(
    ("data", "said"), [(b"\xff", "is not text in UTF-8"), (b"x" * (PROMPT_BYTES_MAX + 1), "has more than")]
)
def test_files_that_are_no_question(home: Home, tmp_path: Path, capsys: Any, data: bytes, said: str) -> None:
    path = tmp_path / "question"
    path.write_bytes(data)
    with node(home) as api:
        assert ask(home, "--file", str(path)) == errors.ERROR
    assert said in capsys.readouterr().err
    assert api.posted == []


@pytest.mark.parametrize(
    "args",
    [
        *((), ("hi", "--file", "-"), ("hi", "there"), ("hi", "--peer", "x", "--panel", "3")),
        *(("hi", "--panel", "0"), ("hi", "--panel", "32"), ("hi", "--every", "0")),
    ],
)
def test_wrong_calls(home: Home, args: tuple[str, ...]) -> None:
    with node(home) as api:
        assert ask(home, *args) == errors.USAGE
    assert api.requests == []


def test_an_unknown_peer(home: Home, capsys: Any) -> None:
    with node(home) as api:
        assert ask(home, "hi", "--peer", "nobody") == errors.ERROR
    assert "no peer nobody in the newest final view" in capsys.readouterr().err
    assert api.posted == []


@pytest.mark.parametrize(
    ("chat", "code"),
    [
        (refusal(502, "no_majority"), errors.NOT_VERIFIED),
        (refusal(503, "no_answer"), errors.NOT_READY),
        (refusal(503, "busy"), errors.NOT_READY),
        (refusal(429, "rate_limit_exceeded"), errors.NOT_READY),
        (refusal(400, "context_length_exceeded"), errors.ERROR),
        (refusal(404, "model_not_found"), errors.ERROR),
        (refusal(401, "no_api_key"), errors.ERROR),
        (stream(chunk("ho"), {"error": {"message": "it does not work", "code": "no_answer"}}), errors.NOT_READY),
        (stream(chunk("ho"), {"error": {"message": "it does not work", "code": "no_majority"}}), errors.NOT_VERIFIED),
    ],
)
def test_refusals(home: Home, capsys: Any, chat: tuple[int, bytes], code: int) -> None:
    """Each reason has its exit code, one sentence and a hint."""
    with node(home, chat):
        assert ask(home, "hi") == code
    said, hint = capsys.readouterr().err.splitlines()
    assert "it does not work" in said
    assert hint.startswith("hint: ")


def test_a_receipt_without_a_majority_is_printed_with_json(home: Home, capsys: Any) -> None:
    """Its answers are what the user wants to see then."""
    failed = replace(RECEIPT, state="failed")
    with node(home, refusal(502, "no_majority"), failed):
        assert ask(home, "hi", "--json") == errors.NOT_VERIFIED
    printed = capsys.readouterr()
    assert printed.out.encode() == body(failed)[1] + b"\n"
    assert printed.err.count("\n") == 2


@pytest.mark.parametrize(
    ("chat", "code"),
    [
        (stream(chunk("ho"), done=False), errors.ERROR),
        ((200, b"data: {\n\n"), errors.NOT_RUNNING),
        (stream(5), errors.NOT_RUNNING),
        (stream({"choices": []}), errors.NOT_RUNNING),
        (stream({"choices": [{"delta": {"content": 7}}]}), errors.NOT_RUNNING),
        ((200, b"<html>hello</html>"), errors.ERROR),
        ((500, b"oops"), errors.NOT_RUNNING),
        ((200, b"x" * 9_000_000), errors.ERROR),
        ((200, b"data: " + b"[" * 100_000 + b"\n"), errors.NOT_RUNNING),
    ],
)
def test_answers_that_are_none(home: Home, capsys: Any, chat: tuple[int, bytes], code: int) -> None:
    """Whatever a node of another version sends ends in two lines."""
    with node(home, chat):
        assert ask(home, "hi") == code
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_no_other_program_gets_the_question(home: Home, tmp_path: Path) -> None:
    """The node must prove that it is this home's before anything is sent."""
    home.init()
    home.ensure_token()
    other = Home(tmp_path / "other")
    with node(other) as api:
        home.write_api(str(other.read_api()))
        assert ask(home, "hi") == errors.NOT_RUNNING
    assert api.posted == []
    assert all(token is None for _, _, token in api.requests)


def test_a_model_cannot_control_the_terminal(home: Home, monkeypatch: Any) -> None:
    """Control characters become question marks on a terminal, and stay as they are in a pipe."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    text = "a\x1b[2Jb\n\tc\x07"
    with node(home, stream(chunk(text))):
        for out, expected in ((Terminal(), "a?[2Jb\n\tc?\n"), (io.StringIO(), text + "\n")):
            monkeypatch.setattr(sys, "stdout", out)
            assert ask(home, "hi") == 0
            assert out.getvalue() == expected


def test_nobody_reads_the_text(home: Home) -> None:
    """A closed pipe ends the command as it ends others."""
    with (
        node(home, stream(*[chunk("ho" * 4000)] * 100)),
        subprocess.Popen(
            [*PROGRAM, "ask", "hi"], env=environment(home.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(timeout=60)) == (b"", errors.BROKEN_PIPE)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Handle SIGINT, because a shell's background processes and their children ignore it."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupt_in_the_middle(home: Home) -> None:
    """What was said so far is there, and nothing else."""
    with node(home, stream(chunk("ho"), done=False)) as api:
        api.stuck[CHAT] = threading.Event()
        with subprocess.Popen(
            [*PROGRAM, "ask", "hi"], env=environment(home.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(2) == b"ho"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        api.stuck[CHAT].set()
    assert (process.returncode, out, err) == (errors.INTERRUPTED, b"", b"")
