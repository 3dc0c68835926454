"""Vectors of the fold: files of records, verified like an export."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.encoding.canon import decode, sha256
from p2pverify.core.encoding.merkle import root
from p2pverify.core.replica.verify import VerificationFailed, verify

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocol" / "vectors"


def _cases() -> Iterator[dict[str, Any]]:
    for file in sorted(VECTORS.glob("fold/*.json")):
        yield from json.loads(file.read_text(encoding="utf-8"))


def _bytes(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case["input"][name])


def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / "p2pverify" / "core" / module).read_text(encoding="utf-8"))


def _raised() -> set[str]:
    """The constant reasons for a failed verification."""
    calls = [node for node in ast.walk(_tree("replica/verify.py")) if isinstance(node, ast.Call) and node.args]
    firsts = [c.args[0] for c in calls if isinstance(c.func, ast.Name) and c.func.id == "VerificationFailed"]
    return {each.value for each in firsts if isinstance(each, ast.Constant) and isinstance(each.value, str)}


FOLDS = {case["comment"]: case for case in _cases()}


def _records(given: dict[str, Any]) -> list[bytes]:
    """The records of a fold case: those of the case that it refers to, without some, and then its own."""
    own = [bytes.fromhex(data) for data in given["records"]]
    if "like" not in given:
        return own
    like = _records(FOLDS[given["like"]]["input"])
    return [data for number, data in enumerate(like) if number not in given["without"]] + own


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in FOLDS.values()])
def test_folds(case: dict[str, Any]) -> None:
    """Records and a cut give this view, signed by two thirds of the weight, or fail for this reason."""
    arguments = (_bytes(case, "network_id"), _bytes(case, "network"), _bytes(case, "cut"), _records(case["input"]))
    if case["reason"] is not None:
        with pytest.raises(VerificationFailed) as caught:
            verify(*arguments)
        assert (case["expect"], case["reason"]) == ("fail", caught.value.reason)
        return
    found, expected = verify(*arguments), case["expect"]
    assert found.cut_id.hex() == expected["cut"]
    assert [found.cuts, found.records, found.records_after] == [
        expected[name] for name in ("index", "records", "records_after")
    ]
    assert found.cut.ledger_root.hex() == expected["ledger_root"]
    assert found.cut.view_root.hex() == expected["view_root"] == sha256(bytes.fromhex(expected["view"])).hex()
    assert {score.peer.hex(): score.standing for score in found.scores} == expected["standings"]
    assert dict(found.totals) == expected["counters"]
    rows = _rows(case)
    assert {peer: row[5] for peer, row in rows.items()} == expected["standings"]


def _rows(case: dict[str, Any]) -> dict[str, Any]:
    """The rows of a view by peer. The view holds their Merkle root."""
    view: Any = decode(bytes.fromhex(case["expect"]["view"]), size_max=65_536)
    rows = [bytes.fromhex(row) for row in case["expect"]["rows"]]
    assert view[7] == [len(rows), root(rows)]
    found: list[Any] = [decode(row, size_max=65_536) for row in rows]
    return {row[0].hex(): row for row in found}


def _named(comment: str) -> tuple[list[Any], dict[str, int]]:
    """The rows of a case in the order of their peers, and its counters."""
    case = FOLDS[comment]
    rows = _rows(case)
    return [rows[peer] for peer in sorted(rows)], case["expect"]["counters"]


def test_folds_of_a_cheater() -> None:
    """In the simulated network exactly one of four peers is convicted and has lost its weight. One cut earlier no peer
    is convicted."""
    rows, counters = _named("four peers, one of which lies and is convicted")
    assert sorted(row[5] == "convicted" for row in rows) == [False, False, False, True]
    assert [row[6] for row in rows if row[5] == "convicted"] == [0]
    assert counters["decided disputes"] >= 2
    before, _ = _named("two cuts before it, in a file that goes on")
    assert all(row[5] != "convicted" for row in before)


def test_folds_of_comings_and_goings() -> None:
    """The peer that left last is gone, the peer that joined last is a newcomer of its last class, and no audit of a
    gone peer is kept."""
    rows, counters = _named("joins and leaves apply in the order of a log; who has left has no audits")
    assert sorted((row[5], row[1], row[4]) for row in rows) == [
        ("gone", 0, False),
        ("gone", 0, False),
        ("newcomer", 0, True),
        ("newcomer", 1, True),
    ]
    assert "audits" not in counters


def test_folds_of_reports() -> None:
    """One report is a dissent, the second wrong answer convicts, and slander in between costs the reporter."""
    before, counters = _named("a report with digests alone counts, and opens no dispute")
    assert sorted(row[5] for row in before) == ["newcomer"] * 4 + ["suspect"]
    assert (counters["reports"], counters["disputes about reports"]) == (2, 1)
    rows, counters = _named("a second wrong answer that is reported convicts its responder")
    assert sorted(row[5] for row in rows) == ["convicted", "newcomer", "newcomer", "newcomer", "suspect"]
    assert (counters["decided disputes"], counters["disputes about reports"], counters["reports"]) == (3, 3, 4)


def test_folds_of_duties() -> None:
    """A duty counts for a member of the class that was drawn from, and for no member that has changed its class
    since."""
    rows, counters = _named("an audit whose answers differ and the duty that owed it open a dispute")
    assert (counters["audits"], counters["disputes"]) == (1, 1)
    owed, no_shows, met = max((row[10][0], row[10][1], row[11][0]) for row in rows)
    assert (owed - no_shows, met) == (1, 1)
    assert [row[10][0] for row in rows if row[10][0]] == [owed]
    rows, counters = _named("the same after its challenger has changed its class counts for nothing")
    assert counters["duty: class changed since the anchor"] == 1
    assert "disputes" not in counters
    assert {(row[10][0], row[11][0]) for row in rows} == {(0, 0)}


def _lines(comment: str) -> list[Any]:
    """The rows of versions in a case, without the row of the line itself. The view holds the root over both."""
    expect = FOLDS[comment]["expect"]
    view: Any = decode(bytes.fromhex(expect["view"]), size_max=65_536)
    rows = [bytes.fromhex(row) for row in expect["lines"]]
    assert view[10] == [len(rows), root(rows)]
    return [decode(row, size_max=65_536) for row in rows]


def test_folds_of_versions() -> None:
    """A version is announced, current, and recalled. Who claims it and serves the old one has the only dissent."""
    comments = [
        "a release that two of three publishers signed is announced",
        "after its notice it is current, and the version before is served beside it",
        "one key signed two bodies: it is struck, and the body that enough publishers signed counts",
        "four of six members recall version 2",
        "the two publishers that are left recall version 1: version 0 is current again",
    ]
    assert [[row[7] for row in _lines(comment)[1:]] for comment in comments] == [
        ["current", "announced"],
        ["overlap", "current"],
        ["overlap", "current", "announced"],
        ["overlap", "current", "recalled"],
        ["current", "recalled", "recalled"],
    ]
    rows, _ = _named("the members that serve version 1 decide: a dissent")
    assert sorted((row[8][3], row[5]) for row in rows) == [(0, "probation")] * 5 + [(1, "suspect")]
    assert len({row[18][0] for row in rows}) == 2
    (dispute,) = _disputes(
        "each version is audited by its own members; one claims version 1 and answers with version 0"
    )
    (version, _), *_ = sorted((row[18][0], row[0]) for row in rows if row[8][3])
    assert sorted(dispute[3]) == [row[0] for row in rows if row[18][0] == version]
    rows, _ = _named("one of three went back to version 0, the others are behind")
    assert sorted(row[18][1] for row in rows) == [False] * 4 + [True] * 2


def test_folds_of_publishers() -> None:
    """One key is struck, a rotation replaces it, and two complete bodies use up a number."""
    struck, rotated, void = (
        _lines(comment)[0]
        for comment in (
            "one key signed two bodies: it is struck, and the body that enough publishers signed counts",
            "the publishers name a new key, and nobody is struck any more",
            "two bodies that enough publishers signed: neither counts, and the number is used",
        )
    )
    assert [(len(row[2]), row[3], row[4]) for row in (struck, rotated, void)] == [(1, 2, 0), (0, 2, 1), (2, 3, 1)]
    assert len(struck[1][0]) == 3
    assert len(rotated[1][0]) == 2


def _disputes(comment: str) -> list[Any]:
    expect = FOLDS[comment]["expect"]
    view: Any = decode(bytes.fromhex(expect["view"]), size_max=65_536)
    rows = [bytes.fromhex(row) for row in expect["disputes"]]
    assert view[8] == [len(rows), root(rows)]
    return [decode(row, size_max=65_536) for row in rows]


def test_folds_of_disputes() -> None:
    """Sealing closes with two thirds or the third cut. More than half decides: one dissent, two agreements."""
    sealed = "two of three answers are sealed, the challenger's included: the sealing closes"
    rows, counters = _named("two of three answers are opened and equal: decided")
    comments = [
        "a dispute opens",
        sealed,
        "two cuts after the opening without a vote: still open to seals",
        "three cuts after it: the sealing closes",
    ]
    # The first cut has index 1, the dispute opens in the cut with index 2, and 0 means never.
    assert [_disputes(comment)[0][2] for comment in comments] == [0, 3 + 1, 0, 5 + 1]
    assert [len(_disputes(sealed)[0][at]) for at in (3, 5, 6)] == [3, 1, 0]
    assert counters["decided disputes"] == 1
    assert sorted((row[8][2], row[8][3], row[5]) for row in rows) == [
        (0, 1, "suspect"),
        (1, 0, "probation"),
        (1, 0, "probation"),
    ]


def test_folds_of_forks() -> None:
    """A fork at a number that was counted before changes nothing. One at another number restarts the penalty.

    It takes the weight with the next cut.
    """
    once = _named("a fork costs weight and standing")
    again = _named("a fork at one number counts once")
    other = _named("a fork at another number counts again")
    assert [counters["forks"] for _, counters in (once, again, other)] == [1, 1, 2]
    penalties = [[row[12][1] for row in rows if row[5] == "suspect"] for rows, _ in (once, again, other)]
    assert penalties == [[12 + 64 + 1], [12 + 64 + 1], [16 + 64 + 1]]
    assert [sum(row[6] for row in rows) for rows, _ in (once, again, other)] == [3, 2, 2]


def test_folds_of_missed_duties() -> None:
    """Each member misses an epoch with the first cut that is too late for its duty, and only once."""
    comments = [
        "duties of an epoch that can still come are not missed",
        "every member has missed the duties of epoch 20",
        "and none of epoch 21, for which there was no cut to draw from",
    ]
    assert [[row[11][1] for row in _named(comment)[0]] for comment in comments] == [[0] * 3, [1] * 3, [1] * 3]


def test_folds_of_crossed_signatures() -> None:
    """Cuts that are not nested convict their signer only if both are inside the folded cut."""
    inside, _ = _named("signatures of two cuts that are not nested convict")
    beyond, _ = _named("they do not while one of the two cuts holds what the folded cut does not")
    assert sorted(row[14] for row in inside) == ["", "", "", "signed two cuts that are not nested"]
    assert [row[14] for row in beyond] == [""] * 4


def test_every_fault_of_a_fold_has_a_vector() -> None:
    """Each reason for a failed verification or an invalid cut is in a vector."""
    shown = {case["reason"] for case in FOLDS.values() if case["reason"]}
    assert len(_raised()) >= 4
    assert _raised() <= shown
    faults = {
        node.value.elts[1].value
        for node in ast.walk(_tree("replica/states.py"))
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and isinstance(node.value.elts[1], ast.Constant)
        and isinstance(node.value.elts[1].value, str)
    }
    assert len(faults) >= 6
    assert {f"the last cut does not hold: {fault}" for fault in faults} <= shown


def test_fold_files_stay_small() -> None:
    """Files of folds stay readable for people and machines."""
    assert all(file.stat().st_size < 210_000 for file in VECTORS.glob("fold/*.json"))
