"""Checks a receipt as a file: its bytes against a network, and what it shows against its bytes.

The page is protocol/client-receipt.md. Nothing here needs a node or the ledger.
"""

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.proofs.passport import Refuted
from p2pverify.core.proofs.receipt import AnswerFacts, check_answer
from p2pverify.node.reports.documents.jsonform import DocumentError, parse
from p2pverify.node.reports.documents.receipt import ClientAnswer, ReceiptDocument

RECEIPT_FILE_BYTES_MAX = 67_108_864


def parse_receipt_file(data: bytes) -> ReceiptDocument:
    """The receipt in a file, which holds an answer. Raises DocumentError; whether it holds is not checked.

    Its state is "failed" if the answers have no majority, so that its client got none of them.
    """
    if len(data) > RECEIPT_FILE_BYTES_MAX:
        raise DocumentError(f"more than {RECEIPT_FILE_BYTES_MAX} bytes")
    try:
        receipt = parse(ReceiptDocument, data.decode())
    except UnicodeDecodeError:
        raise DocumentError("not JSON") from None
    if receipt.state == "asking" or not receipt.answers:
        raise DocumentError(f"it holds no answer: its state is {receipt.state!r}")
    return receipt


def check_receipt_document(network: Network, receipt: ReceiptDocument) -> tuple[AnswerFacts, ...]:
    """What the bytes of each answer show. Raises Refuted.

    A receipt holds if the bytes of each answer hold, and if it shows nothing else than what they say. Its text, and
    everything that nobody has signed, is not checked.
    """
    if receipt.network != network.id.hex():
        raise Refuted("it is of another network")
    return tuple(_check_answer(network, shown) for shown in receipt.answers)


def _check_answer(network: Network, shown: ClientAnswer) -> AnswerFacts:
    """What the bytes of one answer show. Raises Refuted."""
    try:
        facts = check_answer(network, *_bytes(shown))
    except Refuted as refuted:
        raise Refuted(f"answer {shown.index}: {refuted.reason}") from None
    for what, as_shown, as_signed in _said(network, shown, facts):
        if as_shown != as_signed:
            raise Refuted(f"answer {shown.index}: {what} that it shows is not the one that was signed")
    return facts


def _bytes(shown: ClientAnswer) -> tuple[bytes, bytes, bytes | None]:
    """Request, response and passport. Raises Refuted."""
    return _hex(shown.request), _hex(shown.response), None if shown.passport is None else _hex(shown.passport)


def _hex(text: str) -> bytes:
    """The bytes that lower-case hexadecimal digits stand for, without anything between them. Raises Refuted."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if data.hex() != text:
        raise Refuted("its bytes are not in hex")
    return data


def _said(network: Network, shown: ClientAnswer, facts: AnswerFacts) -> list[tuple[str, object, object]]:
    """Everything that a receipt shows and that somebody has signed: its name, as shown, and as signed."""
    question, output, receipt = facts.question, facts.answer.output, facts.answer.receipt
    asked = shown.question
    return [
        ("the peer", shown.peer_id, peer_id(facts.request.responder)),
        ("the class", shown.class_, network.classes[receipt.class_index].name),
        ("the prompt", asked.prompt, question.prompt),
        ("the seed", asked.seed, question.seed.hex()),
        ("the temperature", asked.temperature_milli, question.temperature_milli),
        ("the length", asked.tokens_max, question.tokens_max),
        ("the requester", asked.requester, peer_id(question.requester)),
        ("the model", asked.manifest, question.manifest.hex()),
        ("the question", asked.id, question.id.hex()),
        ("the answer", shown.tokens, output.tokens),
        ("the end", shown.finish, output.finish),
        ("the digest of the logits", shown.logits, output.logits.hex()),
        ("the number of tokens", shown.receipt_token_count, receipt.token_count),
        ("the waiting time", shown.queue_ms, receipt.queue_ms),
        ("the time of the first token", shown.first_token_ms, receipt.first_token_ms),
        ("the whole time", shown.total_ms, receipt.total_ms),
    ]
