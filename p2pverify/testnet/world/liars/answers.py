"""Peers that give wrong answers, answer slowly, or do not answer."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable, Sequence
from dataclasses import replace

from p2pverify.core.contract.output import NO_LOGITS
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import (
    AskFailed,
    Compute,
    Computed,
    ComputeFailed,
    Effect,
    Event,
    RequestArrived,
    Respond,
    ResponseArrived,
    Send,
)
from p2pverify.core.inference.question import (
    Question,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import decode_audit
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.roles.slot_plan import slot_question
from p2pverify.testnet.world.liars.base import MILLION, OWN_ASKS, BentActor, chance, false_tokens
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect
from p2pverify.testnet.world.peer.engine import honest_answer
from p2pverify.testnet.world.peer.versions import MANIFEST


class Wrong(BentActor):
    """Answers a share of all questions wrongly from its onset on. Its engine is wrong, so its own audits and votes are
    wrong too. The question decides whether the answer is wrong, so a repeated question gets the same answer.
    """

    salt: bytes

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self.rate_ppm = args.rate_ppm
        self.salt = self.key

    def lies(self, sampler_key: bytes) -> bool:
        return chance(self.salt, sampler_key, ppm=self.rate_ppm)

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        if self.epoch(now_ms) < self.args.onset_epoch or not self.lies(job.ask.sampler_key):
            return honest
        return false_tokens(honest, self.salt + job.ask.sampler_key)


class LongOnly(Wrong):
    """Lies only in answers that are longer than most audits ask for."""

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        is_long = job.ask.tokens_max > self.args.network.params.answer_tokens
        return super().answer(job, honest, now_ms) if is_long else honest


class StaleVersion(BentActor):
    """Claims each new version of its model and goes on with version 0, which costs it nothing to serve."""

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        return honest_answer(replace(job, model=MANIFEST.digest), self.machine.context.class_index)


class AlwaysWrong(Wrong):
    """Every answer is wrong."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self.rate_ppm = MILLION


class Colluder(Wrong):
    """One of a gang that gives the same wrong answers and votes for them.

    Its own audits are false in favour of the gang. If a friend's false answer stands beside an honest one, the audit
    says that the honest peer did not answer and that the others agree. If no answer is left, the audit is withheld.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self.salt = b"gang" + args.network.id
        self._whitewashed: dict[int, set[int]] = {}  # slots by epoch

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if kind == Kind.AUDIT:
            return self._whitewash(payload)
        return self._open_all(payload) if kind == Kind.DUTY else payload

    def _whitewash(self, payload: bytes) -> bytes | None:
        """The audit without the answers that contradict a lie of the gang; None if no answer is left."""
        audit = decode_audit(payload, self.context.network_id, self.key)
        plan = self.machine.challenger.opening(audit.epoch, audit.slot)
        if not audit.differ or plan is None or plan.opening is None:
            return payload
        if not self.lies(slot_question(self.context, plan.panel.contract, plan.slot, (0,), self.key).sampler_key):
            return payload
        asked = tuple(
            a
            if a.receipt is not None and audit.matches(a.receipt, plan.opening.output)
            else replace(a, receipt=None, elapsed_ms=0)
            for a in audit.asked
        )
        if all(a.receipt is None for a in asked):
            return None
        self._whitewashed.setdefault(audit.epoch, set()).add(audit.slot)
        return replace(audit, differ=False, asked=asked).encode()

    def _open_all(self, payload: bytes) -> bytes:
        """The duty with the openings of whitewashed audits. The machine leaves them out, because its audits differ."""
        duty = decode_duty(payload)
        known = {opening.slot: opening for opening in duty.openings}
        for slot in sorted(self._whitewashed.pop(duty.epoch, ())):
            plan = self.machine.challenger.opening(duty.epoch, slot)
            if plan is not None and plan.opening is not None:
                known[slot] = plan.opening
        return replace(duty, openings=tuple(known[slot] for slot in sorted(known))).encode()


class Slow(BentActor):
    """Runs on a slower machine than it claims, and is honest otherwise."""

    slowness = 4


class Silent(BentActor):
    """Takes part in everything but answers no requests."""

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if isinstance(effect, Respond) and self.epoch(now_ms) >= self.args.onset_epoch:
            return ()
        return (effect,)


class Proxy(BentActor):
    """Forwards each question to an honest peer and signs the answer.

    It must ask under its own name, which makes another question. It has an engine for its own audits and votes.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._questions: BoundedDict[bytes, Question] = BoundedDict(256)  # by sampler key
        self._asks: dict[int, tuple[int, Request]] = {}
        self._asked = 0

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if isinstance(event, RequestArrived):
            try:
                question = decode_request(event.data)[1]
            except RequestRefused:
                return (event,)
            self._questions[question.sampler_key] = question
        elif isinstance(event, ResponseArrived | AskFailed) and event.ask in self._asks:
            return (self._forwarded(event),)
        return (event,)

    def _forwarded(self, event: ResponseArrived | AskFailed) -> Event:
        job, request = self._asks.pop(event.ask)
        if isinstance(event, AskFailed):
            return ComputeFailed(job, event.reason)
        try:
            answer = decode_response(event.data, request)
        except (RequestRefused, DecodeError) as refused:
            return ComputeFailed(job, str(refused))
        return Computed(job, (), replace(answer.output, logits=NO_LOGITS), 0, 0, 0)

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        question = self._questions.pop(effect.ask.sampler_key, None) if isinstance(effect, Compute) else None
        if question is None or not isinstance(effect, Compute) or not self.args.honest:
            return (effect,)
        own = replace(question, requester=self.key)
        target = self.args.honest[self.args.dice.below(len(self.args.honest))]
        expiry = self.epoch(now_ms) + 4
        nonce = self.context.secret("proxy", own.id, expiry)
        request = Request(self.context.network_id, self.key, target, own.id, nonce, expiry)
        self._asked += 1
        ask = OWN_ASKS + self._asked
        self._asks[ask] = (effect.job, request)
        data = encode_request(request, own, sign_request(self.context.seed, request))
        return (Send(ask, target, data, now_ms + self.args.network.params.deadline_ms // 2),)
