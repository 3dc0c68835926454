"""The tables and the page of a case: everything in them comes from the facts, and nothing is code."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from p2pverify.testnet.cases.facts import CheckFacts, EventFacts
from p2pverify.testnet.cases.page import page
from p2pverify.testnet.cases.plots import bars_plot, lines_plot
from p2pverify.testnet.cases.registry import STUDIES
from p2pverify.testnet.cases.study import CaseText
from p2pverify.testnet.cases.tables import account_rows, aligned, money, peer_rows, summary
from tests.testnet.cases.examples import ACCOUNTS, FACTS, PEER

TEXT = CaseText("A title", "A question?", ("context",), ("method",), ("discussion",))
#: Elements that have no end.
_VOID = {"meta"}


class Reader(HTMLParser):
    """Holds elements against each other, and keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href") or name.startswith("on")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    found = Reader()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_of_each_study_is_whole_and_needs_nothing_else(name: str) -> None:
    """Well-formed, with all parts, without scripts, links and files of others."""
    found = read(page(replace(FACTS, study=name), STUDIES[name].text, 75.4))
    assert found.links == []
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert found.tags.count("svg") == 2
    for heading in ("Context", "Method", "Results", "Discussion", "Check it yourself"):
        assert heading in found.text
    for paragraph in (*STUDIES[name].text.context, *STUDIES[name].text.method, *STUDIES[name].text.discussion):
        assert paragraph in found.text


def test_a_reader_finds_who_cheated_and_who_was_paid() -> None:
    found = read(page(FACTS, TEXT, 75.4)).text
    assert "pass after 75 s" in found
    assert "peer2 (hospital) cheated: poison-labels. It is trusted, and has 0.0% of the credit." in found
    assert "peer4 (registry) cheated: stale-version. It is convicted." in found
    assert "The credit went to the honest contributors: peer1 80%, peer3 20%." in found
    assert "The model's AUC went from 0.500 to 0.920 in 2 rounds." in found
    assert "Epoch 6: a patient withdrew." in found
    assert "7 of 8" in found


def test_a_failed_run_says_what_failed() -> None:
    failed = replace(FACTS, checks=(CheckFacts(what="no honest peer is convicted", found="peer1", holds=False),))
    assert "Not as expected: no honest peer is convicted." in read(page(failed, TEXT, 9)).text
    assert "NOT no honest peer is convicted: peer1" in summary(failed)
    assert failed.document()["verdict"] == "fail"


def test_texts_are_escaped_everywhere() -> None:
    """A text that looks like an element or an attribute is shown as it is."""
    evil = '<script>alert("1")</script>&\'"'
    peers = (replace(PEER, name=evil, role=evil, cheat=evil, standing=evil, note=evil), *FACTS.peers[1:])
    accounts = (replace(ACCOUNTS[0], name=evil), *ACCOUNTS[1:])
    facts = replace(
        FACTS,
        peers=peers,
        accounts=accounts,
        unit=evil,
        data=evil,
        licence=evil,
        trainer=evil,
        mode=evil,
        events=(EventFacts(epoch=1, what=evil),),
        checks=(CheckFacts(what=evil, found=evil, holds=False),),
    )
    text = page(facts, CaseText(evil, evil, (evil,), (evil,), (evil,)), 1)
    found = read(text)
    assert "script" not in found.tags
    assert "<script" not in text
    assert found.links == []


def test_accounts_are_shown_with_their_sum() -> None:
    """The sum over all that accounts have, escrow included, is 0."""
    facts = replace(FACTS, unit="USD", accounts=ACCOUNTS, peers=(replace(PEER, paid=500_000), *FACTS.peers[1:]))
    rows = account_rows(facts)
    assert rows[0][:3] == ("peer1", "-1.5", "0.5")
    assert rows[-1][:2] == ("sum", "0")
    found = read(page(facts, TEXT, 1))
    assert found.tags.count("svg") == 3
    assert "were paid for training, in USD: peer1 0.5" in found.text
    assert "accounts in USD" in summary(facts)
    assert account_rows(FACTS) == []


def test_tables_for_a_terminal() -> None:
    """Columns are aligned, and each row ends without spaces."""
    rows = peer_rows(FACTS)
    assert rows[1][:7] == ("peer2", "hospital", "poison-labels", "trusted", "71", "0.0%", "-")
    assert rows[3][4:8] == ("-", "-", "-", "-")
    text = summary(FACTS)
    assert not re.search(r" $", text, re.MULTILINE)
    assert aligned(("PEER", "ROWS"), [("a", "7"), ("bcdef", "1234")]) == "PEER   ROWS\na         7\nbcdef  1234"
    assert [money(amount) for amount in (None, 0, 1, -1_500_000, 10_000_000)] == ["-", "0", "0.000001", "-1.5", "10"]


def test_the_document_is_json() -> None:
    """And has everything of the facts."""
    document = json.loads(json.dumps(FACTS.document()))
    assert (document["schema"], document["verdict"]) == ("p2pverify/case-report/1", "pass")
    assert document["peers"][1]["cheat"] == "poison-labels"
    assert [one["auc"] for one in document["versions"]] == [0.5, 0.91, 0.92]


@pytest.mark.parametrize("values", [[], [0.0], [0.5, 0.5], [-3.0, 2.0, 0.0]])
def test_plots_of_few_and_of_equal_values(values: list[float]) -> None:
    """All points lie within the frame."""
    names = [f"n{at}" for at in range(len(values))]
    for text in (
        bars_plot("bars", names, values, [False] * len(values)),
        lines_plot("lines", list(range(len(values))), [("one", values)], [("level", 1.0)]),
    ):
        read(text)
        heights = [float(number) for number in re.findall(r'\b(?:y|y1|y2|cy)="([-0-9.]+)"', text)]
        assert all(0 <= height <= 260 for height in heights)
