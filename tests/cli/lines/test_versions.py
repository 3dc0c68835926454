"""`model versions`, `serve`, `fetch`, `recall` and `status` against answers of an API."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.records.payloads.lines.recall import Reason, decode_recall
from p2pverify.core.records.payloads.lines.serve import decode_serve
from p2pverify.node.data.documents import SignedDocument
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import LinesDocument, VersionsDocument
from p2pverify.node.reports.documents.jsonform import parse
from p2pverify.node.reports.documents.shape import ApiDocument
from tests.cli.fake_api import FakeApi, body, fake_api
from tests.cli.transcript import run
from tests.support.documents import FETCH, LINE, LINES, OWN_VERSION, STATUS, VERSION_1, VERSIONS

BASE = f"/v1/lines/{LINE.genesis}/versions"
SIGNED = SignedDocument(schema="p2pverify/signed/1", kind="serve", record="ee" * 32, reason=None)


def answers(versions: VersionsDocument = VERSIONS, **more: ApiDocument) -> dict[str, tuple[int, bytes]]:
    found = {"/v1/lines": body(LINES), BASE: body(versions)}
    return found | {path: body(document) for path, document in more.items()}


def shown(home: Home, bodies: dict[str, tuple[int, bytes]], *args: str) -> str:
    with fake_api(home, bodies):
        done = run(home.path, "model", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(home: Home, bodies: dict[str, tuple[int, bytes]], *args: str) -> tuple[int, str, FakeApi]:
    with fake_api(home, bodies) as api:
        done = run(home.path, "model", *args)
    assert done.stdout == ""
    return done.returncode, done.stderr, api


def test_a_newcomer_sees_who_serves_what_and_where_it_came_from(home: Home) -> None:
    """The table fits a terminal, and the notes have what it has no column for."""
    text = shown(home, answers(), "versions")
    lines = text.splitlines()
    assert lines[2].split(maxsplit=1)[1].startswith("1 of 1 must sign: ")
    assert lines[5].split() == ["VERSION", "STATUS", "MODEL", "FROM", "EPOCH", "SERVED", "BY", "HERE", "ORIGIN"]
    assert max(map(len, lines)) <= 80
    told = " ".join(text.split())
    assert "0 overlap tiny Q4_1 0 1 yes network file" in told
    assert "trusted; 1 with weight; ends in epoch 15; thin: too few voters" in told
    assert "1 current tiny Q5_0 11 0 no quantise of 0" in told
    assert "quantised to q5_0: claimed by 1 publishers, and not checked by this node" in told
    assert "not here: this machine does not have its weights ('p2pverify model fetch tiny@1')" in told
    assert "recalled in epoch 11: defective" in told
    assert "a model outside (ffffffff...)" in shown(home, answers(), "versions", "--wide")


def test_json_is_the_documents_text(home: Home) -> None:
    assert parse(VersionsDocument, shown(home, answers(), "versions", "tiny", "--json")) == VERSIONS


def test_lines_are_named(home: Home) -> None:
    """A wrong line, a network with several, and one with none."""
    assert "no line is called huge\nhint: its lines: tiny\n" in refused(home, answers(), "versions", "huge")[1]
    two = replace(LINES, lines=(LINE, replace(LINE, name="large", genesis="aa" * 32)))
    assert "name one of them: tiny, large" in refused(home, answers() | {"/v1/lines": body(two)}, "versions")[1]
    none: LinesDocument = replace(LINES, lines=())
    code, said, _ = refused(home, answers() | {"/v1/lines": body(none)}, "versions")
    assert (code, "its models have one version each" in said) == (1, True)


@pytest.mark.parametrize("command", ["serve", "fetch", "recall"])
def test_a_version_has_a_number(home: Home, command: str) -> None:
    more = ("--reason", "other", "--as-member") if command == "recall" else ()
    for text, wanted in (("tiny", "such as tiny@2"), ("tiny@x", "is not LINE@N"), ("tiny@7", "the newest is 2")):
        assert wanted in refused(home, answers(), command, text, *more)[1]


def test_a_version_that_is_ready_is_served(home: Home) -> None:
    ready = replace(VERSIONS, versions=(VERSIONS.versions[0], replace(VERSION_1, here=True, missing=None)))
    with fake_api(home, answers(ready) | {"/v1/sign?kind=serve": body(SIGNED)}) as api:
        done = run(home.path, "model", "serve", "tiny@1", "--json")
    assert json.loads(done.stdout) == {
        "schema": "p2pverify/served/1", "line": "tiny", "version": 1, "record": "ee" * 32,
    }  # fmt: skip
    assert [decode_serve(payload).manifest.hex() for payload in api.posted] == [VERSION_1.manifest]


@pytest.mark.parametrize(
    ("changes", "code", "wanted"),
    [
        ({}, 4, "this machine does not have its weights\nhint: 'p2pverify model fetch tiny@1'"),
        ({"status": "announced"}, 4, "it is from epoch 11 on\nhint: fetch its weights meanwhile"),
        ({"status": "retired", "here": True}, 1, "tiny@1 is retired\nhint: serve tiny@1"),
        ({"status": "recalled"}, 1, "tiny@1 is recalled"),
    ],
)
def test_a_version_that_cannot_be_served(home: Home, changes: dict[str, object], code: int, wanted: str) -> None:
    """The error says why and what to do, and no order is given."""
    given = replace(VERSIONS, versions=(VERSIONS.versions[0], replace(VERSION_1, **changes)))  # type: ignore[arg-type]
    found, said, api = refused(home, answers(given), "serve", "tiny@1")
    assert (found, wanted in said, api.posted) == (code, True, [])


def test_a_version_of_another_model_is_not_served(home: Home) -> None:
    given = replace(VERSIONS, line=replace(LINE, own=False))
    bodies = answers(given) | {"/v1/lines": body(replace(LINES, lines=(given.line,)))}
    assert "another line than tiny" in refused(home, bodies, "serve", "tiny@1")[1]


def test_the_node_has_the_last_word(home: Home) -> None:
    """What the fold would not count is not signed, and the hint is that of the reason."""
    no = replace(SIGNED, record=None, reason="author is no active member")
    ready = replace(VERSIONS, versions=(VERSIONS.versions[0], replace(VERSION_1, here=True, missing=None)))
    code, said, _ = refused(home, answers(ready) | {"/v1/sign?kind=serve": body(no)}, "serve", "tiny@1")
    assert (code, said.count("\n")) == (4, 2)
    assert "does not sign the serve: author is no active member\nhint: wait until its join is in a cut" in said


def test_a_download_is_waited_for(home: Home) -> None:
    path = f"/v1/fetch?line={LINE.genesis}&number=1"
    whole = replace(FETCH, state="whole", file=None, done=1000, sources=0)
    with fake_api(home, answers() | {path: body(whole)}) as api:
        done = run(home.path, "model", "fetch", "tiny@1")
        assert done.returncode == 0
        assert "next     'p2pverify model serve tiny@1'" in done.stdout
        assert ("POST", path) in [(method, asked) for method, asked, _ in api.requests]
    failed = replace(FETCH, state="failed", reason="no peer has it; try again later")
    code, said, _ = refused(home, answers() | {path: body(failed)}, "fetch", "tiny@1")
    assert (code, "tiny@1 was not fetched: no peer has it; try again later" in said) == (4, True)


def test_a_member_votes_for_a_recall(home: Home) -> None:
    """Without --back-to, only this version goes. What cannot be recalled is named before anything is signed."""
    said = replace(SIGNED, kind="recall")
    with fake_api(home, answers() | {"/v1/sign?kind=recall": body(said)}) as api:
        done = run(home.path, "model", "recall", "tiny@1", "--reason", "stolen-key", "--as-member", "--json")
    assert (done.returncode, json.loads(done.stdout)["back_to"]) == (0, 0)
    (recall,) = map(decode_recall, api.posted)
    assert (recall.line, recall.number, recall.back_to, recall.reason, recall.signatures) == (
        0, 1, 0, Reason.STOLEN_KEY, (),
    )  # fmt: skip
    more = ("--reason", "other", "--as-member")
    assert "recalled already" in refused(home, answers(), "recall", "tiny@2", *more)[1]
    assert "version 0 cannot be recalled" in refused(home, answers(), "recall", "tiny@0", *more)[1]
    assert "name an earlier version" in refused(home, answers(), "recall", "tiny@1", "--back-to", "1", *more)[1]
    assert "either a publisher's --key" in refused(home, answers(), "recall", "tiny@1", "--reason", "other")[1]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ["tiny@0 (overlap)", "tiny@1 is current; get it with 'p2pverify model fetch tiny@1'"]),
        ({"current_here": True}, ["tiny@1 is current; serve it with 'p2pverify model serve tiny@1'"]),
        ({"current_here": True, "follows": True}, ["tiny@0", "this node moves to it by itself"]),
        ({"status": "retired", "behind": True}, ["tiny@0 (retired; this node is behind)", "tiny@1 is current"]),
        ({"current": 0, "status": "current", "announced": 1, "announced_from_epoch": 20}, [
            "tiny@0 (current)", "tiny@1 is announced, and current from epoch 20 on"]),
    ],
)  # fmt: skip
def test_status_has_the_next_step(home: Home, changes: dict[str, object], wanted: list[str]) -> None:
    own = replace(OWN_VERSION, **changes)  # type: ignore[arg-type]
    with fake_api(home, {"/v1/status": body(replace(STATUS, version=own))}):
        done = run(home.path, "status")
    assert done.returncode == 0
    assert all(text in done.stdout for text in wanted)


def test_without_a_node(home: Home, tmp_path: Path) -> None:
    """Each command says that no node runs, and leaves no file."""
    home.init()
    for args in (("versions",), ("lineage",), ("serve", "tiny@1"), ("fetch", "tiny@1")):
        done = run(home.path, "model", *args, cwd=tmp_path)
        assert (done.returncode, "start it with 'p2pverify join'" in done.stderr) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
