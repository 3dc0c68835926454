"""Private reports in a network of real processes: a lie to clients is convicted, and no bystander has the prompt."""

import json
import subprocess
import sys
from pathlib import Path

from p2pverify.core.encoding.canon import encode
from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.inference.question import Question, decode_request
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.report import PrivateReport, report_of
from p2pverify.node.clients.paper import read_receipt
from p2pverify.store.clients.receipts import kept_documents
from p2pverify.store.reading import reading, stored_rows

SCENARIO = Path(__file__).parents[2] / "testnet" / "scenarios" / "clients.toml"
#: Eight peers, of which two never get weight, so they have no seat. Two lost disputes convict.
CHANGES = {
    "peers = 6": "peers = 8\nfounders = 6",
    "seed = 1": "seed = 2",
    "tenure_epochs = 0": "tenure_epochs = 1000",
    "conviction_odds = 1000000": "conviction_odds = 1000",
    "rate = 0.5": "rate = 1.0",
    'report = "reveal"': 'report = "private"',
}
HOPELESS_S = 400
#: Tokens of a part of a prompt that is looked for.
WINDOW = 8


def played(folder: Path) -> Path:
    """The folder with the homes of a testnet that is over: the liar was convicted, and nobody else."""
    text = SCENARIO.read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    scenario, kept = folder / "scenario.toml", folder / "kept"
    scenario.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "p2pverify", "testnet", str(scenario), "--keep", str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HOPELESS_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return kept


def private_reports(home: Path) -> list[PrivateReport]:
    """All reports of the ledger of a home. None is in another form."""
    with reading(home / "node.db") as connection:
        found = [decode_record(row.data) for row in stored_rows(connection) if row.kind == Kind.REPORT]
    reports = [report for record in found if isinstance(report := report_of(record), PrivateReport)]
    assert len(reports) == len(found) > 0
    return reports


def asked(home: Path) -> dict[bytes, Question]:
    """The questions that clients of a node asked, by the ids of the requests."""
    documents = [read_receipt(document) for document in kept_documents(home / "clients.db")]
    answers = [answer for document in documents if document is not None for answer in document.answers]
    return {
        request.id: question for request, question in (decode_request(bytes.fromhex(one.request)) for one in answers)
    }


def holds(home: Path, question: Question) -> bool:
    """Whether a file of a home has a part of a question's prompt: as bytes on the wire, or in hexadecimal.

    A database cuts long values into pages, so the whole prompt need not stand in one piece.
    """
    tokens = [encode(token) for token in question.prompt]
    parts = [b"".join(tokens[at : at + WINDOW]) for at in range(len(tokens) - WINDOW + 1)]
    wanted = [*parts, *(part.hex().encode() for part in parts)]
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    return any(part in data for part in wanted for data in files)


def test_a_private_report_convicts_and_no_bystander_gets_the_prompt(tmp_path: Path) -> None:
    kept = played(tmp_path)
    peers = json.loads((kept / "report.json").read_text(encoding="utf-8"))["peers"]
    homes = {key_of(peer["peer_id"]): kept / peer["name"] for peer in peers}
    (liar,) = (key_of(peer["peer_id"]) for peer in peers if peer["cheat"] is not None)
    (reporter,) = (key for key, home in homes.items() if (home / "clients.db").exists())
    reports, questions = private_reports(homes[reporter]), asked(homes[reporter])
    reported = [questions[report.request] for report in reports]
    assert {(report.reporter, report.responder) for report in reports} == {(reporter, liar)}
    assert all(holds(homes[reporter], question) for question in reported)
    assert all(len(set(question.prompt)) >= WINDOW for question in reported)  # no part is somewhere by chance
    for key, home in homes.items():
        if key not in (reporter, liar):
            assert not any(holds(home, question) for question in reported), home
            data = (home / "node.db").read_bytes()
            assert not any(question.id in data for question in reported)
            assert any(report.request in data for report in reports)
