"""Checks of receipts and passports against a network alone. No node and no ledger takes part."""

from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.proofs.passport import PassportFacts, Refuted, check_passport, decode_passport
from p2pverify.core.proofs.receipt import AnswerFacts, check_answer
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
    """Check all answers of a receipt. `cut` and `named` are as for `check_shown`. Raises Refuted."""
    if receipt.state != "answered" or not receipt.answers:
        raise Refuted(f"it holds no answer: its state is {receipt.state!r}")
    answers = [CheckedAnswer(each, check_shown(network, each, cut, named=named)) for each in receipt.answers]
    return CheckedReceipt(receipt, tuple(answers))


def check_shown(network: Network, shown: ClientAnswer, cut: bytes | None = None, *, named: str = "cut") -> AnswerFacts:
    """Check the bytes of one answer, and that the receipt shows what they say. Raises Refuted.

    `cut` is the id of a cut (32 B) that the reader trusts; `named` is what the reader calls it in messages.
    """
    which = f"answer {shown.index}"
    try:
        request, response = bytes.fromhex(shown.request), bytes.fromhex(shown.response)
        passport = None if shown.passport is None else bytes.fromhex(shown.passport)
    except ValueError:
        raise Refuted(f"{which}: its bytes are not in hex") from None
    try:
        facts = check_answer(network, request, response, passport)
        if facts.passport is not None:
            trust_cut(facts.passport, cut, named=named)
    except Refuted as refuted:
        raise Refuted(f"{which}: {refuted.reason}") from None
    question, output = facts.question, facts.answer.output
    said = {
        "the peer": (shown.peer_id, peer_id(facts.request.responder)),
        "the class": (shown.class_, network.classes[facts.answer.receipt.class_index].name),
        "the prompt": (shown.question.prompt, question.prompt),
        "the seed": (shown.question.seed, question.seed.hex()),
        "the temperature": (shown.question.temperature_milli, question.temperature_milli),
        "the length": (shown.question.tokens_max, question.tokens_max),
        "the requester": (shown.question.requester, peer_id(question.requester)),
        "the model": (shown.question.manifest, question.manifest.hex()),
        "the question": (shown.question.id, question.id.hex()),
        "the answer": (shown.tokens, output.tokens),
        "the end": (shown.finish, output.finish),
    }
    for what, (as_shown, as_signed) in said.items():
        if as_shown != as_signed:
            raise Refuted(f"{which}: {what} that it shows is not the one that was signed")
    return facts


def check_passport_bytes(
    network: Network, data: bytes, cut: bytes | None = None, *, named: str = "cut"
) -> PassportFacts:
    """Check a passport. `cut` and `named` are as for `check_shown`. Raises Refuted, DecodeError."""
    facts = check_passport(network, decode_passport(data))
    trust_cut(facts, cut, named=named)
    return facts


def trust_cut(facts: PassportFacts, cut: bytes | None, *, named: str) -> None:
    """Raise Refuted if the passport is not of the cut that the reader trusts."""
    if cut is not None and facts.cut_id != cut:
        raise Refuted(f"it is of cut {facts.cut_id.hex()[:16]} of epoch {facts.epoch}, not of the cut in {named}")
