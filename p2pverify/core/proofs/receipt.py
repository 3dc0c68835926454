"""One answer that a client got, checked by its bytes: the signed request, the response with its receipt, a passport."""

from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
)
from p2pverify.core.proofs.passport import PassportFacts, Refuted, check_passport, decode_passport


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What the bytes show: who asked whom what, the answer, and the responder's row; None without a passport.

    The definition of a network names the model of each class, and of a line its first version. That the question's
    model is a later version, and that the responder serves it, only the row can show.
    """

    request: Request
    question: Question
    answer: Answer
    passport: PassportFacts | None

    @property
    def served(self) -> bytes | None:
        """The manifest (digest, 32 B) of the version that the responder served, by its row. None: no row says it."""
        return None if self.passport is None else self.passport.row.manifest


def check_answer(network: Network, request: bytes, response: bytes, passport: bytes | None) -> AnswerFacts:
    """What the bytes of one answer show in a network. Raises Refuted.

    It holds if the requester signed the request, the responder signed a receipt for exactly these tokens, the receipt
    is of a class that runs the model asked for, or a line of which this can be a version, and the passport is the
    responder's.
    """
    try:
        asked, question = decode_request(request)
    except RequestRefused as refused:
        raise Refuted(f"the request does not hold: {refused.detail}") from None
    if asked.network != network.id:
        raise Refuted("it is of another network")
    try:
        answer = decode_response(response, asked)
    except (RequestRefused, DecodeError) as wrong:
        raise Refuted(f"the response does not hold: {wrong}") from None
    place = answer.receipt.class_index
    if place >= len(network.classes) or not can_run(network, place, question.manifest):
        raise Refuted("the receipt is of a class that does not run the model asked for")
    return AnswerFacts(asked, question, answer, None if passport is None else _responder(network, asked, passport))


def can_run(network: Network, class_index: int, manifest: bytes) -> bool:
    """Whether a class of a network can run a model (the digest of its manifest), as far as the definition says."""
    if network.classes[class_index].manifest == manifest:
        return True
    return network.line_of(class_index) is not None and manifest not in network.manifests


def _responder(network: Network, asked: Request, data: bytes) -> PassportFacts:
    """The row of the responder. Raises Refuted."""
    try:
        facts = check_passport(network, decode_passport(data))
    except DecodeError as wrong:
        raise Refuted(f"the passport does not hold: {wrong.reason}") from None
    if facts.row.peer != asked.responder:
        raise Refuted("the passport is of another peer")
    return facts
