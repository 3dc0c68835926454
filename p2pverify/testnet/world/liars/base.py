"""The base of hostile peers: an honest machine, and methods that a subclass overrides to change its behaviour.

A hostile peer reads, draws, folds and remembers like an honest one, so it knows everything that an honest peer could
know. It can sign anything, but only with its own key. The other modules of this folder have the subclasses.
"""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Callable, Iterable, Sequence

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Effect, Effects, Event, Persist, Publish
from p2pverify.core.gossip.types import Rpc
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.roles.context import Context
from p2pverify.testnet.world.peer.actor import ActorArgs, HonestActor, WorldEffect

MILLION = 1_000_000
#: The actor's own requests have numbers above this; the machine's requests count from 1.
OWN_ASKS = 1 << 40

#: Maps a payload that the machine wants to sign to the payload that is signed, or to None for none.
Bend = Callable[[Kind, bytes, int], bytes | None]


class BentContext(Context):
    """A context that signs the payload chosen by its actor."""

    bend: Bend | None = None

    def write(self, kind: Kind, payload: bytes, now_ms: int) -> Effects[Record]:
        """Write a record like an honest peer, but with the payload that the actor chooses.

        If the actor chooses None, the machine gets a record that is neither stored nor published.
        """
        bent = payload if self.bend is None else self.bend(kind, payload, now_ms)
        if bent is None:
            return self.sign_next(kind, payload, self.params.epoch_at(now_ms))
        return (yield from super().write(kind, bent, now_ms))

    def sign_next(self, kind: Kind, payload: bytes, epoch: int) -> Record:
        """The next record of the own log with any epoch, not published."""
        head = self.ledger.head(self.key)
        seq, prev = (0, NO_PREV) if head is None else (head[1] + 1, head[2])
        return self.sign_at(kind, payload, epoch, seq, prev)

    def sign_at(self, kind: Kind, payload: bytes, epoch: int, seq: int, prev: bytes) -> Record:
        """A record at any place of the own log, even if the place is taken."""
        return make_record(
            self.seed, self.key, self.network_id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload
        )

    def write_dated(self, kind: Kind, payload: bytes, epoch: int) -> Effects[Record]:
        """Sign, take and publish the next own record with any epoch from the last record's on.

        An earlier epoch is replaced by the last record's, because the ledger refuses logs that go back in time.
        """
        last = self.ledger.last(self.key)
        record = self.sign_next(kind, payload, epoch if last is None else max(epoch, last.epoch))
        self.ledger.add(record)
        self.fold.take(record)
        yield Persist((record,))
        yield Publish((record.data,))
        return record


class BentMachine(Machine):
    """An honest machine whose context is controlled by its actor."""

    context_type = BentContext


class BentActor(HonestActor):
    """An honest actor with methods to override. This class itself behaves honestly, but for one thing: it objects to
    nothing, because it knows that it lies.
    """

    def __init__(self, args: ActorArgs) -> None:
        self.args = args
        self.machine = args.machine(BentMachine, objects=False)
        self.key = self.machine.key
        context = self.machine.context
        assert isinstance(context, BentContext)
        self.context = context
        context.bend = self.bend

    # ------------------------------------------------------------ methods to override

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        """The payload to sign instead of `payload`; None to sign nothing."""
        return payload

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        """The events that the machine gets in place of an event."""
        return (event,)

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        """Extra effects after every event. This method may write own records."""
        return ()

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        """The effects in place of an effect of the machine."""
        return (effect,)

    def wake_ms(self, now_ms: int) -> int | None:
        """The next time after `now_ms` when the actor needs an event; None if it needs none."""
        return None

    # ------------------------------------------------------------ the interface to the world

    def handle(self, event: Event, now_ms: int) -> list[Effect | WorldEffect]:
        wanted: list[Effect] = []
        for told in self.arriving(event, now_ms):
            wanted += self.machine.handle(told, now_ms)
        acted = list(self.act(now_ms))
        found: list[Effect | WorldEffect] = []
        for effect in wanted:
            found += self.leaving(effect, now_ms)
        return found + acted

    def next_wake_ms(self, now_ms: int) -> int:
        own = self.wake_ms(now_ms)
        machine = self.machine.next_wake_ms(now_ms)
        return machine if own is None or own <= now_ms else min(machine, own)

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:
        return rpc

    # ------------------------------------------------------------ tools

    def epoch(self, now_ms: int) -> int:
        return self.args.network.params.epoch_at(now_ms)

    def is_awake(self, now_ms: int) -> bool:
        """Whether the actor may sign records and its onset has passed."""
        return self.context.may_write(now_ms) and self.epoch(now_ms) >= self.args.onset_epoch

    def chance(self, *what: bytes, ppm: int) -> bool:
        """True for a share `ppm` of the cases `what`. Equal cases give equal results."""
        return chance(self.key, *what, ppm=ppm)

    def halves(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """All other peers in two halves, equal in every call."""
        others = sorted((p for p in self.args.everyone if p != self.key), key=lambda p: sha256(self.key + p))
        middle = len(others) // 2
        return tuple(others[:middle]), tuple(others[middle:])


def chance(*what: bytes, ppm: int) -> bool:
    """True for a share `ppm` of the cases `what`. The result depends only on the case."""
    return int.from_bytes(sha256(b"".join(what))[:8], "big") % MILLION < ppm


def false_tokens(honest: tuple[int, ...], salt: bytes) -> tuple[int, ...]:
    """A false answer of the same length that differs at every position. Equal salts give equal false answers."""
    stream = b""
    while len(stream) < len(honest):
        salt = sha256(salt)
        stream += salt
    return tuple(token + 1 + byte % 97 for token, byte in zip(honest, stream, strict=False))
