"""`audits show`: one audit on a terminal, from a node's documents."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from p2pverify.cli.show import plot
from p2pverify.cli.show.plot import escape, plot_margins, side_by_side, wrap
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.explained import (
    AnswerDocument,
    CauseDocument,
    Difference,
    ExplainedAudit,
    JudgedAnswerDocument,
    JudgeDocument,
    Limits,
    MeasureDocument,
    OutputDocument,
    QuestionDocument,
    VoterDocument,
    WholeDispute,
)
from p2pverify.node.reports.documents.health import ErrorDocument
from p2pverify.node.reports.documents.jsonform import written
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import DEADLINE_S, PROGRAM, environment, run
from tests.support.documents import ALICE, EXPLAINED

BOB = ALICE.replace("SP57", "Bobs")
LIE, TRUTH = "ab" * 32, "cd" * 32
PATH = "/v1/audit?id=e12-3-SP57aGZQ"
COMMON = "The capital of France is the city that " * 3
VOTER = VoterDocument(
    peer_id=ALICE, class_="avx2", challenger=True, asked=False, sealed=True, seat=None, output=TRUTH, lost=False
)
ANSWER = JudgedAnswerDocument(
    peer_id=BOB,
    class_="avx2",
    answered=True,
    elapsed_ms=70,
    missing=None,
    verdict="mismatch",
    answer=AnswerDocument(finish="length", tokens=(1, 2, 3, 4), expected=(1, 2, 9, 4), text="x"),
    difference=Difference(
        position=2,
        claimed=3,
        claimed_text="\x1b[31m",
        expected=9,
        expected_text=" is",
        margin=3_200_000,
        common=COMMON,
        claimed_rest="\x1b[31m\u202e\x9b lies \\ and 日本語 " * 6,
        expected_rest=" is told\n" * 9,
    ),
    margins=(0, 40, 3_200_000, 20_000),
    measure=MeasureDocument(
        count=4,
        total=5_200_000,
        peak=3_200_000,
        end=0,
        limits=Limits(match=200_000, mismatch=364_000, end=1_000_000, alone=603_000),
    ),
    cause=CauseDocument(cause="other temperature", value=1200),
)
NO_ANSWER = replace(
    ANSWER,
    peer_id=ALICE,
    class_=None,
    answered=False,
    verdict=None,
    answer=None,
    difference=None,
    margins=(),
    measure=None,
    cause=None,
)
OUTPUT = OutputDocument(output=LIE, votes=1, decided=False, underivable=False, own=False, verdicts={BOB: "match"})
VOTES = WholeDispute(
    challenger=ALICE,
    epoch=12,
    slot=3,
    status="decided",
    opened_epoch=14,
    electorate=3,
    commits=2,
    votes=2,
    decision=TRUTH,
    losers=(BOB,),
    stage="everyone",
    outputs=(OUTPUT, replace(OUTPUT, output=TRUTH, votes=5, decided=True, own=True, verdicts={BOB: "mismatch"})),
    voters=(
        VOTER,
        replace(VOTER, peer_id=BOB, challenger=False, asked=True, output=LIE, lost=True),
        replace(VOTER, peer_id="carol", class_="neon", challenger=False, sealed=False, output=None),
    ),
)
DOCUMENT = replace(
    EXPLAINED,
    id="e12-3-SP57aGZQ",
    complete=True,
    challenger=ALICE,
    epoch=12,
    slot=3,
    status="decided",
    judge=JudgeDocument(role="referee", engine="exact/1"),
    question=QuestionDocument(
        id=LIE, prompt="<|user|>\nWhat is\tit?", prompt_tokens=9, tokens_max=64, temperature_milli=800
    ),
    answers=(ANSWER, NO_ANSWER),
    dispute=VOTES,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A test's own home directory."""
    return Home(tmp_path / "home")


