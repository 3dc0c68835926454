"""Peers that share a back channel: they know the questions to their friends, and the friends' answers."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Sequence

from p2pverify.core.events import Compute, Event, RequestArrived
from p2pverify.core.inference.question import RequestRefused, decode_request
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.state.state import State
from p2pverify.testnet.world.liars.answers import Colluder, Wrong
from p2pverify.testnet.world.liars.base import MILLION, false_tokens
from p2pverify.testnet.world.peer.actor import ActorArgs

REQUESTS_MAX = 1024


class DuplicateAware(Wrong):
    """Answers requests wrongly, unless a friend has seen the question before, because answers might be compared then.

    Its own audits and votes are honest.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._requested: BoundedDict[bytes, None] = BoundedDict(REQUESTS_MAX)  # sampler keys

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if isinstance(event, RequestArrived):
            try:
                key = decode_request(event.data)[1].sampler_key
            except RequestRefused:
                return (event,)
            self._requested[key] = None
        return super().arriving(event, now_ms)

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        if job.ask.sampler_key not in self._requested:
            return honest
        if self.args.gang.notes.setdefault(("seen", job.ask.sampler_key), self.key) != self.key:
            return honest
        return super().answer(job, honest, now_ms)


class Copier(Wrong):
    """Runs no model: it copies the answer of a friend that was asked the same question. Otherwise it guesses.

    The gang's first peer runs the model and is honest.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self.rate_ppm = MILLION

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        gang = self.args.gang
        if self.key == min(gang.keys):
            gang.notes["answer", job.ask.sampler_key] = honest
            return honest
        known = gang.notes.get(("answer", job.ask.sampler_key))
        return honest if known is not None else false_tokens(honest, self.salt + job.ask.sampler_key)


class StallingColluder(Colluder):
    """A colluder that neither signs nor proposes a cut that convicts one of its gang."""

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        fold = self.machine.fold
        if kind == Kind.CUT_SIGNATURE and self._harms(fold.state(decode_cut_signature(payload).cut)):
            return None
        if kind == Kind.CUT and self._harms(fold.provisional(self.epoch(now_ms))):
            return None
        return super().bend(kind, payload, now_ms)

    def _harms(self, state: State | None) -> bool:
        """Whether one of the gang is convicted in this state."""
        members = {} if state is None else state.members
        return any(key in members and members[key].is_convicted for key in self.args.gang.keys)
