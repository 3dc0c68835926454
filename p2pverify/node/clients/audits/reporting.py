"""From a wrong answer to its report: the salt that opens the request, and what the client lets others learn."""

from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.events import WrongAnswer
from p2pverify.core.inference.question import EXPIRY_EPOCHS
from p2pverify.core.proofs.receipt import AnswerFacts
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.disputes.reporter import can_show
from p2pverify.core.state.lines.versions import model_of
from p2pverify.node.clients.book import ReportWish

#: The wishes by which the seats of a dispute get the question.
SHOWING: tuple[ReportWish, ...] = ("reveal", "private")


def client_salt(context: Context, receipt_id: str, index: int, peer: bytes) -> bytes:
    """The secret salt (32 B) of a client's request. An order asks a peer each question once, so no salt comes twice."""
    return context.secret("client salt", receipt_id, index, peer)


def wrong_answer(
    context: Context, receipt_id: str, index: int, facts: AnswerFacts, wish: ReportWish, own_digest: bytes | None
) -> WrongAnswer | None:
    """The report of a wrong answer; None if the client does not agree, or if no dispute could decide it.

    Only answers of this peer's own class are reported, and of the version that the other serves, because voters compute
    with it. `own_digest` is that of its own answer, for the wish "digest".
    """
    request, receipt, question = facts.request, facts.answer.receipt, facts.question
    state = context.fold.latest
    kind = context.network.classes[context.class_index]
    if wish == "never" or kind.is_any or receipt.class_index != context.class_index or request.requester != context.key:
        return None
    responder = request.responder
    if responder not in state.members or model_of(context.network, state, responder) != question.manifest:
        return None
    if wish in SHOWING and (not can_show(question) or receipt.token_count > ANSWER_TOKENS_MAX):
        return None
    epoch, salt = request.expiry_epoch - EXPIRY_EPOCHS, client_salt(context, receipt_id, index, request.responder)
    nonce = sealed_nonce(context.network_id, context.key, request.responder, max(0, epoch), question.id, salt)
    if epoch < 0 or nonce != request.nonce:
        return None  # the request of an older version of this program
    said = (question.id, request.expiry_epoch, request.responder, nonce, salt, receipt)
    report = AnswerReport(context.key, epoch, *said, None if wish in SHOWING else own_digest)
    return WrongAnswer(report, question, is_private=wish == "private")
