"""Asking the peers of a slot: one request to each, until all have answered or the time is over.

`challenger` uses the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from p2pverify.core.contract.network import Params
from p2pverify.core.contract.output import Output
from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Effects, ResponseArrived
from p2pverify.core.inference.question import (
    EXPIRY_EPOCHS,
    Opening,
    Question,
    Receipt,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    opening_nonce,
    sign_request,
)
from p2pverify.core.records.payloads.audit import AskedPeer
from p2pverify.core.roles.context import Context
from p2pverify.core.state.verdicts.notes import Panel

#: Panel members are asked at different times, spread over this share of an epoch (in thousandths), so that two
#: colluding members cannot tell from the timing that they got the same question.
SPREAD_PERMILLE = 250


def spread_ms(params: Params) -> int:
    """The longest delay in ms before a panel member is asked."""
    return params.epoch_ms * SPREAD_PERMILLE // 1000


@dataclass(slots=True)
class Answers:
    """The answers of the asked peers of a slot. A peer that is missing in `receipts` has not answered yet."""

    question: Question
    panel: Panel
    expiry: int
    nonces: tuple[bytes, ...]
    receipts: dict[bytes, Receipt | None] = field(default_factory=dict)
    outputs: dict[bytes, Output] = field(default_factory=dict)
    elapsed_ms: dict[bytes, int] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return len(self.receipts) == len(self.panel.targets)

    @property
    def asked(self) -> tuple[AskedPeer, ...]:
        """The asked peers, as an audit lists them."""
        return tuple(
            AskedPeer(target, nonce, self.receipts[target], self.elapsed_ms.get(target, 0))
            for target, nonce in zip(self.panel.targets, self.nonces, strict=True)
        )


Answered = Callable[[Answers, int], Effects[None]]
"""Takes the answers, and the time in ms."""


class Asker:
    """Sends a slot's requests. `answers` counts their outcomes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._later: list[tuple[int, Callable[[int], Effects[None]]]] = []  # Unix ms, and the function that sends
        self.answers = Counters()

    def ask(
        self,
        epoch: int,
        panel: Panel,
        question: Question,
        opening: Opening,
        now_ms: int,
        done: Answered,
    ) -> Effects[None]:
        """Ask all peers of a panel, each at its own time. `done` is called once, with all answers.

        The nonces of the requests follow from the opening.
        """
        context = self._context
        nonces = tuple(
            opening_nonce(context.network_id, context.key, target, epoch, question.id, opening, which)
            for which, target in enumerate(panel.targets)
        )
        answers = Answers(question, panel, context.params.epoch_at(now_ms) + EXPIRY_EPOCHS, nonces)
        for target, class_index, nonce in zip(panel.targets, panel.classes, nonces, strict=True):
            send = partial(self._send, answers, target, class_index, nonce, done)
            self._later.append((now_ms + self._delay_ms(panel, epoch, opening.slot, target), send))
        yield from self.tick(now_ms)

    def tick(self, now_ms: int) -> Effects[None]:
        """Send the requests that are due."""
        due = [send for at_ms, send in self._later if at_ms <= now_ms]
        self._later = [each for each in self._later if each[0] > now_ms]
        for send in due:
            yield from send(now_ms)

    def next_wake_ms(self) -> int | None:
        """When the next request is due, or None."""
        return min((at_ms for at_ms, _ in self._later), default=None)

    def _delay_ms(self, panel: Panel, epoch: int, slot: int, target: bytes) -> int:
        """The delay in ms before asking a panel member. It is drawn from a secret, so nobody else can know it."""
        if len(panel.targets) == 1:
            return 0
        drawn = int.from_bytes(self._context.secret("spread", epoch, slot, target)[:8], "big")
        return drawn % (spread_ms(self._context.params) + 1)

    def _send(
        self,
        answers: Answers,
        target: bytes,
        class_index: int,
        nonce: bytes,
        done: Answered,
        now_ms: int,
    ) -> Effects[None]:
        context = self._context
        question = answers.question
        request = Request(context.network_id, context.key, target, question.id, nonce, answers.expiry)
        data = encode_request(request, question, sign_request(context.seed, request))

        def responded(event: ResponseArrived | AskFailed, later_ms: int) -> Effects[None]:
            answers.receipts[target] = None
            self._read(answers, target, class_index, request, event)
            if answers.is_complete:
                yield from done(answers, later_ms)

        deadline_ms = now_ms + context.params.deadline_ms
        yield from context.send(target, data, deadline_ms, question.tokens_max, responded)

    def _read(
        self, answers: Answers, target: bytes, class_index: int, request: Request, event: ResponseArrived | AskFailed
    ) -> None:
        """Take a receipt. No answer, a refusal and a malformed answer give no receipt; each is counted separately."""
        if isinstance(event, AskFailed):
            self.answers.count(f"no answer: {event.reason}")
            return
        try:
            answer = decode_response(event.data, request)
        except RequestRefused as refused:
            self.answers.count(f"refused: {refused.code}")
            return
        except DecodeError:
            self.answers.count("malformed answer")
            return
        if answer.receipt.class_index != class_index:
            self.answers.count("receipt of another class")
            return
        self.answers.count("answered")
        answers.receipts[target] = answer.receipt
        answers.outputs[target] = answer.output
        answers.elapsed_ms[target] = event.elapsed_ms
