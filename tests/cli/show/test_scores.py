"""Reading commands against a scripted API: tables, JSON, and malformed answers."""

import json
import re
import subprocess
from dataclasses import replace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from p2pverify.cli.main import main
from p2pverify.cli.show import scoretable
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.health import Ready
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.scores import HardwareGroup, SpeedDocument
from p2pverify.node.reports.documents.status import Due, LackDocument, WayToWeight
from p2pverify.node.reports.shown import COLUMNS, short_ids
from p2pverify.testnet.processes import table as testnet_table
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import PROGRAM, environment, run
from tests.support.documents import (
    ALICE,
    AUDIT,
    AUDITS,
    CONVICTED_ROW,
    DISPUTE,
    JOBS,
    NEIGHBOUR,
    PEERS,
    ROOT,
    ROW,
    SCORES,
    STATUS,
)


def test_scores_are_an_aligned_table(home: Home) -> None:
    """Rows and headers are aligned, figures are right-aligned, and missing figures are a dash."""
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
    """--wide shortens and omits nothing."""
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
    """It is wrapped and has no control characters."""
    rows = (
        replace(ROW, reason="its log \x1b[31mforked " + "again " * 30),
        replace(CONVICTED_ROW, reason="two audits for one slot"),
    )
    with fake_api(home, {"/v1/scores?view=final": body(replace(SCORES, scores=rows))}):
        lines = run(home.path, "scores").stdout.splitlines()
    assert lines[3].startswith("  its log ?[31mforked again")
    assert lines[-1] == "  two audits for one slot"
    assert max(map(cell_len, lines)) <= 80


GROUP = HardwareGroup(
    class_="avx2",
    claim="rtx 4090",
    peers=5,
    measured=4,
    consistent=3,
    inconsistent=1,
    first_token_ms=(110, 12000, 210000),
    tokens_per_s=(28.2, 81.0, 90.5),
)
STRANGE = ["12D3KooW" + "東京" * 22, ALICE, ALICE[:30] + "x" * 22, "e\u0301" * 26, "", "12D3KooW"]
ADDRESS = "/ip6/2001:db8:85a3:1111:2222:8a2e:370:7334/tcp/65535/p2p/"


@pytest.mark.parametrize("command", ["scores", "scores --provisional", "scores --hardware", "peers", "audits"])
def test_no_line_is_longer_than_80_columns(home: Home, command: str) -> None:
    """For any ids, names and numbers nothing wraps at 80 columns. --wide shows everything."""
    speed = SpeedDocument(
        claim="東" * 60,
        fit="inconsistent",
        challengers=400,
        token_ms=35000.4,
        first_token_ms=210000,
        tokens_per_s=2000.2,
    )
    huge = replace(
        ROW,
        standing="convicted",
        low=0.999,
        audits=99999,
        dissents=9999,
        challengers=512,
        no_shows=99999,
        last_audit_epoch=9_999_999,
        hardware=speed,
    )
    group = replace(GROUP, class_="x" * 60, claim="東" * 60, peers=512, consistent=511)
    rows = tuple(replace(huge, peer_id=one) for one in STRANGE)
    scores = body(replace(SCORES, scores=rows, hardware=(group,)))
    neighbours = tuple(replace(NEIGHBOUR, peer_id=one, standing="convicted", address=ADDRESS + one) for one in STRANGE)
    long = "e9999999-15-" + "東" * 60
    audits = replace(
        AUDITS, audits=(replace(AUDIT, id=long, status="inconclusive"),), disputes=(replace(DISPUTE, id=long),)
    )
    documents = {
        "/v1/scores?view=final": scores,
        "/v1/scores?view=provisional": scores,
        "/v1/status": body(STATUS),
        "/v1/peers": body(replace(PEERS, peers=neighbours)),
        "/v1/audits?limit=20": body(audits),
    }
    with fake_api(home, documents):
        done = run(home.path, *command.split())
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(cell_len, done.stdout.splitlines())) <= 80
        if command != "audits":
            wide = run(home.path, *command.split(), "--wide").stdout
            assert all(one in wide for one in STRANGE)


@pytest.mark.parametrize("wide", [False, True])
def test_versions_are_shown_only_where_a_model_has_some(wide: bool) -> None:
    """A peer that is behind is marked. A peer whose model has no version has a dash."""
    assert "VERSION" not in scoretable.score_table(SCORES.scores, None, wide=wide)
    rows = [replace(ROW, version=2), replace(ROW, peer_id="bob", version=0, behind=True), replace(ROW, peer_id="carol")]
    header, *shown = scoretable.score_table(rows, None, wide=wide).splitlines()
    assert header.split()[-1] == "VERSION"
    assert [line.split()[-1] for line in shown] == ["2", "(behind)", "-"]


