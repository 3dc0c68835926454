"""Gangs that behave until they hold most of the weight, and then lie together."""

from collections.abc import Iterable, Sequence

from p2pverify.core.events import Compute, Effect, Event
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.sponsor import Sponsor
from p2pverify.core.state import sponsors
from p2pverify.testnet.world.liars.answers import Colluder
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect

_BOUGHT = "epoch from which the gang lies"


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
