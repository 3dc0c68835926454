"""`settle pledge|cheque|receive`: what reaches the node, and what people read."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.records.payloads.settle.cheque import decode_cheque
from p2pverify.core.records.payloads.settle.payment import decode_payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer, decode_pledge
from p2pverify.node.data.documents import SignedDocument, SignedKind
from p2pverify.node.files.home import Home
from tests.cli.fake_api import FakeApi, body, fake_api
from tests.cli.transcript import run
from tests.support.documents import CHEQUES, LINES

PEER = CHEQUES.tabs[0].client
RECORD = "ab" * 32


def answers(kind: SignedKind, reason: str | None = None) -> dict[str, tuple[int, bytes]]:
    signed = SignedDocument(schema="p2pverify/signed/1", kind=kind, record=None if reason else RECORD, reason=reason)
    return {
        "/v1/cheques": body(CHEQUES),
        "/v1/lines": body(LINES),
        f"/v1/sign?kind={kind}": body(signed, 202),
    }


def asked(home: Home, api: FakeApi, tmp: Path, *args: str) -> tuple[int, str, bytes]:
    done = run(home.path, "settle", *args, cwd=tmp)
    return done.returncode, done.stdout + done.stderr, api.posted[-1] if api.posted else b""


def test_a_pledge_names_the_line(home: Home, tmp_path: Path) -> None:
    with fake_api(home, answers("pledge")) as api:
        name = LINES.lines[0].name
        code, text, sent = asked(home, api, tmp_path, "pledge", name, "--bounty", "1.5", "--first", "3", "--last", "6")
        assert (code, RECORD in text, "6.000000" in text) == (0, True, True)
        assert decode_pledge(sent) == PledgeOffer(LINES.lines[0].index, 1_500_000, 3, 6)
        code, text, _ = asked(home, api, tmp_path, "pledge", "none", "--bounty", "1", "--first", "3", "--last", "6")
        assert (code, f"there are {name}" in text) == (1, True)
        code, text, _ = asked(home, api, tmp_path, "pledge", name, "--bounty", "1", "--first", "3", "--last", "2")
        assert code == 2
        code, text, _ = asked(home, api, tmp_path, "pledge", name, "--bounty", "0", "--first", "3", "--last", "3")
        assert code == 2


def test_a_cheque_goes_onto_the_ledger_as_it_was_signed(home: Home, tmp_path: Path) -> None:
    with fake_api(home, answers("cheque")) as api:
        code, text, _ = asked(home, api, tmp_path, "cheque")
        assert code == 0
        assert "one answer costs 0.010000 credit" in text
        assert "0.050000" in text
        assert not api.posted
        code, text, sent = asked(home, api, tmp_path, "cheque", "--debtor", PEER)
        assert (code, "put 0.020000 credit" in text) == (0, True)
        held, cheque = CHEQUES.cheques[0], decode_cheque(sent)
        assert (cheque.debtor, cheque.until, cheque.cumulative) == (key_of(PEER), held.until, held.cumulative)
        assert (cheque.count, cheque.signature.hex()) == (held.count, held.signature)
        api.bodies["/v1/cheques"] = body(replace(CHEQUES, cheques=(replace(held, known=held.cumulative),)))
        code, text, _ = asked(home, api, tmp_path, "cheque", "--all")
        assert (code, "the ledger has the newest cheques already" in text) == (1, True)
        api.bodies["/v1/cheques"] = body(replace(CHEQUES, cheques=()))
        code, text, _ = asked(home, api, tmp_path, "cheque", "--debtor", PEER)
        assert (code, "this node holds no cheque of that client" in text) == (1, True)
        api.bodies["/v1/cheques"] = body(replace(CHEQUES, cheques=(), tabs=(), bills=()))
        code, text, _ = asked(home, api, tmp_path, "cheque")
        assert (code, "no client owes this node anything" in text) == (0, True)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [("more than is owed", "'p2pverify settle netting'"), ("author has no weight", "only members with weight")],
)
def test_a_refusal_says_what_to_do(home: Home, tmp_path: Path, reason: str, hint: str) -> None:
    with fake_api(home, answers("payment", reason)) as api:
        code, text, sent = asked(home, api, tmp_path, "receive", PEER, "0.25", "--reference", "transfer 17")
        assert (code, reason in text, hint in text) == (4, True, True)
        payment = decode_payment(sent)
        assert (payment.debtor, payment.amount, payment.reference) == (key_of(PEER), 250_000, b"transfer 17")


def test_wrong_calls_send_nothing(home: Home, tmp_path: Path) -> None:
    with fake_api(home, answers("payment")) as api:
        for args in (("nobody", "1"), (PEER, "0"), (PEER, "1.0000001"), (PEER, "1", "--reference", "x" * 33)):
            code, _, _ = asked(home, api, tmp_path, "receive", *args)
            assert code == 2
        assert not api.posted
        api.bodies["/v1/cheques"] = body(replace(CHEQUES, unit=None))
        code, text, _ = asked(home, api, tmp_path, "receive", PEER, "1")
        assert (code, "no tariff" in text) == (4, True)
