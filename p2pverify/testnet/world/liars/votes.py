"""Peers that vote without computing the answer, or object to right decisions."""

# ruff: noqa: ARG002 - all actors share one interface, and not every method uses every argument

from collections.abc import Iterable, Iterator

from p2pverify.core.events import Compute, Effect, Effects
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.objection import Objection
from p2pverify.core.records.payloads.vote import Commit, Vote, decode_commit, decode_vote, vote_commit
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.actor import ActorArgs, WorldEffect

#: The number of newest records of another voter's log that it reads.
LOOK_BACK = 32


class LazyVoter(BentActor):
    """Never derives a disputed question. If the duty has opened an answer (in spot checks), it votes for that answer.
    Otherwise it copies the seal of another voter, and later that voter's opening.
    """

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._sealed: dict[DisputeKey, bytes] = {}  # the author of the seal
        self._opened: set[DisputeKey] = set()

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect | WorldEffect]:
        derives = isinstance(effect, Compute) and effect.purpose is Purpose.VOTE
        return () if derives else (effect,)

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        state = self.machine.fold.latest
        if not self.context.may_write(now_ms):
            return
        for key in sorted(state.disputes, key=lambda k: k.sort_key()):
            dispute = state.disputes[key]
            if key.challenger == self.key or self.key not in dispute.electorate:
                continue
            if dispute.round.sealed_index < 0 and key not in self._sealed:
                yield from self._seal(dispute, state.id, now_ms)
            elif dispute.round.sealed_index >= 0 and key in self._sealed and key not in self._opened:
                yield from self._open(dispute, state.id, now_ms)

    def _salt(self, key: DisputeKey) -> bytes:
        return self.context.secret("vote", *key.to_value())

    def _answer_in_duty(self, dispute: Dispute) -> bytes | None:
        for record in self.context.ledger.chain_from(dispute.key.challenger, dispute.duty_seq):
            openings = decode_duty(record.payload).openings if record.kind == Kind.DUTY else ()
            return next((o.output for o in openings if o.slot == dispute.key.slot), None)
        return None

    def _seal(self, dispute: Dispute, certificate: bytes, now_ms: int) -> Effects[None]:
        context, key = self.context, dispute.key
        output = self._answer_in_duty(dispute)
        if output is not None:
            sealed = vote_commit(context.network_id, key, self.key, context.class_index, output, self._salt(key))
            self._sealed[key] = self.key
            yield from context.write(Kind.VOTE_COMMIT, Commit(key, certificate, sealed).encode(), now_ms)
            return
        for voter, record in self._recent(dispute, Kind.VOTE_COMMIT):
            seen = decode_commit(record.payload)
            if seen.dispute == key:
                self._sealed[key] = voter
                yield from context.write(Kind.VOTE_COMMIT, Commit(key, certificate, seen.commit).encode(), now_ms)
                return

    def _open(self, dispute: Dispute, certificate: bytes, now_ms: int) -> Effects[None]:
        context, key = self.context, dispute.key
        output = self._answer_in_duty(dispute)
        if output is not None and self._sealed[key] == self.key:
            self._opened.add(key)
            vote = Vote(key, certificate, context.class_index, output, (self._salt(key),))
            yield from context.write(Kind.VOTE, vote.encode(), now_ms)
            return
        for voter, record in self._recent(dispute, Kind.VOTE):
            seen = decode_vote(record.payload)
            if seen.dispute == key and voter == self._sealed[key]:
                self._opened.add(key)
                vote = Vote(key, certificate, context.class_index, seen.output, seen.salts)
                yield from context.write(Kind.VOTE, vote.encode(), now_ms)
                return

    def _recent(self, dispute: Dispute, kind: Kind) -> Iterator[tuple[bytes, Record]]:
        """The newest records of a kind by other voters."""
        for voter in sorted(dispute.electorate - {self.key, dispute.key.challenger}):
            head = self.context.ledger.head(voter)
            for record in self.context.ledger.chain_from(voter, max(0, head[1] - LOOK_BACK) if head else 0):
                if record.kind == kind:
                    yield voter, record


class ObjectionTroll(BentActor):
    """Objects to every decision, with an invented result."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._objected: set[DisputeKey] = set()

    def act(self, now_ms: int) -> Iterable[Effect | WorldEffect]:
        state = self.machine.fold.latest
        if not self.is_awake(now_ms):
            return
        for key in sorted(state.disputes.keys() - self._objected, key=lambda k: k.sort_key()):
            if state.disputes[key].decision is None:
                continue
            self._objected.add(key)
            false = self.context.secret("troll", *key.to_value())
            said = Objection(key, state.id, self.context.class_index, false, (), false)
            yield from self.context.write(Kind.OBJECTION, said.encode(), now_ms)
