"""Peers that abuse their log: two records with one number, false dates, late release, repeats, and useless records."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.events import Effect, Effects, Event, GossipArrived, Publish, RecordsArrived, RequestArrived, Send
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, decode_record
from p2pverify.core.records.payloads.audit import AskedPeer, Audit, decode_audit
from p2pverify.core.records.payloads.cut import HEADS_MAX, Cut, CutSignature
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.vote import Commit, Vote, decode_commit, decode_vote, vote_commit
from p2pverify.testnet.world.liars.base import OWN_ASKS, BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, PublishTo, WorldEffect

#: The part of an epoch after which the first cuts are proposed, in permille.
PROPOSALS_BEGIN_PERMILLE = 400
REPEATED_MAX = 64


class Equivocator(BentActor):
    """Signs two records with one number and shows each to half of the peers: two audits for one slot, two duties, two
    seals and two votes for one dispute.
    """

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if not isinstance(effect, Publish) or not self.is_awake(now_ms):
            return (effect,)
        one, two = self.halves()
        found: list[Effect | WorldEffect] = []
        for data in effect.records:
            record = decode_record(data)
            payload = self.twin(record)
            if payload is None:
                found.append(Publish((data,)))
                continue
            header = record.header
            twin = self.context.sign_at(self.twin_kind(record), payload, header.epoch, header.seq, header.prev)
            found += [PublishTo((data,), one), PublishTo((twin.data,), two)]
        return found

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:
        """It serves its log only to the half of the peers that has this branch."""
        return peer in self.halves()[0] or not self.is_awake(now_ms)

    def twin_kind(self, record: Record) -> Kind:
        return Kind(record.kind)

    def twin(self, record: Record) -> bytes | None:
        """A different payload for the same slot; None if the record has no slot."""
        payload = record.payload
        match record.kind:
            case Kind.AUDIT:
                audit = decode_audit(payload, self.context.network_id, self.key)
                return replace(audit, differ=not audit.differ).encode()
            case Kind.DUTY:
                duty = decode_duty(payload)
                return replace(duty, openings=duty.openings[1:]).encode() if duty.openings else None
            case Kind.VOTE_COMMIT:
                return replace(decode_commit(payload), commit=bytes(32)).encode()
            case Kind.VOTE:
                return replace(decode_vote(payload), output=bytes(32)).encode()
            case _:
                return None


class Forker(Equivocator):
    """Forks its log next to its cut signatures, but never signs two payloads for one slot."""

    def twin_kind(self, record: Record) -> Kind:
        return Kind.LEAVE

    def twin(self, record: Record) -> bytes | None:
        return encode([]) if record.kind == Kind.CUT_SIGNATURE else None


class Backdater(BentActor):
    """Backdates its records. It joins late with the date of the first epoch, seals its votes after the others have
    opened theirs, and forks its log at the beginning.
    """

    FORKS_AFTER_EPOCHS = 8

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._late: dict[DisputeKey, bytes] = {}
        self._has_joined = False
        self._forked = False

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        if not self._has_joined:
            return None  # dates in a log cannot go back, so only the first record can have any date
        if kind in {Kind.VOTE_COMMIT, Kind.VOTE}:
            return None  # `_seal_late` writes these
        return payload

    def _joins(self, now_ms: int) -> bool:
        return self.epoch(now_ms) > self.args.onset_epoch + 1

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if not self.context.may_write(now_ms):
            return
        if not self._has_joined and self._joins(now_ms):
            self._has_joined = True
            if all(record.kind != Kind.JOIN for record in self.context.ledger.chain(self.key)):
                join = Join(self.context.class_index, self.context.vrf_key)
                yield from self.context.write_dated(Kind.JOIN, join.encode(), 0)
        yield from self._seal_late()
        if not self._forked and self.epoch(now_ms) >= self.args.onset_epoch + self.FORKS_AFTER_EPOCHS:
            self._forked = True
            twin = self.context.sign_at(Kind.LEAVE, encode([]), 0, 0, NO_PREV)
            yield PublishTo((twin.data,), self.halves()[1])

    def _seal_late(self) -> Effects[None]:
        """Seal and open the answer that most others have opened, with a date as if it had been in time."""
        context, state = self.context, self.machine.fold.latest
        for key in sorted(state.disputes, key=lambda k: k.sort_key()):
            dispute = state.disputes[key]
            if key in self._late or key.challenger == self.key or not dispute.votes:
                continue
            counts = sorted(vote.output for vote in dispute.votes.values())
            output = max(counts, key=counts.count)
            self._late[key] = output
            salt = context.secret("vote", *key.to_value())
            sealed = vote_commit(context.network_id, key, self.key, context.class_index, output, salt)
            commit = Commit(key, state.path[-1], sealed)
            yield from context.write_dated(Kind.VOTE_COMMIT, commit.encode(), key.epoch + 1)
            vote = Vote(key, state.id, context.class_index, output, (salt,))
            yield from context.write_dated(Kind.VOTE, vote.encode(), key.epoch + 1)


class Dribbler(BentActor):
    """Withholds its records until cuts are proposed, and then shows them to only half of the peers. It does not serve
    sync.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._held: list[bytes] = []
        self._released_epoch = -1

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if not isinstance(effect, Publish) or not self.is_awake(now_ms):
            return (effect,)
        self._held += effect.records
        return ()

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch = self.epoch(now_ms)
        if now_ms < self._release_ms(epoch) or epoch <= self._released_epoch or not self._held:
            return ()
        self._released_epoch = epoch
        held, self._held = tuple(self._held), []
        return (PublishTo(held, self.halves()[epoch % 2]),)

    def wake_ms(self, now_ms: int) -> int | None:
        return next(at for at in map(self._release_ms, (self.epoch(now_ms), self.epoch(now_ms) + 1)) if at > now_ms)

    def _release_ms(self, epoch: int) -> int:
        """The last millisecond before the first cut may be proposed."""
        params = self.args.network.params
        return params.epoch_start_ms(epoch) + params.epoch_ms * PROPOSALS_BEGIN_PERMILLE // 1000 - 1

    def serves_sync(self, peer: bytes, now_ms: int) -> bool:
        return not self.is_awake(now_ms)


