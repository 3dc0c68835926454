"""Reading commands against an API that says what a test wants: tables, JSON, and answers that are none."""

import json
import os
import pty
import re
import shutil
import socket
import subprocess
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from p2pverify.cli import scoretable
from p2pverify.cli.main import main
from p2pverify.node.home import Home
from p2pverify.node.shown import COLUMNS, short_ids
from p2pverify.testnet import table as testnet_table
from tests.cli.fake_api import fake_api, raw_server
from tests.cli.transcript import PROGRAM, environment, run

ALICE = "12D3KooWSP57aGZQFeT62guhLo4JtDYJdYxtewsz9NaJaCuCz2YY"
ROOT = "ab" * 32
SCORES = {
    "schema": "p2pverify/scores/1",
    "network": ROOT,
    "final": True,
    "cut": "cd" * 32,
    "epoch": 12,
    "scores": [
        {"peer_id": ALICE, "standing": "trusted", "weight": 1, "low": 0.912345, "high": 1.0, "audits": 40,
         "dissents": 0, "challengers": 5, "no_shows": 0, "last_audit_epoch": 11},
        {"peer_id": "bob", "standing": "convicted", "weight": 0, "low": 0.0, "high": 0.31, "audits": 7,
         "dissents": 4, "challengers": 3, "no_shows": 1, "last_audit_epoch": None},
    ],
}  # fmt: skip
STATUS = {
    "schema": "p2pverify/status/1",
    "peer_id": ALICE,
    "network": ROOT,
    "network_name": "mesh \x1b[31m\nred",
    "epoch": 12,
    "model": "toy",
    "class": "toy",
    "uptime_s": 3700,
    "addresses": ["/ip4/192.0.2.1/tcp/4747"],
    "neighbours": 7,
    "records": 1234,
    "standing": "trusted",
    "ready": False,
    "reasons": ["no neighbours"],
    "final": {"cut": "cd" * 32, "epoch": 11, "index": 3, "ledger_root": ROOT, "view_root": ROOT},
}
AUDITS = {
    "schema": "p2pverify/audits/1",
    "audits": [
        {"id": "e3-1-alice", "challenger": "alice", "epoch": 3, "slot": 1, "across": True, "differ": True,
         "status": "disputed",
         "asked": [{"peer_id": "bob", "answered": True}, {"peer_id": "carol", "answered": False}]},
    ],
    "disputes": [
        {"id": "e3-1-alice", "challenger": "alice", "epoch": 3, "slot": 1, "status": "decided", "electorate": 8,
         "commits": 8, "votes": 7, "decision": ROOT, "losers": ["bob"]},
    ],
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home directory of its own."""
    return Home(tmp_path / "home")


def body(document: object, status: int = 200) -> tuple[int, bytes]:
    return status, json.dumps(document).encode()


def test_scores_are_an_aligned_table(home: Home) -> None:
    """Rows and headers share their columns, figures stand to the right, and absent ones show as a dash."""
    with fake_api(home, {"/v1/scores?view=final": body(SCORES), "/v1/status": body(STATUS)}):
        done = run(home.path, "scores")
    assert (done.returncode, done.stderr) == (0, "")
    first, header, alice, bob = done.stdout.splitlines()
    assert first == "final view of cut cdcdcdcdcdcdcdcd, epoch 12"
    assert header.split() == ["PEER", "STANDING", "WEIGHT", "SCORE", "AUDITS", "BY", "DISSENTS", "LAST"]
    assert alice.split() == [ALICE[8:16], "(you)", "trusted", "1", "91-100", "%", "40", "5", "0", "11"]
    assert bob.split() == ["bob", "convicted", "0", "0-31", "%", "7", "3", "4", "-"]
    assert header.index("STANDING") == alice.index("trusted") == bob.index("convicted")
    assert len(header) == len(alice) == len(bob)


def test_wide_scores_have_every_column_and_whole_ids(home: Home) -> None:
    """--wide cuts nothing and leaves nothing out."""
    with fake_api(home, {"/v1/scores?view=final": body(SCORES), "/v1/status": body(STATUS)}):
        done = run(home.path, "scores", "--wide")
    _, header, alice, _ = done.stdout.splitlines()
    assert header.split() == [
        "PEER", "CLASS", "STANDING", "WEIGHT", "LOW", "HIGH", "AUDITS", "BY", "AGREE", "DISSENTS", "LAST", "ANSWERED",
        "NO-SHOWS", "UNOPENED",
    ]  # fmt: skip
    assert alice.startswith(f"{ALICE} (you)  ")
    assert "91.2%  100.0%" in alice


def test_the_reason_of_a_standing_stands_under_the_peer(home: Home) -> None:
    """A word of the view, wrapped and cleaned, or several."""
    rows = [
        {**SCORES["scores"][0], "reason": "its log \x1b[31mforked " + "again " * 30},
        {**SCORES["scores"][1], "reason": ["lost disputes", "two audits for one slot"]},
    ]
    with fake_api(home, {"/v1/scores?view=final": body({**SCORES, "scores": rows})}):
        lines = run(home.path, "scores").stdout.splitlines()
    assert lines[3].startswith("  its log ?[31mforked again")
    assert lines[-1] == "  lost disputes; two audits for one slot"
    assert max(map(cell_len, lines)) <= 80


STRANGE = ["12D3KooW" + "東京" * 22, ALICE, ALICE[:30] + "x" * 22, "e\u0301" * 26, "", "12D3KooW"]
ADDRESS = "/ip6/2001:db8:85a3:1111:2222:8a2e:370:7334/tcp/65535/p2p/"


@pytest.mark.parametrize("command", ["scores", "scores --provisional", "scores --hardware", "peers", "audits"])
def test_no_line_is_longer_than_80_columns(home: Home, command: str) -> None:
    """Whatever ids, names and numbers come, in a terminal of 80 columns nothing wraps; --wide shows it whole."""
    speed = {"claim": "東" * 60, "fit": "inconsistent", "challengers": 400, "token_ms": 35000.4}
    speed |= {"first_token_ms": 210000, "tokens_per_s": 2000.2}
    huge = {"standing": "provisional", "weight": 1, "low": 0.999, "high": 1.0, "audits": 99999, "dissents": 9999,
            "challengers": 512, "no_shows": 99999, "last_audit_epoch": 9_999_999, "hardware": speed}  # fmt: skip
    group = {"class": "x" * 60, "claim": "東" * 60, "peers": 512, "consistent": 511, "inconsistent": 1}
    group |= {"first_token_ms": [110, 12000, 210000], "tokens_per_s": [28.2, 81.0, 90.5]}
    scores = body({**SCORES, "scores": [{**huge, "peer_id": one} for one in STRANGE], "hardware": [group]})
    neighbours = [
        {"peer_id": one, "standing": "convicted", "address": ADDRESS + one, "outbound": True} for one in STRANGE
    ]
    audits = [{"id": "e9999999-15-" + "東" * 60, "status": "undisputed " * 9, "across": False}]
    documents = {
        "/v1/scores?view=final": scores,
        "/v1/scores?view=provisional": scores,
        "/v1/status": body(STATUS),
        "/v1/peers": body({"schema": "p2pverify/peers/1", "peers": neighbours}),
        "/v1/audits?limit=20": body({**AUDITS, "audits": audits, "disputes": [{**AUDITS["disputes"][0], **audits[0]}]}),
    }
    with fake_api(home, documents):
        done = run(home.path, *command.split(), encoding="utf-8")
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(cell_len, done.stdout.splitlines())) <= 80
        if command != "audits":
            wide = run(home.path, *command.split(), "--wide", encoding="utf-8").stdout
            assert all(one in wide for one in STRANGE)


def test_every_column_is_explained_in_the_help() -> None:
    """What stands in the head of a table stands in the help of its command, and means the same in all."""
    commands = {"scores": (*scoretable.COLUMNS, *scoretable.ONLY_WIDE), "peers": ("DIR", "MESH"), "audits": ("GOT",)}
    for name, columns in commands.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.epilog is not None
        assert all(re.search(rf"^  {column} ", command.epilog, re.MULTILINE) for column in columns)
    shown = {*scoretable.COLUMNS, *scoretable.WIDE_COLUMNS, *testnet_table.COLUMNS} - {"LOW", "HIGH"}
    assert shown <= COLUMNS.keys()


@given(st.lists(st.text("abc", max_size=12).map("12D3KooWabcdabcd".__add__), max_size=20))
def test_short_ids_tell_peers_apart(ids: list[str]) -> None:
    """Two peers never have one short name, and a name is as long as it must be."""
    names = short_ids(ids)
    assert len(set(names.values())) == len(set(ids))
    assert all(one.removeprefix("12D3KooW").startswith(names[one]) for one in ids)


def test_text_that_the_terminal_cannot_show_is_replaced(home: Home) -> None:
    """Another encoding loses letters of a table, but no byte of a JSON document."""
    document = {"schema": "p2pverify/peers/1", "peers": [{"peer_id": "Zoë", "address": "/ip4/" + "東" * 60}]}
    ascii_only = environment(home.path) | {"PYTHONIOENCODING": "ascii"}
    with fake_api(home, {"/v1/peers": (200, json.dumps(document, ensure_ascii=False).encode())}):
        for options in ((), ("--json",)):
            done = subprocess.run(
                [*PROGRAM, "peers", *options],
                env=ascii_only,
                capture_output=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == document


def test_hardware_is_a_table_of_peers_and_one_of_claims(home: Home) -> None:
    """Peers without a claim are left out; if nobody has one, that is said."""
    speed = {"claim": "rtx \x1b[31m4090", "fit": "inconsistent", "challengers": 4, "token_ms": 35.4}
    speed |= {"first_token_ms": 210, "tokens_per_s": 28.2}
    group = {"class": "avx2", "claim": "rtx 4090", "peers": 5, "measured": 4, "consistent": 3, "inconsistent": 1}
    group |= {"first_token_ms": [110, 120, 210], "tokens_per_s": [28.2, 81.0, 90.5]}
    peers = [{**SCORES["scores"][0], "hardware": speed}, {**SCORES["scores"][1], "hardware": None}]
    document = {**SCORES, "scores": peers, "hardware": [group]}
    with fake_api(home, {"/v1/scores?view=final": body(document), "/v1/status": body(STATUS)}):
        done = run(home.path, "scores", "--hardware")
    assert (done.returncode, done.stderr) == (0, "")
    _, header, alice, _, claims, line = done.stdout.splitlines()
    assert header.split() == ["PEER", "HARDWARE", "FIT", "BY", "FIRST", "MS", "TOKENS/S", "MS/TOKEN"]
    assert alice.split()[-5:] == ["inconsistent", "4", "210", "28.2", "35.4"]
    assert "\x1b" not in done.stdout
    assert "bob" not in done.stdout
    assert claims.split()[:3] == ["HARDWARE", "CLASS", "PEERS"]
    assert "110 - 120 - 210" in line
    with fake_api(home, {"/v1/scores?view=final": body(SCORES)}):
        assert "no peer claims any hardware" in run(home.path, "scores", "--hardware").stdout


def test_provisional_scores_are_asked_for_and_marked(home: Home) -> None:
    """--provisional asks for the other view and says that it can change."""
    document = {**SCORES, "final": False, "cut": None, "scores": []}
    nothing = "no cut is final yet: these are the founders; --provisional shows what is held\nno scores yet\n"
    with fake_api(home, {"/v1/scores?view=final": body(document)}):
        assert run(home.path, "scores").stdout == nothing
    with fake_api(home, {"/v1/scores?view=provisional": body(document)}) as api:
        done = run(home.path, "scores", "--provisional")
    assert done.stdout == "provisional view, epoch 12: it can still change\nno scores yet\n"
    assert api.requests == [("GET", "/v1/scores?view=provisional", None)]


def test_status_shows_reasons_and_cleans_what_strangers_name(home: Home) -> None:
    """Reasons stand in their own lines; control characters never reach the terminal."""
    with fake_api(home, {"/v1/status": body(STATUS)}):
        done = run(home.path, "status")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines() if not line.startswith(" "))
    assert lines["network"].strip() == "mesh ?[31m red"
    assert lines["network id"].strip() == ROOT
    assert lines["up"].strip() == "1 h 1 min"
    assert lines["ready"].strip() == "no"
    assert "  because   no neighbours" in done.stdout


WAITING = {
    **STATUS,
    "standing": "suspect",
    "own": {"audits": 0, "reason": "log forked, until epoch 20"},
    "final_age_s": 75,
    "next_cut": {"epoch": 12, "due_s": 0},
    "first_score": {"epoch": 15, "due_s": 190},
    "weight": 0,
    "way_to_weight": {
        "lacks": [
            {"what": "end of the fork's penalty", "has": 11, "needs": 21},
            {"what": "availability", "has": 800_000, "needs": 900_000},
            {"what": "agreement", "has": 1, "needs": 3},
            {"what": "something newer", "has": 4, "needs": 5},
        ],
        "turn": {"epoch": 14, "due_s": 130},
        "earned": 2,
    },
    "jobs": {"jobs_waiting": 3, "oldest_waiting_ms": 61_500, "jobs_late": 2, "jobs_dropped": 1},
}


def shown_status(home: Home, document: object) -> str:
    with fake_api(home, {"/v1/status": body(document)}):
        done = run(home.path, "status")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_status_shows_what_there_is_to_wait_for(home: Home) -> None:
    """The age of the newest cut, the next one, the first score, and each thing that is lacking for weight."""
    shown = shown_status(home, WAITING)
    for line in (
        "standing    suspect (log forked, until epoch 20)",
        "final cut   cdcdcdcdcdcdcdcd (epoch 11, 1 min 15 s old)",
        "next cut    epoch 12, due now",
        "score       none yet; the first can be expected with the cut of epoch 15, in 3 min 10 s",
        "weight      0; it lacks",
        "            the end of its fork's penalty: epoch 21",
        "            answers to 90.0% of what it is asked: 80.0% by now",
        "            agreement with 3 challengers that have weight: 1 by now",
        "            something newer: 4 of 5",
        "jobs        3 waiting, the oldest for 1 min 1 s; 2 late, 1 dropped",
    ):
        assert line in shown.splitlines()


def test_status_shows_what_has_come(home: Home) -> None:
    """A score with its audits, weight; or the turn for which a peer waits that lacks nothing; or no cut at all."""
    own = {"audits": 40, "low": 0.9, "high": 1.0, "reason": None}
    shown = shown_status(home, {**WAITING, "own": own, "weight": 1, "way_to_weight": None, "final": None})
    assert "score       90.0% to 100.0%, after 40 audits" in shown
    assert "weight      1" in shown
    assert "final cut   none yet" in shown
    assert "standing    suspect\n" in shown
    way = {"lacks": [], "turn": {"epoch": 14, "due_s": 130}, "earned": 2}
    shown = shown_status(home, {**WAITING, "way_to_weight": way})
    assert "2 peers wait; the next gets it with the cut of epoch 14, in 2 min 10 s" in shown
    shown = shown_status(home, {**WAITING, "first_score": None})
    assert "score       none yet; there is no other member to ask this one" in shown


def test_scores_before_any_cut_are_no_view(home: Home) -> None:
    """Without a final cut the scores say so, and name no cut."""
    document = {**SCORES, "final": False, "cut": None, "epoch": 0}
    with fake_api(home, {"/v1/scores?view=final": body(document)}):
        done = run(home.path, "scores")
    assert done.stdout.startswith("no cut is final yet")
    assert "view of cut" not in done.stdout


def test_audits_and_disputes_are_two_tables(home: Home) -> None:
    """Audits name how many answered; disputes their electorate and losers."""
    with fake_api(home, {"/v1/audits?limit=5": body(AUDITS)}):
        done = run(home.path, "audits", "--limit", "5")
    audits, disputes = done.stdout.split("\n\n")
    assert audits.splitlines()[1].split() == ["e3-1-alice", "across", "disputed", "1", "of", "2"]
    assert disputes.splitlines()[1].split() == ["e3-1-alice", "decided", "8", "8", "7", "1"]


@pytest.mark.parametrize(
    ("command", "path", "document"),
    [
        ("status", "/v1/status", STATUS),
        ("peers", "/v1/peers", {"schema": "p2pverify/peers/1", "peers": [], "more": [1.5, "ü"]}),
        ("scores", "/v1/scores?view=final", SCORES),
        ("audits", "/v1/audits?limit=20", AUDITS),
    ],
)
def test_json_is_the_document_unchanged(home: Home, command: str, path: str, document: object) -> None:
    """--json prints the API's own bytes and a newline, and nothing else anywhere."""
    text = json.dumps(document, ensure_ascii=False)
    with fake_api(home, {path: (200, text.encode())}):
        done = run(home.path, command, "--json", encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, text + "\n", "")


@pytest.mark.parametrize("document", [{}, {"peers": None}, {"peers": [1, None, [], {}]}, {"peers": {"a": 1}}])
def test_documents_with_other_fields_are_shown_as_far_as_possible(home: Home, document: dict[str, object]) -> None:
    """A field that is absent or of another type is a dash or nothing, never a crash."""
    with fake_api(home, {"/v1/peers": body({"schema": "p2pverify/peers/1", **document})}):
        done = run(home.path, "peers")
    assert (done.returncode, done.stderr) == (0, "")


def test_wait_returns_when_ready(home: Home) -> None:
    """`wait --ready` exits 0 at a ready node and 4 with the reasons at one that is not."""
    not_ready = body({"schema": "p2pverify/ready/1", "ready": False, "reasons": ["no neighbours"]}, 503)
    with fake_api(home, {"/readyz": not_ready}) as api:
        waited = run(home.path, "wait", "--ready", "--timeout", "0.5")
        assert waited.returncode == 4
        assert "no neighbours" in waited.stderr
        assert len(api.requests) > 1
        api.bodies["/readyz"] = body({"schema": "p2pverify/ready/1", "ready": True, "reasons": []})
        done = run(home.path, "wait", "--ready", "--timeout", "0")
    assert (done.returncode, done.stdout) == (0, "ready\n")


def test_leave_sends_the_token(home: Home) -> None:
    """`leave` posts with the home's token, and passes the node's refusal on."""
    home.init()
    token = home.ensure_token()
    accepted = body({"schema": "p2pverify/leave/1", "leaving": True, "reasons": []}, 202)
    with fake_api(home, {"/v1/leave": accepted}) as api:
        assert run(home.path, "leave", "--yes").returncode == 0
        refusal = {"schema": "p2pverify/error/1", "error": "wrong_token", "message": "not the token"}
        api.bodies["/v1/leave"] = body(refusal, 403)
        refused = run(home.path, "leave", "--yes")
    assert api.requests == [("GET", "/livez", None), ("POST", "/v1/leave", f"Bearer {token}")] * 2
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        1,
        "p2pverify: the node refused: not the token",
    )


