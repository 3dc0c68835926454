"""Peers whose audits are false, withheld or copied."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable, Sequence
from dataclasses import replace

from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Compute, Computed, ComputeFailed, Effect, Event, ResponseArrived, Send
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import (
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import decode_audit
from p2pverify.core.records.payloads.vote import decode_vote
from p2pverify.core.roles.slot_plan import find_anchor, make_plan, slot_question
from p2pverify.testnet.world.liars.base import OWN_ASKS, BentActor, chance, false_tokens
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect


class Withholder(BentActor):
    """Withholds half of its audits that differ. It publishes the other half, but never opens its own answer in the
    dispute.
    """

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if not self.is_awake(now_ms):
            return payload
        if kind == Kind.AUDIT:
            audit = decode_audit(payload, self.context.network_id, self.key)
            hides = audit.differ and self.chance(audit.question, ppm=500_000)
            return None if hides else payload
        if kind == Kind.VOTE and decode_vote(payload).dispute.challenger == self.key:
            return None
        return payload


class DutyWithholder(BentActor):
    """Never publishes its duties."""

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        return None if kind == Kind.DUTY and self.is_awake(now_ms) else payload


class Slanderer(BentActor):
    """Contradicts the peers that it audits: as a challenger, its own answer is wrong. It also reports its other audits
    as different.
    """

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        own_slot = job.purpose is Purpose.AUDIT and job.ask.tokens_max > 0
        awake = self.epoch(now_ms) >= self.args.onset_epoch
        if awake and own_slot and chance(self.key, job.ask.sampler_key, ppm=self.args.rate_ppm):
            return false_tokens(honest, self.key + job.ask.sampler_key)
        return honest

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if kind != Kind.AUDIT or not self.is_awake(now_ms):
            return payload
        audit = decode_audit(payload, self.context.network_id, self.key)
        return replace(audit, differ=True).encode()


class MuteSlanderer(Slanderer):
    """Contradicts the peers that it audits and never opens its own answer, so it loses no dispute."""

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if kind == Kind.VOTE and decode_vote(payload).dispute.challenger == self.key:
            return None
        return super().bend(kind, payload, now_ms)


class LazyChallenger(BentActor):
    """Does not answer its own slots. It writes the prompt, asks an honest peer for the answer under its own name, and
    seals that answer as its own. Its audits agree with the peer that it copied.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._deriving: dict[int, Compute] = {}
        self._asks: dict[int, tuple[Computed, Request]] = {}
        self._sends: list[Send] = []
        self.copied = 0

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if isinstance(effect, Compute) and effect.purpose is Purpose.AUDIT and effect.ask.tokens_max > 0:
            self._deriving[effect.job] = effect
            return (replace(effect, ask=replace(effect.ask, tokens_max=0)),)
        return (effect,)

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        sends, self._sends = self._sends, []
        return sends

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if isinstance(event, Computed) and event.job in self._deriving:
            job = self._deriving.pop(event.job)
            return () if self._ask(job, event, now_ms) else (ComputeFailed(event.job, "nobody to copy from"),)
        if isinstance(event, ComputeFailed):
            self._deriving.pop(event.job, None)
        if isinstance(event, ResponseArrived | AskFailed) and event.ask in self._asks:
            return (self._copied(event),)
        return (event,)

    def _ask(self, job: Compute, derived: Computed, now_ms: int) -> bool:
        """Put a slot's question to one of the slot's targets, with a nonce that no opening explains.

        False if the slot is not found.
        """
        found = self._find(job, derived.prompt, now_ms)
        if found is None:
            return False
        question, target = found
        expiry = self.epoch(now_ms) + 4
        request = Request(
            self.context.network_id, self.key, target, question.id, self.context.secret("copy", question.id), expiry
        )
        self.copied += 1
        self._asks[OWN_ASKS + self.copied] = (derived, request)
        data = encode_request(request, question, sign_request(self.context.seed, request))
        deadline = now_ms + self.args.network.params.deadline_ms // 2
        self._sends.append(Send(OWN_ASKS + self.copied, target, data, deadline))
        return True

    def _find(self, job: Compute, prompt: tuple[int, ...], now_ms: int) -> tuple[Question, bytes] | None:
        """The question of the slot with this prompt, and one of its targets."""
        for epoch in (self.epoch(now_ms), self.epoch(now_ms) - 1):
            anchor = find_anchor(self.context, epoch)
            plan = None if anchor is None else make_plan(self.context, epoch, anchor)
            for slot in plan.slots if plan else ():
                if slot.slot.prompt_seed == job.prompt_seed and slot.targets:
                    return slot_question(self.context, slot.panel.contract, slot.slot, prompt, self.key), slot.targets[
                        0
                    ]
        return None

    def _copied(self, event: ResponseArrived | AskFailed) -> Event:
        derived, request = self._asks.pop(event.ask)
        if isinstance(event, AskFailed):
            return ComputeFailed(derived.job, event.reason)
        try:
            answer = decode_response(event.data, request)
        except (RequestRefused, DecodeError) as refused:
            return ComputeFailed(derived.job, str(refused))
        return replace(derived, output=replace(answer.output, logits=derived.output.logits))
