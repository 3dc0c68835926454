"""The interface between the simulated world and a peer: the events that a peer gets, and its effects.

An honest actor only passes events to its machine. Hostile actors are in `liars`. The world decides how and when effects
travel. An actor's only clock is `now_ms`: its own clock, which can be wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.events import Compute, Effect, Event, StoredAnswer, StoredEvidence
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.types import Rpc
from p2pverify.core.machine import Machine
from p2pverify.core.replica.memo import Memo
from p2pverify.core.roles.keys.successor import Succession
from p2pverify.core.state.rules.following import Following
from p2pverify.core.state.state import State
from p2pverify.node.training.ports import Trainer
from p2pverify.testnet.world.peer.versions import SimulatedPublishers

# ---------------------------------------------------------------- effects that only hostile actors have


@dataclass(frozen=True, slots=True)
class PublishTo:
    """A gossip message with these records for these peers only. A peer that is not connected gets nothing."""

    records: tuple[bytes, ...]
    peers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RawRpc:
    """A gossip RPC to a connected peer that bypasses the actor's own router."""

    peer: bytes
    rpc: Rpc


@dataclass(frozen=True, slots=True)
class Connect:
    """Dial a peer in addition to the world's topology."""

    peer: bytes


WorldEffect = PublishTo | RawRpc | Connect

# ---------------------------------------------------------------- the parts of an actor


@dataclass(slots=True)
class Gang:
    """The back channel of all hostile peers of one kind. Using it costs them nothing.

    `keys` and `seeds` are in the same order. `notes` holds any data that the kind shares.
    """

    keys: list[bytes] = field(default_factory=list)
    seeds: list[bytes] = field(default_factory=list)
    notes: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActorArgs:
    """The arguments that make a peer. `seed` (32 B) gives its identity. `rate_ppm` and `onset_epoch` are for the kinds
    that use them. `everyone` and `honest` are the sorted keys of all present and future peers. A forked network begins
    with the state `start`. `publishers` are those of the model, for kinds that hold some of their keys. A peer that
    `forgets` keeps no records below its horizon. `following` says which amendments of the rules it follows: an old
    program has fewer features. `next_key` and `succession` are those of a machine.
    """

    network: Network
    seed: bytes
    class_index: int
    manifest: Manifest
    context_tokens: int
    dice: Dice
    rate_ppm: int = 1_000_000
    onset_epoch: int = 0
    gang: Gang = field(default_factory=Gang)
    everyone: tuple[bytes, ...] = ()
    honest: tuple[bytes, ...] = ()
    memo: Memo | None = None
    hardware: str = ""
    start: State | None = None
    publishers: SimulatedPublishers | None = None
    forgets: bool = True
    following: Following | None = None
    next_key: bytes | None = None
    succession: Succession | None = None

    def machine(self, kind: type[Machine] = Machine, *, objects: bool = True) -> Machine:
        """A new machine of this identity, without records."""
        return kind(
            self.network,
            self.seed,
            self.class_index,
            self.manifest,
            self.context_tokens,
            hardware=self.hardware,
            objects=objects,
            follows=bool(self.network.lines),
            memo=self.memo,
            start=self.start,
            forgets=self.forgets,
            following=self.following,
            next_key=self.next_key,
            succession=self.succession,
        )


class Actor(Protocol):
    """A peer in the world. `machine` is its honest core; invariants and sync read it."""

    key: bytes
    machine: Machine
    #: The factor by which its engine is slower than others.
    slowness: int

    def load(
        self,
        records: Iterable[bytes],
        answers: Iterable[StoredAnswer],
        now_ms: int,
        evidence: Iterable[StoredEvidence] = (),
    ) -> int:
        """Load the contents of a disk. Called once, before every other method."""
        ...

    def handle(self, event: Event, now_ms: int) -> list[Effect | WorldEffect]:
        """The effects of an event, in order."""
        ...

    def next_wake_ms(self, now_ms: int) -> int:
        """The latest time of the next Tick."""
        ...

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        """The answer of its engine, given the answer of an honest engine."""
        ...

    def trainer(self, honest: Trainer) -> Trainer:
        """What trains and judges in training rounds, given an honest trainer."""
        ...

    def evidence(self, request: bytes, source: bytes, now_ms: int) -> bytes | None:
        """Its response to a peer that requests evidence of a dispute; None for no response."""
        ...

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:
        """The RPC to send in place of an RPC of its router; None to send nothing."""
        ...

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:
        """Whether it answers a neighbour's sync requests."""
        ...


class HonestActor:
    """An unchanged machine. A hostile actor can extend this class and change one behaviour."""

    slowness = 1

    def __init__(self, args: ActorArgs) -> None:
        self.args = args
        self.machine = args.machine()
        self.key = self.machine.key

    def load(
        self,
        records: Iterable[bytes],
        answers: Iterable[StoredAnswer],
        now_ms: int,
        evidence: Iterable[StoredEvidence] = (),
    ) -> int:
        return self.machine.load(records, answers, now_ms, evidence)

    def handle(self, event: Event, now_ms: int) -> list[Effect | WorldEffect]:
        return [*self.machine.handle(event, now_ms)]

    def next_wake_ms(self, now_ms: int) -> int:
        return self.machine.next_wake_ms(now_ms)

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:  # noqa: ARG002
        return honest

    def trainer(self, honest: Trainer) -> Trainer:
        return honest

    def evidence(self, request: bytes, source: bytes, now_ms: int) -> bytes | None:  # noqa: ARG002
        try:
            return self.machine.evidence(request, source)
        except RemoteProtocolError:
            return None

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:  # noqa: ARG002
        return rpc

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:  # noqa: ARG002
        return True