@pytest.mark.parametrize("said", [b"n\n", b"", b"y\n", b"yes\n" * 100])
def test_leave_needs_a_terminal_to_be_asked_on(home: Home, said: bytes) -> None:
    """Whatever is piped into it, without --yes nothing is sent; exit 2 and what to do."""
    home.init()
    home.ensure_token()
    accepted = body({"schema": "p2pverify/leave/1", "leaving": True, "reasons": []}, 202)
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
    """Only yes leaves: not no, not the return key, not the end of input."""
    home.init()
    home.ensure_token()
    accepted = body({"schema": "p2pverify/leave/1", "leaving": True, "reasons": []}, 202)
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
        b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\n\r\n",
    ],
)
def test_whatever_else_answers_is_no_node(home: Home, answer: bytes) -> None:
    """Another program at the node's old port gives exit code 3 and two lines, whatever it says."""
    with raw_server(home, answer):
        done = run(home.path, "status")
    assert done.returncode == 3
    assert done.stdout == ""
    said, hint = done.stderr.splitlines()
    assert said.startswith("p2pverify: ")
    assert hint == "hint: start it with 'p2pverify join'"


@pytest.mark.parametrize("command", [("status",), ("peers", "--json"), ("scores",), ("audits",), ("leave", "--yes")])
def test_the_node_of_another_home_is_not_shown(home: Home, tmp_path: Path, command: tuple[str, ...]) -> None:
    """After a kill another node may have the port that the `api` file names: it gets no token, and is not this one."""
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
    """A copied home with another identity, or with another token, is another home."""
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
    """A refused connection is told apart from a node that answers, and names the address."""
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
    """An `api` file that is no URL of ours gives two lines."""
    home.init()
    home.api_path.write_text(text)
    done = run(home.path, "status")
    assert done.returncode in (1, 3)
    assert len(done.stderr.splitlines()) == 2


def test_an_answer_that_never_ends_is_cut_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits on size and time hold against a server that goes on sending."""
    from p2pverify.cli import client
    from p2pverify.cli.errors import NotRunningError

    monkeypatch.setattr(client, "_ANSWER_BYTES_MAX", 1000)
    with raw_server(home, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 5000), pytest.raises(NotRunningError):
        client.get(home, "/v1/status", "p2pverify/status/1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home.write_api(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(NotRunningError, match=r"within 0\.05 s"):
            client.get(home, "/v1/status", "p2pverify/status/1", timeout_s=0.05)
