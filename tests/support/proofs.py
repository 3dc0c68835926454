"""What passports and receipts show, as their vectors say it: plain values, bytes in hex."""

from dataclasses import asdict

from p2pverify.core.proofs.passport import PassportFacts
from p2pverify.core.proofs.receipt import AnswerFacts


def shown_passport(facts: PassportFacts) -> dict[str, object]:
    """The fields of the row, and those beside it. Those of the version stand there only for a model with versions."""
    found = asdict(facts)
    flat = {**found.pop("row"), **found}
    if flat["manifest"] is None:
        del flat["manifest"], flat["is_behind"]
    times, since, moves_to = flat["handed"]
    flat["handed"] = [times, since, None if moves_to is None else moves_to.hex()]
    flat["contested_by"] = [peer.hex() for peer in flat["contested_by"]]
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in flat.items()}


def shown_answer(facts: AnswerFacts) -> dict[str, object]:
    """Who answered whom what, and the passport."""
    request, output = facts.request, facts.answer.output
    return {
        "request": request.id.hex(),
        "question": request.question.hex(),
        "requester": request.requester.hex(),
        "responder": request.responder.hex(),
        "class_index": facts.answer.receipt.class_index,
        "tokens": list(output.tokens),
        "finish": output.finish,
        "logits": output.logits.hex(),
        "passport": None if facts.passport is None else shown_passport(facts.passport),
    }
