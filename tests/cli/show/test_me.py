"""The command `me`: one line for all audits, and a row for each peer."""

from dataclasses import replace

from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.jsonform import parse
from p2pverify.node.reports.documents.me import MeDocument, PeerFigures
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import run
from tests.support.documents import ALICE, ME, OWN_FIGURES

ACCUSED = replace(OWN_FIGURES, wrong=4, audits=40, at_most=0.214, accused=True, accused_after=40, chance=1e-6)


def shown(home: Home, document: MeDocument, *options: str) -> str:
    with fake_api(home, {"/v1/me": body(document)}):
        done = run(home.path, "me", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_figures_stand_beside_the_networks(home: Home) -> None:
    lines = shown(home, ME).splitlines()
    assert lines[0] == ("network 98-100 %; you: 0 wrong of 214 (at most 1.4 %); treated like the auditors (p = 0.6)")
    assert lines[1].split() == ["PEER", "STANDING", "SCORE", "AUDITED", "WRONG", "AT", "MOST", "P", "FINDING"]
    assert max(map(len, lines[1:])) <= 80


def test_who_lies_is_named(home: Home) -> None:
    """A peer whose test reached the threshold, and one whose treatment is only unlikely."""
    worse = replace(ACCUSED, accused=False, accused_after=None, chance=0.0004)
    peers = (
        PeerFigures(peer_id=ALICE, standing="trusted", figures=ACCUSED),
        PeerFigures(peer_id=ALICE[:-1] + "X", standing=None, figures=worse),
    )
    text = shown(home, replace(ME, all=ACCUSED, peers=peers))
    assert "4 wrong of 40 (at most 21.4 %); wrong too often, after 40 audits (p = 1e-06)" in text
    assert text.splitlines()[-1].endswith("worse")


def test_nothing_was_audited_yet(home: Home) -> None:
    none = replace(OWN_FIGURES, audits=0, at_most=1.0, chance=1.0)
    text = shown(home, replace(ME, all=none, peers=(), audit_rate=0.0))
    assert text.splitlines() == [
        "network 98-100 %; you: no answer was audited yet",
        "audit_rate in config.toml is 0, so no receipt is scored again",
    ]


def test_json_is_the_documents_text(home: Home) -> None:
    assert parse(MeDocument, shown(home, ME, "--json")) == ME