def shown(home: Home, document: ExplainedAudit, *args: str) -> str:
    with fake_api(home, {PATH: body(document)}):
        done = run(home.path, "audits", "show", "e12-3-SP57aGZQ", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_audit_with_a_mismatch_fits_80_columns(home: Home) -> None:
    """It shows the verdict, the cause, the first difference, a bar for each margin and the votes, without control
    characters."""
    text = shown(home, DOCUMENT)
    assert all(char.isprintable() or char == "\n" for char in text)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert any(line.split() == ["verdict", "mismatch"] for line in lines)
    assert any(line.split() == ["cause", "other", "temperature:", "1.2"] for line in lines)
    assert '>>> token 2: "\\x1b[31m" (3); the referee: " is" (9); 3.2 nats apart' in lines
    assert "0.603 nats: so far off" in text
    sides = next(place for place, line in enumerate(lines) if line.startswith("CLAIMED"))
    assert lines[sides].split(" | ")[1] == "THE REFEREE"
    assert "\\x1b[31m\\u202e\\x9b lies \\\\ and" in lines[sides + 1]
    assert " is told\\n" in lines[sides + 1].split(" | ")[1]
    assert any(line.split() == ["B", "5", "yes", "yes", "1:", "mismatch"] for line in lines)
    assert any(line.split() == [BOB[8:16], "avx2", "asked", "(1)", "A", "yes"] for line in lines)
    assert "1 more could have voted" in lines
    assert f"lost  {BOB}" in lines


def test_the_plot_shows_decades_and_the_line() -> None:
    """There is a bar for each token on a logarithmic scale. The threshold is a line behind the bars, and one token is
    marked."""
    lines = plot_margins([0, 1_000, 10_000, 100_000, 1_000_000, 10_000_000], 40, limit=300_000, mark=4)
    assert [line.split("|")[1] for line in lines[:4]] == ["     █", "┄┄┄┄██", "   ███", " ▁████"]
    assert lines[4] == "      +------"
    assert lines[5].index("^") == 7 + 4
    assert lines[6].split() == ["0", "5"]
    squeezed = plot_margins([0] * 99 + [10_000_000], 27, plain=True)
    assert squeezed[0].endswith("#")
    assert len(squeezed[4]) <= 27
    assert all(line.isascii() for line in squeezed)


def test_text_is_escaped_wrapped_and_set_side_by_side() -> None:
    """Wide characters take two cells, a word longer than a line is cut, and columns are aligned."""
    assert escape("a\x00\x1b\u202e\ud800\\n\n é日") == "a\\x00\\x1b\\u202e\\ud800\\\\n\\n é日"
    assert wrap("one two  three", 8) == ["one two ", "three"]
    assert wrap("日本語日本語", 5) == ["日本", "語日", "本語"]
    assert wrap("", 5) == [""]
    assert all(cell_len(line) <= 7 for line in wrap("a " * 9 + "b" * 30 + " 語" * 9, 7))
    assert side_by_side(["日", "b"], ["c"], 4) == ["日   | c", "b    |"]


def test_json_waits_for_the_whole(home: Home) -> None:
    """The document is printed unchanged. If it is incomplete at the end of the patience, it is printed too."""
    assert json.loads(shown(home, DOCUMENT, "--json")) == written(DOCUMENT)
    part = replace(DOCUMENT, complete=False, answers=(), dispute=None, notes=("the engine \x1b is away",))
    with fake_api(home, {PATH: body(part)}) as api:
        done = run(home.path, "audits", "show", "e12-3-SP57aGZQ", "--wait", "0.5")
    assert len(api.requests) > 1
    assert "- the engine \\x1b is away" in done.stdout.splitlines()
    assert "- the node is still working on it; ask again" in done.stdout.splitlines()


def test_without_unicode_the_plot_is_ascii(home: Home) -> None:
    """If the output's encoding has no block characters, ASCII characters are used."""
    shape = replace(DOCUMENT, question=None, answers=(replace(ANSWER, difference=None, answer=None),))
    with fake_api(home, {PATH: body(shape)}):
        done = subprocess.run(
            [*PROGRAM, "audits", "show", "e12-3-SP57aGZQ"],
            env={**environment(home.path), "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert (done.returncode, done.stdout.isascii()) == (0, True)
    assert plot.ASCII_BLOCKS[-1] in done.stdout


def test_what_is_not_known_is_left_out(home: Home) -> None:
    """An audit that nothing is known of yet has four lines."""
    bare = replace(DOCUMENT, judge=None, question=None, answers=(), dispute=None)
    assert [line.split()[0] for line in shown(home, bare).splitlines()] == ["audit", "challenger", "asked", "status"]


def test_an_unknown_audit(home: Home) -> None:
    """The node's message about an unknown name is shown."""
    refusal = ErrorDocument(schema="p2pverify/error/1", error="no_such_audit", message="this node knows no audit x")
    with fake_api(home, {"/v1/audit?id=x": body(refusal, 404)}):
        done = run(home.path, "audits", "show", "x")
    assert done.returncode == 1
    assert "this node knows no audit x" in done.stderr
