"""What hostile peers are made of: an honest machine, and places at which a personality may bend what it does.

A bent peer reads, draws, folds and remembers like an honest one, so that whatever an honest peer could know it knows;
it signs what it likes, but only with its own key. What each personality does with that is in the modules beside this
one.
"""

# ruff: noqa: ARG002 - one door for all, and not everybody looks at all that comes through it

from collections.abc import Callable, Iterable, Sequence

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Effect, Event, Persist, Publish
from p2pverify.core.gossip.types import Rpc
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.roles.context import Context
from p2pverify.testnet.world.peer.actor import ActorArgs, HonestActor, WorldEffect

MILLION = 1_000_000
#: Numbers of a personality's own requests; a machine counts its own from 1.
OWN_ASKS = 1 << 40

#: From a payload that the machine wants to sign to the one that is signed, or None for silence.
Bend = Callable[[Kind, bytes, int], bytes | None]


class BentContext(Context):
    """Signs what its actor wants."""

    bend: Bend | None = None

    def write(self, kind: Kind, payload: bytes, now_ms: int) -> Record:
        """As an honest peer, unless the actor has another payload or keeps silent: then the machine is told that the
        record exists, and nobody else is."""
        bent = payload if self.bend is None else self.bend(kind, payload, now_ms)
        if bent is None:
            return self.sign_next(kind, payload, self.params.epoch_at(now_ms))
        return super().write(kind, bent, now_ms)

    def sign_next(self, kind: Kind, payload: bytes, epoch: int) -> Record:
        """The next own record, dated at will and kept to ourselves."""
        head = self.ledger.head(self.key)
        seq, prev = (0, NO_PREV) if head is None else (head[1] + 1, head[2])
        return self.sign_at(kind, payload, epoch, seq, prev)

    def sign_at(self, kind: Kind, payload: bytes, epoch: int, seq: int, prev: bytes) -> Record:
        """A record of our own at any place of our log, taken or not."""
        return make_record(
            self.seed, self.key, self.network_id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload
        )

    def write_dated(self, kind: Kind, payload: bytes, epoch: int) -> Record:
        """Sign, take and publish the next own record under an epoch of our choice, but not before our last one's: the
        ledger takes no log that goes back in time."""
        last = self.ledger.last(self.key)
        record = self.sign_next(kind, payload, epoch if last is None else max(epoch, last.epoch))
        self.ledger.add(record)
        self.fold.take(record)
        self.effects += [Persist((record,)), Publish((record.data,))]
        return record


class BentMachine(Machine):
    """An honest machine with a context that its actor can reach."""

    context_type = BentContext


class BentActor(HonestActor):
    """An honest actor with places to bend. As it stands it behaves like an honest one."""

    def __init__(self, args: ActorArgs) -> None:
        self.args = args
        self.machine = args.machine(BentMachine)
        self.key = self.machine.key
        context = self.machine.context
        assert isinstance(context, BentContext)
        self.context = context
        context.bend = self.bend

    # ------------------------------------------------------------ the places

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        """What is signed instead of a payload; None for nothing."""
        return payload

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        """What the machine is told of an event."""
        return (event,)

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        """What the personality does of its own after every event; own records may be written here."""
        return ()

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        """What becomes of an effect of the machine."""
        return (effect,)

    def wake_ms(self, now_ms: int) -> int | None:
        """When the personality wants to be woken, after `now_ms`."""
        return None

    # ------------------------------------------------------------ the door

    def handle(self, event: Event, now_ms: int) -> list[Effect | WorldEffect]:
        wanted: list[Effect] = []
        for told in self.arriving(event, now_ms):
            wanted += self.machine.handle(told, now_ms)
        acted = list(self.act(now_ms))
        wanted += self.context.effects
        self.context.effects = []
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
        """Whether it may sign records, and its onset has come."""
        return self.context.may_write(now_ms) and self.epoch(now_ms) >= self.args.onset_epoch

    def chance(self, *what: bytes, ppm: int) -> bool:
        """Yes for a share of cases; for the same case always the same."""
        return chance(self.key, *what, ppm=ppm)

    def halves(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """All other peers in two halves, the same ones always."""
        others = sorted((p for p in self.args.everyone if p != self.key), key=lambda p: sha256(self.key + p))
        middle = len(others) // 2
        return tuple(others[:middle]), tuple(others[middle:])


def chance(*what: bytes, ppm: int) -> bool:
    """A throw that follows from the case alone."""
    return int.from_bytes(sha256(b"".join(what))[:8], "big") % MILLION < ppm


def false_tokens(honest: tuple[int, ...], salt: bytes) -> tuple[int, ...]:
    """Another answer of the same length, different at every place; equal salts lie alike."""
    stream = b""
    while len(stream) < len(honest):
        salt = sha256(salt)
        stream += salt
    return tuple(token + 1 + byte % 97 for token, byte in zip(honest, stream, strict=False))
