"""Peers that share a back channel: they know the questions to their friends, and the friends' answers.

Some of these gangs behave until they hold most of the weight, and then lie together.
"""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable, Sequence

from p2pverify.core.events import Compute, Effect, Event, RequestArrived
from p2pverify.core.inference.question import RequestRefused, decode_request
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.records.payloads.sponsor import Sponsor
from p2pverify.core.state import sponsors
from p2pverify.core.state.state import State
from p2pverify.testnet.world.liars.answers import Colluder, Wrong
from p2pverify.testnet.world.liars.base import MILLION, false_tokens
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect

REQUESTS_MAX = 1024
_BOUGHT = "epoch from which the gang lies"


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


class Takeover(Colluder):
    """A colluder that is honest until its gang holds more than half of the weight. From the next epoch on, all of the
    gang lie.
    """

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        return super().answer(job, honest, now_ms) if self._has_bought(now_ms) else honest

    def _has_bought(self, now_ms: int) -> bool:
        gang, epoch = self.args.gang, self.epoch(now_ms)
        if _BOUGHT not in gang.notes:
            state = self.machine.fold.latest
            if 2 * state.weight_of(gang.keys) <= state.total_weight:
                return False
            gang.notes[_BOUGHT] = epoch + 1
        bought = gang.notes[_BOUGHT]
        assert isinstance(bought, int)
        return epoch >= bought

    def _waiting(self) -> list[bytes]:
        """The gang's peers that have no weight yet, in the gang's order."""
        members = self.machine.fold.latest.members
        return [key for key in self.args.gang.keys if key not in members or not members[key].weight]


class SlowTakeover(Takeover):
    """Joins at the pace of admissions: at most AHEAD peers of the gang wait for weight at a time."""

    AHEAD = 2

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        has_turn = self.key not in self._waiting()[self.AHEAD :]
        self.context.quiet_until_ms = 0 if has_turn else now_ms + self.args.network.params.epoch_ms
        return (event,)


class Sponsored(Takeover):
    """Once two of its peers have weight, peers with weight sponsor those without, as often as the rules allow.

    Earlier a sponsor would be wasted: a peer and the one that vouched for it do not count together.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._sponsored: set[bytes] = set()

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        state, params = self.machine.fold.latest, self.args.network.params
        waiting = self._waiting()
        if not self.context.may_write(now_ms) or len(self.args.gang.keys) - len(waiting) < sponsors.SPONSORS:
            return
        for peer in waiting:
            if peer not in self._sponsored and sponsors.refuse(state, params, self.key, peer) is None:
                self._sponsored.add(peer)
                yield from self.context.write(Kind.SPONSOR, Sponsor(peer).encode(), now_ms)
                return
