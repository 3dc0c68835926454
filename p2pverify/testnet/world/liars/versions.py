"""Attacks on the versions of a model: stale and recalled ones, stolen keys of publishers, and hidden recalls."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.errors import DecodeError
from p2pverify.core.events import Compute, Effect
from p2pverify.core.gossip.types import GossipMessage, Rpc
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.records.payloads.lines.serve import Serve, decode_serve
from p2pverify.core.state.lines.versions import is_behind, notes_of
from p2pverify.core.state.state import State
from p2pverify.node.messages import decode_batch
from p2pverify.testnet.publishers import COUNT, THRESHOLD
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect
from p2pverify.testnet.world.peer.engine import honest_answer
from p2pverify.testnet.world.peer.versions import MANIFEST, manifest_of


class StaleVersion(BentActor):
    """Claims each new version of its model and goes on with version 0, which costs it nothing to serve."""

    def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
        return honest_answer(replace(job, model=MANIFEST.digest), self.machine.context.class_index)


class Rollback(BentActor):
    """Goes on with a version that is over, and claims it again in each epoch. Its answers are right.

    One half of the kind never leaves version 0. The other half moves on, and does not leave a recalled version.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._stays = args.gang.keys.index(self.key) % 2 == 0 if self.key in args.gang.keys else True
        self._epoch = -1

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if kind != Kind.SERVE or decode_serve(payload).manifest == self._held():
            return payload
        return None if self._stays or self._number() >= self._wanted(payload) else payload

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch, network, state = self.epoch(now_ms), self.args.network, self.machine.fold.latest
        if epoch <= self._epoch or not self.is_awake(now_ms) or self.key not in state.members:
            return
        self._epoch = epoch
        if network.lines and is_behind(network, state, self.key):
            yield from self.context.write(Kind.SERVE, Serve(self._held()).encode(), now_ms)

    def _number(self) -> int:
        return self.machine.fold.latest.version_of(self.key)

    def _held(self) -> bytes:
        """The manifest (digest, 32 B) of the version that it serves."""
        return manifest_of(self._number()).digest

    def _wanted(self, payload: bytes) -> int:
        """The number of the version that its machine wants to serve."""
        manifest = decode_serve(payload).manifest
        newest = notes_of(self.args.network, self.machine.fold.latest, 0).newest
        return next(number for number in range(newest + 1) if manifest_of(number).digest == manifest)


class _Publisher(BentActor):
    """Holds keys of publishers, and releases bodies of its own for the next version, once for each number.

    `signers` are the places of its keys, and `bodies` tell its releases of one number apart.
    """

    signers: tuple[int, ...]
    bodies: tuple[bytes, ...]

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._done = 0

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        network, state, publishers = self.args.network, self.machine.fold.latest, self.args.publishers
        if publishers is None or not self.is_awake(now_ms) or self.key not in state.members:
            return
        number = notes_of(network, state, 0).newest + 1
        if number <= self._done or number == 1:  # the first version is the publishers' own
            return
        self._done = number
        for body in self.bodies:
            payload = publishers.release(network, number, self.signers, body)
            yield from self.context.write(Kind.RELEASE, payload, now_ms)


class StolenKey(_Publisher):
    """Has the key of one publisher, which is too few to release a version."""

    signers = (COUNT - 1,)
    bodies = (b"stolen",)


class TwoBodies(_Publisher):
    """Has the keys of enough publishers, and signs two releases of one number with them."""

    signers = tuple(range(THRESHOLD))
    bodies = (b"one", b"two")


class Freezer(BentActor):
    """Hides a recall: it signs and proposes no cut that holds one, and never forwards one."""

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if kind == Kind.CUT_SIGNATURE:
            state = self.machine.fold.state(decode_cut_signature(payload).cut)
            return None if state is not None and self._holds_recall(state) else payload
        return None if kind == Kind.CUT and self._knows_recall() else payload

    def outgoing(self, peer: bytes, rpc: Rpc, now_ms: int) -> Rpc | None:
        return replace(rpc, publish=tuple(message for message in rpc.publish if not _has_recall(message)))

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:
        return not self._knows_recall()

    def _holds_recall(self, state: State) -> bool:
        return any(version.is_recalled for notes in state.lines.values() for version in notes.versions)

    def _knows_recall(self) -> bool:
        return any(record.kind == Kind.RECALL for record in self.context.ledger.records())


def _has_recall(message: GossipMessage) -> bool:
    try:
        return any(decode_record(data).kind == Kind.RECALL for data in decode_batch(message.data))
    except DecodeError:
        return False