def test_every_column_is_explained_in_the_help() -> None:
    """Every column header is in the help of its command, with one meaning in all commands."""
    scores = (*scoretable.COLUMNS, scoretable.VERSION, *scoretable.ONLY_WIDE)
    commands = {"scores": scores, "peers": ("DIR", "MESH"), "audits": ("GOT",)}
    for name, columns in commands.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.epilog is not None
        assert all(re.search(rf"^  {column} ", command.epilog, re.MULTILINE) for column in columns)
    shown = {*scoretable.COLUMNS, *scoretable.WIDE_COLUMNS, *testnet_table.COLUMNS} - {"LOW", "HIGH"}
    assert shown <= COLUMNS.keys()


@given(st.lists(st.text("abc", max_size=12).map("12D3KooWabcdabcd".__add__), max_size=20))
def test_short_ids_tell_peers_apart(ids: list[str]) -> None:
    """Two peers never have the same short name, and a name is only as long as needed."""
    names = short_ids(ids)
    assert len(set(names.values())) == len(set(ids))
    assert all(one.removeprefix("12D3KooW").startswith(names[one]) for one in ids)


def test_text_that_the_terminal_cannot_show_is_replaced(home: Home) -> None:
    """With another encoding a table loses letters, but a JSON document loses no byte."""
    document = written(replace(PEERS, peers=(replace(NEIGHBOUR, peer_id="Zoë", address="/ip4/" + "東" * 60),)))
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
    """Peers without a claim are left out. If no peer has one, the output says so."""
    speed = SpeedDocument(
        claim="rtx \x1b[31m4090",
        fit="inconsistent",
        challengers=4,
        token_ms=35.4,
        first_token_ms=210,
        tokens_per_s=28.2,
    )
    document = replace(SCORES, scores=(replace(ROW, hardware=speed), CONVICTED_ROW), hardware=(GROUP,))
    with fake_api(home, {"/v1/scores?view=final": body(document), "/v1/status": body(STATUS)}):
        done = run(home.path, "scores", "--hardware")
    assert (done.returncode, done.stderr) == (0, "")
    _, header, alice, _, claims, line = done.stdout.splitlines()
    assert header.split() == ["PEER", "HARDWARE", "FIT", "BY", "FIRST", "MS", "TOKENS/S", "MS/TOKEN"]
    assert alice.split()[-5:] == ["inconsistent", "4", "210", "28.2", "35.4"]
    assert "\x1b" not in done.stdout
    assert "bob" not in done.stdout
    assert claims.split()[:3] == ["HARDWARE", "CLASS", "PEERS"]
    assert "110 - 12000 - 210000" in line
    with fake_api(home, {"/v1/scores?view=final": body(SCORES)}):
        assert "no peer claims any hardware" in run(home.path, "scores", "--hardware").stdout


def test_provisional_scores_are_asked_for_and_marked(home: Home) -> None:
    """--provisional requests the other view and says that it can change."""
    document = replace(SCORES, final=False, cut=None, scores=())
    nothing = "no cut is final yet: these are the founders; --provisional shows what is held\nno scores yet\n"
    with fake_api(home, {"/v1/scores?view=final": body(document)}):
        assert run(home.path, "scores").stdout == nothing
    with fake_api(home, {"/v1/scores?view=provisional": body(document)}) as api:
        done = run(home.path, "scores", "--provisional")
    assert done.stdout == "provisional view, epoch 12: it can still change\nno scores yet\n"
    assert api.requests == [("GET", "/v1/scores?view=provisional", None)]


def test_status_shows_reasons_and_cleans_what_strangers_name(home: Home) -> None:
    """Each reason has its own line, and control characters never reach the terminal."""
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
    assert "reached     through relays: it listens nowhere, and one relay takes its connections" in done.stdout
    assert "            give an address with --listen" in done.stdout


WAITING = replace(
    STATUS,
    standing="suspect",
    own=replace(ROW, audits=0, reason="log forked, until epoch 20"),
    final_age_s=75,
    first_score=Due(epoch=15, due_s=190),
    weight=0,
    way_to_weight=WayToWeight(
        lacks=(
            LackDocument(what="end of the penalty", has=11, needs=21),
            LackDocument(what="availability", has=800_000, needs=900_000),
            LackDocument(what="agreement", has=1, needs=3),
            LackDocument(what="something newer", has=4, needs=5),
        ),
        turn=Due(epoch=14, due_s=130),
        earned=2,
    ),
    jobs=replace(JOBS, jobs_waiting=3, oldest_waiting_ms=61_500, jobs_late=2, jobs_dropped=1),
)


