"""How a debtor and a creditor speak: the page, the grammar and the code agree."""

import re
from pathlib import Path

from p2pverify.core.contract.tariff import AMOUNT_MAX
from p2pverify.core.encoding.canon import UINT_MAX, encode
from p2pverify.core.records.envelope import EPOCH_MAX
from p2pverify.core.settle.bills import ARREARS_EPOCHS
from p2pverify.core.settle.cheques import SignedCheque
from p2pverify.core.settle.credit import CASH_EPOCHS, DEFAULT_CREDIT, OWED_EPOCHS, SERIES_EPOCHS, series_end
from p2pverify.core.settle.exchange import (
    CHEQUE_ANSWER_BYTES_MAX,
    CHEQUE_BYTES_MAX,
    REFUSED_WORDS,
    ChequeAnswer,
    encode_cheque,
)
from p2pverify.net.protocols import requests
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
PAGE = (PROTOCOL / "cheque.md").read_text(encoding="utf-8")
LARGEST = SignedCheque(EPOCH_MAX, AMOUNT_MAX, UINT_MAX, b"\xff" * 64)


def test_messages_conform() -> None:
    assert conforms("sent-cheque", encode_cheque(LARGEST))
    for answer in (ChequeAnswer("", LARGEST, UINT_MAX), ChequeAnswer("nothing owed", None, 0)):
        assert conforms("cheque-answer", answer.encode())
        assert len(answer.encode()) <= CHEQUE_ANSWER_BYTES_MAX
    assert len(encode_cheque(LARGEST)) <= CHEQUE_BYTES_MAX
    assert not conforms("sent-cheque", encode([1, 0, 1, bytes(64)]))
    assert not conforms("cheque-answer", encode(["", None]))


def test_the_page_has_the_words_in_the_order_of_the_checks() -> None:
    words = re.findall(r"^\| `([a-z ]+)` \| [^|]+ \|$", PAGE.partition("| word | check |")[2], re.MULTILINE)[:8]
    assert set(words) == REFUSED_WORDS


def test_the_page_has_the_numbers() -> None:
    text = " ".join(PAGE.split())
    ends = [series_end(epoch) for epoch in (0, SERIES_EPOCHS - 1, SERIES_EPOCHS)]
    assert ends == [2047, 2047, 3071]
    assert f"{SERIES_EPOCHS} (floor(e / {SERIES_EPOCHS}) + 2) - 1" in text
    assert f"`until` is at least {CASH_EPOCHS} epochs ahead" in text
    assert f"up to {OWED_EPOCHS} epochs after its slot" in text
    assert ARREARS_EPOCHS == 2
    assert "two epochs later" in text
    for name in ("uncovered", "limit", "strangers", "cash"):
        assert re.search(rf"^\| `{name}`: .* \| {getattr(DEFAULT_CREDIT, name):,} \|$", PAGE, re.MULTILINE), name


def test_streams_have_the_limits() -> None:
    page = (PROTOCOL / "streams.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{requests.CHEQUE_PROTOCOL}` \|.*$", page, re.MULTILINE)
    assert (f"{CHEQUE_BYTES_MAX} B" in row, f"1 + {CHEQUE_ANSWER_BYTES_MAX} B" in row) == (True, True)
