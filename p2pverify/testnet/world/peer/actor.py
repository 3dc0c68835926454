"""The door between the simulated world and a peer: what a peer is told, and what it may do.

An honest actor is its machine and nothing else. What hostile ones do is in `personalities`; how effects travel, and
when, is left to the world. An actor never sees a clock but the `now_ms` that it is given, which is its own and may
be wrong.
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

# ---------------------------------------------------------------- effects that only hostile actors have


@dataclass(frozen=True, slots=True)
class PublishTo:
    """A gossip message of these records for these peers alone; who is not connected gets nothing."""

    records: tuple[bytes, ...]
    peers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RawRpc:
    """A gossip RPC to a connected peer, past the own router."""

    peer: bytes
    rpc: Rpc


@dataclass(frozen=True, slots=True)
class Connect:
    """Dial a peer, beyond what the world's topology gives."""

    peer: bytes


WorldEffect = PublishTo | RawRpc | Connect

# ---------------------------------------------------------------- what an actor is made of


@dataclass(slots=True)
class Gang:
    """The back channel of all hostile peers of one kind: shared, and free of charge for them.

    `keys` and `seeds` are in the same order. `notes` is for whatever the kind wants to share.
    """

    keys: list[bytes] = field(default_factory=list)
    seeds: list[bytes] = field(default_factory=list)
    notes: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActorArgs:
    """All that a peer is made of. `seed` is that of its identity (32 B); `rate_ppm` and `onset_epoch` are for the
    kinds that know them; `everyone` and `honest` are keys that exist or will exist, sorted.
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

    def machine(self, kind: type[Machine] = Machine) -> Machine:
        """A new machine of this identity, which has seen nothing."""
        return kind(
            self.network,
            self.seed,
            self.class_index,
            self.manifest,
            self.context_tokens,
            hardware=self.hardware,
            memo=self.memo,
        )


class Actor(Protocol):
    """A peer as the world runs it. `machine` is its own honest core, which invariants and sync read."""

    key: bytes
    machine: Machine
    #: How many times as long as others its engine needs for an answer.
    slowness: int

    def load(
        self,
        records: Iterable[bytes],
        answers: Iterable[StoredAnswer],
        now_ms: int,
        evidence: Iterable[StoredEvidence] = (),
    ) -> int:
        """Take what a disk kept; called once, before anything else."""
        ...

    def handle(self, event: Event, now_ms: int) -> list[Effect | WorldEffect]:
        """What follows from an event, in order."""
        ...

    def next_wake_ms(self, now_ms: int) -> int:
        """When to send the next Tick at the latest."""
        ...

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        """The tokens that its engine says, given those that an honest one would say."""
        ...

    def evidence(self, request: bytes, now_ms: int) -> bytes | None:
        """What it shows who asks for the evidence of a dispute; None is silence."""
        ...

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:
        """What becomes of an RPC that its router sends; None drops it."""
        ...

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:
        """Whether it lets a neighbour catch up from it."""
        ...


class HonestActor:
    """The machine as it is. Hostile actors may extend it and bend one thing."""

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

    def evidence(self, request: bytes, now_ms: int) -> bytes | None:  # noqa: ARG002
        try:
            return self.machine.evidence(request)
        except RemoteProtocolError:
            return None

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:  # noqa: ARG002
        return rpc

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:  # noqa: ARG002
        return True
