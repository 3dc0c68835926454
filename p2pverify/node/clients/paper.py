"""Writes and reads receipts as documents."""

import json
from collections.abc import Sequence

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.agreement import Relation
from p2pverify.core.inference.question import Question
from p2pverify.node.clients.asking import AnsweredQuestion, PeerAnswer
from p2pverify.node.clients.choice import AnswerPeer
from p2pverify.node.clients.language import Language
from p2pverify.node.reports.documents.jsonform import DocumentError, parse, written
from p2pverify.node.reports.documents.receipt import (
    AnswerCost,
    AskedQuestion,
    ClientAnswer,
    ComparedName,
    EventName,
    FullCheckDocument,
    ReceiptDocument,
    ReceiptEvent,
)

_COMPARED: dict[Relation, ComparedName] = {
    Relation.AGREES: "agrees",
    Relation.DIFFERS: "differs",
    Relation.NOT_COMPARED: "not compared",
}


def check_document(index: int, answered: AnsweredQuestion) -> FullCheckDocument:
    """What a full check has found, in numbers."""
    relations = answered.agreement.relations
    return FullCheckDocument(
        index=index,
        panel=answered.panel,
        answers=len(answered.answers),
        agree=relations.count(Relation.AGREES),
        differ=relations.count(Relation.DIFFERS),
        not_compared=relations.count(Relation.NOT_COMPARED),
        majority=answered.returned is not None,
    )


def answer_document(
    index: int,
    question: Question,
    answered: PeerAnswer,
    network: Network,
    language: Language,
    passport: bytes | None,
    checked: tuple[str, ...],
    *,
    returned: bool,
    relation: Relation | None,
) -> ClientAnswer:
    """One answer with everything that is known of it."""
    who, output = answered.candidate, answered.exchanged.answer.output
    receipt = answered.exchanged.answer.receipt
    return ClientAnswer(
        index=index,
        peer_id=peer_id(who.peer),
        own=who.is_own,
        standing=None if who.standing is None else who.standing.value,
        low=who.low_ppm / 1_000_000,
        high=who.high_ppm / 1_000_000,
        audits=who.audits,
        class_=network.classes[who.class_index].name,
        cut=who.cut.hex(),
        cut_epoch=who.epoch,
        question=AskedQuestion(
            id=question.id.hex(),
            manifest=question.manifest.hex(),
            prompt=question.prompt,
            tokens_max=question.tokens_max,
            temperature_milli=question.temperature_milli,
            seed=question.seed.hex(),
            requester=peer_id(question.requester),
        ),
        tokens=output.tokens,
        finish="stop" if output.finish == "stop" else "length",
        logits=output.logits.hex(),
        text=b"".join(map(language.piece, output.tokens)).decode(errors="replace"),
        request=answered.exchanged.request.hex(),
        response=answered.exchanged.response.hex(),
        passport=None if passport is None else passport.hex(),
        receipt_token_count=receipt.token_count,
        queue_ms=receipt.queue_ms,
        first_token_ms=receipt.first_token_ms,
        total_ms=receipt.total_ms,
        elapsed_ms=answered.elapsed_ms,
        checked=checked,
        returned=returned,
        compared=None if relation is None else _COMPARED[relation],
    )


def cost_document(network: Network, answers: Sequence[ClientAnswer]) -> AnswerCost | None:
    """What answers cost; None in a network without a tariff. Answers of the own engine cost nothing."""
    tariff = network.tariff
    if tariff is None:
        return None
    count = sum(not one.own for one in answers)
    return AnswerCost(unit=tariff.unit, price=tariff.answer, answers=count, total=count * tariff.answer)


def event_document(at_ms: int, event: EventName, index: int, candidate: AnswerPeer, detail: str) -> ReceiptEvent:
    """Something that happened to an order."""
    return ReceiptEvent(at_ms=at_ms, event=event, index=index, peer_id=peer_id(candidate.peer), detail=detail)


def dumped(document: ReceiptDocument) -> bytes:
    """A receipt in JSON, as it is kept."""
    return json.dumps(written(document), separators=(",", ":"), allow_nan=False).encode()


def read_receipt(data: bytes) -> ReceiptDocument | None:
    """A kept receipt; None if it is damaged."""
    try:
        return parse(ReceiptDocument, data)
    except DocumentError:
        return None
