"""Peers that make several keys."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.events import Effect, Publish, RecordsArrived
from p2pverify.core.records.envelope import NO_PREV, Kind, make_record
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.records.payloads.membership import Join
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect

#: The number of keys of one attacker: more newcomers than a cut admits.
SYBILS = 24
GROUND = 32
REJOINS_EVERY_EPOCHS = 6


class Sybils(BentActor):
    """Joins with many keys at once. Only the first key has a machine; the other keys answer no requests."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._joined_epoch = -1

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch = self.epoch(now_ms)
        if not self.is_awake(now_ms) or not self._is_due(epoch):
            return ()
        self._joined_epoch = epoch
        seeds = (sha256(b"sybil" + encode([self.args.seed, epoch, number])) for number in range(SYBILS))
        joins = tuple(self._join(seed, epoch) for seed in seeds)
        taken = self.machine.handle(RecordsArrived(joins, self.key), now_ms)
        return (*taken, *(Publish((join,)) for join in joins))

    def _is_due(self, epoch: int) -> bool:
        return self._joined_epoch < 0

    def _join(self, seed: bytes, epoch: int) -> bytes:
        join = Join(self.args.class_index, vrf.public_key(vrf.derive_seed(seed)))
        return make_record(
            seed,
            sign.public_key(seed),
            self.context.network_id,
            epoch=epoch,
            seq=0,
            prev=NO_PREV,
            kind=Kind.JOIN,
            payload=join.encode(),
        ).data


class JoinFlood(Sybils):
    """Joins with as many new keys in every epoch. All of them fall silent."""

    def _is_due(self, epoch: int) -> bool:
        return self._joined_epoch < epoch


class KeyGrinder(BentActor):
    """Tries many VRF keys and joins with the best: the one with slots that ask its gang and a low rank as a proposer.

    It does this before the network begins. Later it leaves and joins again with a key for the newest beacon, every
    REJOINS_EVERY_EPOCHS.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._round = 0
        self._keys: list[bytes] = []
        self._rejoined_epoch = args.onset_epoch
        self._take_key(self._ground(sortition.first_beacon(self.context.network_id), 0))

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch, latest = self.epoch(now_ms), self.machine.fold.latest
        member = latest.members.get(self.key)
        due = self.is_awake(now_ms) and epoch >= self._rejoined_epoch + REJOINS_EVERY_EPOCHS
        if not due or member is None or not member.active:
            return
        self._rejoined_epoch = epoch
        self._round += 1
        self._take_key(self._ground(latest.beacon, epoch + 1))
        yield from self.context.write(Kind.LEAVE, encode([]), now_ms)
        yield from self.context.write(Kind.JOIN, Join(self.context.class_index, self.context.vrf_key).encode(), now_ms)

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        """A duty that was drawn before the key changed is signed with the old VRF key."""
        if kind != Kind.DUTY:
            return payload
        duty = decode_duty(payload)
        alpha = sortition.duty_alpha(self.context.network_id, duty.epoch, duty.beacon)
        then = next((key for key in self._keys if vrf.verify(key, alpha, duty.proof) is not None), duty.vrf_key)
        return replace(duty, vrf_key=then).encode()

    def _take_key(self, seed: bytes) -> None:
        self.context.vrf_seed, self.context.vrf_key = seed, vrf.public_key(seed)
        self._keys = [self.context.vrf_key, *self._keys[:3]]

    def _ground(self, beacon: bytes, epoch: int) -> bytes:
        """The best seed of this round for a beacon."""
        seeds = (sha256(b"ground" + self.args.seed + bytes([self._round % 256, n])) for n in range(GROUND))
        return min(seeds, key=lambda seed: self._cost(seed, beacon, epoch))

    def _cost(self, seed: bytes, beacon: bytes, epoch: int) -> tuple[int, bytes]:
        network, params = self.context.network_id, self.args.network.params
        duty = vrf.proof_to_beta(vrf.prove(seed, sortition.duty_alpha(network, epoch, beacon)))
        others = [peer for peer in self.args.everyone if peer != self.key]
        friends = set(self.args.gang.keys)
        foes = sum(
            peer not in friends
            for slot in sortition.slots(duty, params)
            for peer in sortition.targets(duty, slot, others, params)
        )
        proposal = vrf.proof_to_beta(vrf.prove(seed, sortition.propose_alpha(network, epoch, beacon)))
        return foes, sortition.proposal_rank(proposal)