class Replayer(BentActor):
    """Repeats records of all authors, its own requests, and requests that others sent to it.

    This has no effect: an old request of another peer does not fit the connection, and an old record is known.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._records: list[bytes] = []
        self._requests: list[tuple[bytes, bytes]] = []  # receiver and request
        self._asked = 0
        self._epoch = -1

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if isinstance(event, RecordsArrived | GossipArrived):
            self._records += event.records[: REPEATED_MAX - len(self._records)]
        elif isinstance(event, RequestArrived) and len(self._requests) < REPEATED_MAX:
            self._requests += [(peer, event.data) for peer in self.halves()[0][:2]]
        return (event,)

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        if isinstance(effect, Send) and len(self._requests) < REPEATED_MAX:
            self._requests.append((effect.peer, effect.data))
        return (effect,)

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        """Repeat everything once per epoch."""
        epoch = self.epoch(now_ms)
        if epoch <= self._epoch or not self.is_awake(now_ms):
            return ()
        self._epoch = epoch
        others = tuple(peer for peer in self.args.everyone if peer != self.key)
        found: list[Effect | WorldEffect] = [PublishTo((data,), others) for data in self._records]
        for peer, data in self._requests:
            self._asked += 1
            deadline = now_ms + self.args.network.params.deadline_ms
            found.append(Send(OWN_ASKS + self._asked, peer, data, deadline))
        return found


class Bloat(BentActor):
    """Swells the states of all others with records that can never count: in every epoch proposals with invented heads,
    signatures of invented cuts, and audits of slots that it does not owe. It publishes no duty, so its audits wait.
    """

    PROPOSALS, OTHERS = 3, 32

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._epoch = -1

    def bend(self, kind: Kind, payload: bytes, now_ms: int) -> bytes | None:
        return None if kind == Kind.DUTY else payload

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        epoch = self.epoch(now_ms)
        if not self.is_awake(now_ms) or epoch <= self._epoch or self.key not in self.machine.fold.latest.members:
            return
        self._epoch = epoch
        invented = (sha256(encode([self.key, epoch, number])) for number in itertools.count())
        for base in itertools.islice(invented, self.PROPOSALS):
            heads = tuple(sorted((author, 0, base) for author in itertools.islice(invented, HEADS_MAX)))
            cut = Cut(epoch, base, self.context.vrf_key, bytes(80), heads, base, base, base)
            yield from self.context.write(Kind.CUT, cut.encode(), now_ms)
        params = self.context.params
        owed = params.slots_max * params.period_max
        for slot in range(owed, owed + self.OTHERS):
            yield from self.context.write(Kind.CUT_SIGNATURE, CutSignature(next(invented)).encode(), now_ms)
            asked = tuple(AskedPeer(next(invented), next(invented), None) for _ in range(params.panel_size))
            audit = Audit(self.key, epoch, slot, bytes(32), next(invented), epoch, True, asked)
            yield from self.context.write(Kind.AUDIT, audit.encode(), now_ms)
