"""Leaving: it is confirmed only on a terminal, sent with the token, and reported once it is signed."""

import os
import pty
import subprocess

import pytest

from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.health import ErrorDocument, LeaveDocument
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import PROGRAM, environment, run


def leaving(*reasons: str) -> LeaveDocument:
    """The answer to a leave."""
    return LeaveDocument(schema="p2pverify/leave/1", leaving=True, reasons=reasons)


def test_leave_sends_the_token(home: Home) -> None:
    """`leave` posts with the home's token and shows the node's refusal."""
    home.init()
    token = home.ensure_token()
    accepted = body(leaving(), 202)
    with fake_api(home, {"/v1/leave": accepted}) as api:
        assert run(home.path, "leave", "--yes").returncode == 0
        refusal = ErrorDocument(schema="p2pverify/error/1", error="wrong_token", message="not the token")
        api.bodies["/v1/leave"] = body(refusal, 403)
        refused = run(home.path, "leave", "--yes")
    assert api.requests == [("GET", "/livez", None), ("POST", "/v1/leave", f"Bearer {token}")] * 2
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        1,
        "p2pverify: the node refused: not the token",
    )


@pytest.mark.parametrize("said", [b"n\n", b"", b"y\n", b"yes\n" * 100])
def test_leave_needs_a_terminal_to_be_asked_on(home: Home, said: bytes) -> None:
    """For any piped input, nothing is sent without --yes. The exit code is 2, with advice."""
    home.init()
    home.ensure_token()
    accepted = body(leaving(), 202)
    with fake_api(home, {"/v1/leave": accepted}) as api:
        done = subprocess.run(
            [*PROGRAM, "leave"], env=environment(home.path), input=said, capture_output=True, check=False
        )
    assert done.returncode == 2
    assert b"--yes" in done.stderr
    assert api.requests == []


@pytest.mark.parametrize(
    ("said", "leaves"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("\4", False)]
)
def test_leave_asks_on_a_terminal(home: Home, said: str, leaves: bool) -> None:
    """Only `yes` leaves. `no`, the return key and the end of input do not."""
    home.init()
    home.ensure_token()
    accepted = body(leaving(), 202)
    ours, theirs = pty.openpty()
    try:
        with fake_api(home, {"/v1/leave": accepted}) as api:
            process = subprocess.Popen([*PROGRAM, "leave"], env=environment(home.path), stdin=theirs, stderr=theirs)
            printed = b""
            while b"[y/N]" not in printed:
                printed += os.read(ours, 1024)
            os.write(ours, said.encode())
            code = process.wait(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (code, [method for method, _, _ in api.requests].count("POST")) == ((0, 1) if leaves else (2, 0))


def test_a_leave_that_is_not_signed_yet_is_not_confirmed(home: Home) -> None:
    """The exit code is 4, with the node's reason and the next steps."""
    home.init()
    home.ensure_token()
    waits = body(leaving("silent until others show it"), 202)
    with fake_api(home, {"/v1/leave": waits}):
        done = run(home.path, "leave", "--yes")
    assert (done.returncode, done.stdout) == (4, "")
    assert "not signed yet: silent until others show it" in done.stderr
    assert "the node remembers it" in done.stderr
