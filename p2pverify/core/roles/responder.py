"""Answering requests. An audit and a client's request look alike and are treated alike."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial

from p2pverify.core.contract.output import Output
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.counters import Counters
from p2pverify.core.encoding import sign
from p2pverify.core.events import Computed, ComputeFailed, Effects, Follow, Persist, Respond, StoredAnswer
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Receipt,
    Request,
    RequestRefused,
    decode_request,
    encode_answer,
    encode_refusal,
    patience_ms,
    salted_digest,
)
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.settle.creditor import Creditor

#: Tokens of the answers kept in memory; each answer counts as at least `ANSWER_TOKENS_MIN`, so at most 4,096 are kept.
#: A dropped answer is computed again on request, with the same result.
ANSWER_TOKENS_KEPT = 4_194_304
ANSWER_TOKENS_MIN = 1024
WAITING_MAX = 64
#: Tokens of the questions that wait, prompts and answers.
WAITING_TOKENS_MAX = 1_048_576
EXPIRY_EPOCHS_MAX = 64


def _weight(output: Output) -> int:
    return max(ANSWER_TOKENS_MIN, len(output.tokens))


@dataclass(slots=True)
class _Waiting:
    """One question that the engine works on: its size in tokens, its job, and the tickets and requests that wait."""

    tokens: int
    job: int
    requests: list[tuple[int, Request]] = field(default_factory=list)


class Responder:
    """Serves requests; remembers its answers, so that a repeated request gets the same answer.

    The `creditor` counts what answers cost. A repeated answer costs nothing more.
    """

    def __init__(self, context: Context, creditor: Creditor) -> None:
        self._context = context
        self._creditor = creditor
        self._answers: dict[bytes, OrderedDict[bytes, Output]] = {}  # by requester and question
        self._kept: Counter[bytes] = Counter()  # tokens of the answers to each requester
        self._tokens_kept = 0
        self._waiting: dict[tuple[bytes, bytes], _Waiting] = {}  # by requester and question
        self.refused = Counters()

    def remember(self, answer: StoredAnswer) -> None:
        """Take an answer that was stored earlier."""
        self._keep((answer.requester, answer.question), answer.output)

    def known_output(self, requester: bytes, question: bytes) -> Output | None:
        """The remembered answer to a question, or None."""
        answers = self._answers.get(requester)
        return None if answers is None else answers.get(question)

    def find_evidence(self, audit: Audit, which: int) -> Output | None:
        """The answer that this peer gave in an audit as its `which`-th asked peer, or None."""
        asked = audit.asked[which] if which < len(audit.asked) else None
        if asked is None or asked.receipt is None or asked.responder != self._context.key:
            return None
        known = self.known_output(audit.challenger, audit.question)
        if known is None or len(known.tokens) > ANSWER_TOKENS_MAX:  # nobody owes a longer one
            return None
        return known if asked.receipt.covers(known, audit.question) else None

    def serve(self, ticket: int, data: bytes, source: bytes, now_ms: int, waits_ms: int | None = None) -> Effects[None]:
        """Answer a request now or later; a refusal is an answer too.

        `waits_ms` is how long its stream waits for a first token, if known. A challenger waits at most for the
        contract's `deadline_ms`.
        """
        try:
            request, question = decode_request(data)
            self._check(request, question, source, now_ms)
        except RequestRefused as refused:
            yield self.refuse(ticket, refused)
            return
        known = self.known_output(request.requester, request.question)
        if known is not None:
            yield self._respond(ticket, request, known, None)
            return
        try:
            waiting = sum(requester == request.requester for requester, _ in self._waiting)
            self._creditor.check(request.requester, now_ms, waiting)
        except RequestRefused as refused:
            yield self.refuse(ticket, refused)
            return
        params = self._context.params
        waits_ms = params.deadline_ms if waits_ms is None else min(waits_ms, params.deadline_ms)
        waits_ms += patience_ms(params, question.size) - params.deadline_ms
        expires_ms = params.epoch_start_ms(request.expiry_epoch + 1)
        yield from self._compute(ticket, request, question, min(now_ms + waits_ms, expires_ms))

    def refuse(self, ticket: int, refused: RequestRefused) -> Respond:
        """The response to a request that is refused."""
        self.refused.count(refused.code)
        return Respond(ticket, encode_refusal(refused))

    def _check(self, request: Request, question: Question, source: bytes, now_ms: int) -> None:
        context = self._context
        if request.network != context.network_id:
            raise RequestRefused("wrong-network", "this peer serves another network")
        if request.responder != context.key:
            raise RequestRefused("wrong-responder", "the request is addressed to another peer")
        if request.requester != source:
            raise RequestRefused("wrong-requester", "the request is not of the connected peer")
        epoch = context.params.epoch_at(now_ms)
        if request.expiry_epoch < epoch:
            raise RequestRefused("expired", f"the request expired in epoch {request.expiry_epoch}; it is {epoch}")
        if request.expiry_epoch > epoch + EXPIRY_EPOCHS_MAX:
            raise RequestRefused("bad-expiry", f"a request expires within {EXPIRY_EPOCHS_MAX} epochs")
        held = context.held.get(question.manifest)
        if held is None:
            raise RequestRefused("unknown-model", "this peer does not serve the model of that manifest")
        if question.size > held.context_tokens:
            raise RequestRefused(
                "prompt-too-long", f"{held.context_tokens} tokens are the most of prompt and answer together"
            )
        if held.vocab_tokens is not None and max(question.prompt, default=0) >= held.vocab_tokens:
            raise RequestRefused("unknown-token", f"tokens are less than {held.vocab_tokens}")

    def _compute(self, ticket: int, request: Request, question: Question, deadline_ms: int) -> Effects[None]:
        key = (request.requester, request.question)
        waiting = self._waiting.get(key)
        if waiting is None:
            tokens = sum(each.tokens for each in self._waiting.values())
            if len(self._waiting) >= WAITING_MAX or tokens + question.size > WAITING_TOKENS_MAX:
                yield self.refuse(ticket, RequestRefused("busy", "too many questions wait for this peer's engine"))
                return
            done = partial(self._computed, key)
            job = self._context.compute
            yield from job(
                done, question.ask, model=question.manifest, purpose=Purpose.REQUEST, deadline_ms=deadline_ms
            )
            waiting = self._waiting[key] = _Waiting(question.size, self._context.newest_job)
        elif len(waiting.requests) >= WAITING_MAX:
            yield self.refuse(ticket, RequestRefused("busy", "too many requests wait for one question"))
            return
        waiting.requests.append((ticket, request))
        yield Follow(ticket, waiting.job)

    def _computed(self, key: tuple[bytes, bytes], event: Computed | ComputeFailed, now_ms: int) -> Effects[None]:
        """Remember an answer and what it costs, and answer all requests that wait for it."""
        if isinstance(event, Computed):
            self._keep(key, event.output)
            credit = self._creditor.gave(key[0], now_ms)
            epoch = max(0, self._context.params.epoch_at(now_ms))
            yield Persist(answers=(StoredAnswer(*key, event.output, epoch),), credit=credit)
        for ticket, request in self._waiting.pop(key).requests:
            if isinstance(event, Computed):
                yield self._respond(ticket, request, event.output, event)
            elif event.is_dropped:
                late = "this peer has no time for the question; ask again later"
                yield self.refuse(ticket, RequestRefused("busy", late))
            else:
                yield self.refuse(ticket, RequestRefused("engine", "the engine could not answer this question"))

    def _keep(self, key: tuple[bytes, bytes], output: Output) -> None:
        """Remember an answer. If there are too many, drop the oldest one of the requester with the most."""
        requester, question = key
        answers = self._answers.setdefault(requester, OrderedDict())
        before = answers.get(question)
        answers[question] = output
        self._count(requester, _weight(output) - (0 if before is None else _weight(before)))
        while self._tokens_kept > ANSWER_TOKENS_KEPT:
            most = max(self._answers, key=lambda each: (self._kept[each], each))
            _, dropped = self._answers[most].popitem(last=False)
            self._count(most, -_weight(dropped))
            if not self._answers[most]:
                del self._answers[most], self._kept[most]

    def _count(self, requester: bytes, tokens: int) -> None:
        self._kept[requester] += tokens
        self._tokens_kept += tokens

    def _respond(self, ticket: int, request: Request, output: Output, done: Computed | None) -> Respond:
        context = self._context
        salted = salted_digest(request.id, context.key, context.class_index, output.digest(request.question))
        times = (done.queue_ms, done.first_token_ms, done.total_ms) if done else (0, 0, 0)
        unsigned = Receipt(
            context.network_id,
            context.key,
            request.id,
            context.class_index,
            salted,
            len(output.tokens),
            *times,
            bytes(64),
        )
        receipt = replace(unsigned, signature=sign.sign(context.seed, unsigned.signed_bytes()))
        self._context.counters.count("served")
        return Respond(ticket, encode_answer(Answer(output, receipt)), output.tokens)
