"""Peers that report the answers of others falsely."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable, Sequence

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Effect, Event, ResponseArrived, Send, WrongAnswer
from p2pverify.core.inference.question import (
    EXPIRY_EPOCHS,
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.state.lines.versions import model_of
from p2pverify.testnet.world.liars.base import OWN_ASKS, BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect


class FalseReporter(BentActor):
    """Slanders by reports: in each epoch it asks a member of its class, as for a client, and reports the right answer
    as wrong. It shows the question to the seats, because otherwise nothing is decided. It is honest in its slots.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._asked_epoch = -1
        self._asked: dict[int, tuple[int, bytes, Question, Request]] = {}  # epoch, salt, question, request

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch = self.epoch(now_ms)
        if epoch <= self._asked_epoch or not self.is_awake(now_ms):
            return
        self._asked_epoch = epoch
        victims = self._victims()
        if victims and self.chance(epoch.to_bytes(8, "big"), ppm=self.args.rate_ppm):
            yield self._ask(victims[epoch % len(victims)], epoch, now_ms)

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if not isinstance(event, ResponseArrived | AskFailed) or event.ask not in self._asked:
            return (event,)
        epoch, salt, question, request = self._asked.pop(event.ask)
        if isinstance(event, AskFailed):
            return ()
        try:
            receipt = decode_response(event.data, request).receipt
        except (RequestRefused, DecodeError):
            return ()
        said = (request.question, request.expiry_epoch, request.responder, request.nonce, salt, receipt)
        return (WrongAnswer(AnswerReport(self.key, epoch, *said, None), question),)

    def _victims(self) -> list[bytes]:
        members = self.context.fold.latest.members
        own = self.args.class_index
        return [
            key
            for key, member in sorted(members.items())
            if key != self.key and member.active and member.class_index == own and not member.is_convicted
        ]

    def _ask(self, victim: bytes, epoch: int, now_ms: int) -> Send:
        context, params = self.context, self.context.params
        salt = context.secret("false report", epoch)
        question = Question(
            model_of(context.network, context.fold.latest, victim),
            tuple(sha256(salt)[: params.prompt_tokens]),
            params.answer_tokens,
            params.temperature_milli,
            salt[:16],
            self.key,
        )
        nonce = sealed_nonce(context.network_id, self.key, victim, epoch, question.id, salt)
        request = Request(context.network_id, self.key, victim, question.id, nonce, epoch + EXPIRY_EPOCHS)
        ask = OWN_ASKS + epoch
        self._asked[ask] = (epoch, salt, question, request)
        data = encode_request(request, question, sign_request(context.seed, request))
        return Send(ask, victim, data, now_ms + params.deadline_ms // 2)