def shown_status(home: Home, document: object) -> str:
    with fake_api(home, {"/v1/status": body(document)}):
        done = run(home.path, "status")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_status_shows_what_there_is_to_wait_for(home: Home) -> None:
    """It shows the age of the newest cut, the next cut, the first score, and each missing condition for weight."""
    shown = shown_status(home, WAITING)
    for line in (
        "standing    suspect (log forked, until epoch 20)",
        "final cut   cdcdcdcdcdcdcdcd (epoch 11, 1 min 15 s old)",
        "next cut    epoch 12, due now",
        "score       none yet; the first can be expected with the cut of epoch 15, in 3 min 10 s",
        "weight      0; it lacks",
        "            the end of its penalty: epoch 21",
        "            answers to 90.0% of what it is asked: 80.0% by now",
        "            agreement with 3 challengers that have weight: 1 by now",
        "            something newer: 4 of 5",
        "jobs        3 waiting, the oldest for 1 min 1 s; 2 late, 1 dropped",
    ):
        assert line in shown.splitlines()


def test_status_shows_what_has_come(home: Home) -> None:
    """It shows a score with its audits, and weight, or the turn of a peer that lacks nothing, or that there is no
    cut."""
    own = replace(ROW, low=0.9)
    shown = shown_status(home, replace(WAITING, own=own, weight=1, way_to_weight=None, final=None))
    assert "score       90.0% to 100.0%, after 40 audits" in shown
    assert "weight      1" in shown
    assert "final cut   none yet" in shown
    assert "standing    suspect\n" in shown
    way = WayToWeight(lacks=(), turn=Due(epoch=14, due_s=130), earned=2)
    shown = shown_status(home, replace(WAITING, way_to_weight=way))
    assert "2 peers wait; the next gets it with the cut of epoch 14, in 2 min 10 s" in shown
    shown = shown_status(home, replace(WAITING, first_score=None))
    assert "score       none yet; there is no other member to ask this one" in shown


def test_scores_before_any_cut_are_no_view(home: Home) -> None:
    """Without a final cut the scores say so and name no cut."""
    document = replace(SCORES, final=False, cut=None, epoch=0)
    with fake_api(home, {"/v1/scores?view=final": body(document)}):
        done = run(home.path, "scores")
    assert done.stdout.startswith("no cut is final yet")
    assert "view of cut" not in done.stdout


def test_audits_and_disputes_are_two_tables(home: Home) -> None:
    """Audits show the number of answers, disputes their electorate and losers."""
    with fake_api(home, {"/v1/audits?limit=5": body(AUDITS)}):
        done = run(home.path, "audits", "--limit", "5")
    audits, disputes = done.stdout.split("\n\n")
    assert audits.splitlines()[1].split() == ["e3-1-alice", "across", "disputed", "1", "of", "2"]
    assert disputes.splitlines()[1].split() == ["e3-1-alice", "decided", "8", "8", "7", "1", "confirmed"]


@pytest.mark.parametrize(
    ("command", "path", "document"),
    [
        ("status", "/v1/status", written(STATUS)),
        ("peers", "/v1/peers", {**written(PEERS), "more": [1.5, "ü"]}),
        ("scores", "/v1/scores?view=final", written(SCORES)),
        ("audits", "/v1/audits?limit=20", written(AUDITS)),
    ],
)
def test_json_is_the_document_unchanged(home: Home, command: str, path: str, document: object) -> None:
    """--json prints exactly the API's bytes and a newline."""
    text = json.dumps(document, ensure_ascii=False)
    with fake_api(home, {path: (200, text.encode())}):
        done = run(home.path, command, "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, text + "\n", "")


@pytest.mark.parametrize("peers", [None, 1, [1], [{}], {"a": 1}])
def test_an_answer_of_another_form_is_no_node_of_this_version(home: Home, peers: object) -> None:
    """A field that is missing or of another type gives exit code 3 and two lines."""
    with fake_api(home, {"/v1/peers": body({**written(PEERS), "peers": peers})}):
        done = run(home.path, "peers")
    assert (done.returncode, done.stdout) == (3, "")
    assert "is not a p2pverify node of this version" in done.stderr


def test_wait_returns_when_ready(home: Home) -> None:
    """`wait --ready` ends with 0 at a ready node, and with 4 and the reasons at another."""
    not_ready = body(Ready(schema="p2pverify/ready/1", ready=False, reasons=("no neighbours",)), 503)
    with fake_api(home, {"/readyz": not_ready}) as api:
        waited = run(home.path, "wait", "--ready", "--timeout", "0.5")
        assert waited.returncode == 4
        assert "no neighbours" in waited.stderr
        assert len(api.requests) > 1
        api.bodies["/readyz"] = body(Ready(schema="p2pverify/ready/1", ready=True, reasons=()))
        done = run(home.path, "wait", "--ready", "--timeout", "0")
    assert (done.returncode, done.stdout) == (0, "ready\n")
