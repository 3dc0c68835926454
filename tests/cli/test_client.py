"""A command uses only the node of its own home. Any other program at that address counts as no node."""

import shutil
import socket
from pathlib import Path

import pytest

from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.status import StatusDocument
from tests.cli.fake_api import body, fake_api, raw_server
from tests.cli.transcript import run
from tests.support.documents import AUDITS, SCORES, STATUS


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 1000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html>hello</html>",
        b'HTTP/1.1 200 OK\r\n\r\n{"schema":"p2pverify/peers/1"}',
        b'HTTP/1.1 200 OK\r\n\r\n["p2pverify/status/1"]',
        b'HTTP/1.1 200 OK\r\n\r\n{"schema":"p2pverify/status/1"}',
        b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\n\r\n",
    ],
)
def test_whatever_else_answers_is_no_node(home: Home, answer: bytes) -> None:
    """Another program at the node's old port gives exit code 3 and two lines, for any answer."""
    with raw_server(home, answer):
        done = run(home.path, "status")
    assert done.returncode == 3
    assert done.stdout == ""
    said, hint = done.stderr.splitlines()
    assert said.startswith("p2pverify: ")
    assert hint == "hint: start it with 'p2pverify join'"


@pytest.mark.parametrize("command", [("status",), ("peers", "--json"), ("scores",), ("audits",), ("leave", "--yes")])
def test_the_node_of_another_home_is_not_shown(home: Home, tmp_path: Path, command: tuple[str, ...]) -> None:
    """After a kill, another node may have the port in the `api` file. It gets no token and is not used."""
    home.init()
    home.ensure_token()
    other = Home(tmp_path / "other")
    bodies = {"/v1/status": body(STATUS), "/v1/scores?view=final": body(SCORES)}
    with fake_api(other, bodies) as api:
        api.bodies |= {path: body({"schema": f"p2pverify/{path[4:9]}/1"}) for path in ("/v1/peers", "/v1/leave")}
        api.bodies["/v1/audits?limit=20"] = body(AUDITS)
        home.write_api(str(other.read_api()))
        done = run(home.path, *command)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"is not the node of {home.path}" in done.stderr
    assert all(token is None for _, _, token in api.requests)


@pytest.mark.parametrize("changed", ["token_path", "identity_path"])
def test_the_token_and_the_identity_make_the_node_of_a_home(home: Home, tmp_path: Path, changed: str) -> None:
    """A copied home with another identity or token is another home."""
    other = Home(tmp_path / "other")
    with fake_api(other, {"/v1/status": body(STATUS)}):
        shutil.copytree(other.path, home.path, dirs_exist_ok=True)
        assert run(home.path, "status").returncode == 0
        getattr(home, changed).unlink()
        home.init()
        home.ensure_token()
        done = run(home.path, "status")
    assert done.returncode == 3
    assert "is not the node of" in done.stderr


def test_a_stale_api_file_means_no_node(home: Home) -> None:
    """A refused connection is distinguished from a wrong answer, and the address is reported."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        home.init()
        home.write_api(f"http://127.0.0.1:{port}")
        done = run(home.path, "scores", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no node answers at http://127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize("text", ["", "ftp://127.0.0.1:1", "http://", "http://127.0.0.1", "http://[::1", "x" * 5000])
def test_a_damaged_api_file_is_no_traceback(home: Home, text: str) -> None:
    """An `api` file without a valid URL gives two lines."""
    home.init()
    home.api_path.write_text(text)
    done = run(home.path, "status")
    assert done.returncode in (1, 3)
    assert len(done.stderr.splitlines()) == 2


def test_an_answer_that_never_ends_is_cut_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits on size and time also stop a server that sends endlessly."""
    from p2pverify.cli import client
    from p2pverify.cli.errors import NotRunningError

    monkeypatch.setattr(client, "_ANSWER_BYTES_MAX", 1000)
    with raw_server(home, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 5000), pytest.raises(NotRunningError):
        client.get(home, "/v1/status", StatusDocument)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home.write_api(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(NotRunningError, match=r"within 0\.05 s"):
            client.get(home, "/v1/status", StatusDocument, timeout_s=0.05)
