"""Checks of receipts and passports against a network alone. No node and no ledger takes part."""

from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.proofs.passport import PassportFacts, Refuted, check_passport, decode_passport
from p2pverify.core.proofs.receipt import AnswerFacts
from p2pverify.node.clients.checking import check_receipt_document
from p2pverify.node.reports.documents.receipt import ClientAnswer, ReceiptDocument


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """One answer as the receipt shows it, and what its signed bytes say; both agree."""

    shown: ClientAnswer
    facts: AnswerFacts


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """A receipt that holds, with each of its answers."""

    document: ReceiptDocument
    answers: tuple[CheckedAnswer, ...]


def check_receipt(
    network: Network, receipt: ReceiptDocument, cut: bytes | None = None, *, named: str = "cut"
) -> CheckedReceipt:
    """Check all answers of a receipt. Raises Refuted.

    `cut` is the id of a cut (32 B) that the reader trusts; `named` is what the reader calls it in messages.
    """
    if receipt.state == "asking" or not receipt.answers:
        raise Refuted(f"it holds no answer: its state is {receipt.state!r}")
    held = check_receipt_document(network, receipt)
    answers = tuple(CheckedAnswer(*each) for each in zip(receipt.answers, held, strict=True))
    for each in answers:
        if each.facts.passport is not None:
            try:
                trust_cut(each.facts.passport, cut, named=named)
            except Refuted as refuted:
                raise Refuted(f"answer {each.shown.index}: {refuted.reason}") from None
    return CheckedReceipt(receipt, answers)


def check_passport_bytes(
    network: Network, data: bytes, cut: bytes | None = None, *, named: str = "cut"
) -> PassportFacts:
    """Check a passport. `cut` and `named` are as for `check_receipt`. Raises Refuted, DecodeError."""
    facts = check_passport(network, decode_passport(data))
    trust_cut(facts, cut, named=named)
    return facts


def trust_cut(facts: PassportFacts, cut: bytes | None, *, named: str) -> None:
    """Raise Refuted if the passport is not of the cut that the reader trusts."""
    if cut is not None and facts.cut_id != cut:
        raise Refuted(f"it is of cut {facts.cut_id.hex()[:16]} of epoch {facts.epoch}, not of the cut in {named}")
