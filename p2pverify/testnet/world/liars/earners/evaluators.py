"""An evaluator that computes nothing: it votes on the results of rounds what others vote."""

from collections.abc import Iterator
from dataclasses import replace

from p2pverify.core.blind.values import RoundPhase
from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.events import Effects
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.votes import decode_round_commit, decode_round_vote
from p2pverify.core.roles.rounds.evaluator import Evaluator
from p2pverify.core.state.rounds.notes import LineRounds, OpenRound
from p2pverify.core.state.state import State


class LazyEvaluator(Evaluator):
    """Publishes the seal of another voter as its own, and later that voter's opening."""

    def _vote(
        self,
        place: RoundPlace,
        rule: TrainingRule,  # noqa: ARG002 - it computes nothing
        known: LineRounds,  # noqa: ARG002
        current: OpenRound,
        state: State,
        now_ms: int,
    ) -> Effects[None]:
        vote = current.vote
        assert vote is not None
        if vote.round.phase is RoundPhase.SEALING and place not in self._committed:
            found = next(self._others(Kind.ROUND_COMMIT, vote.electorate, place), None)
            if found is not None:
                self._committed[place] = None
                copied = replace(decode_round_commit(found.payload), certificate=state.id)
                yield from self._context.write(Kind.ROUND_COMMIT, copied.encode(), now_ms)
        elif vote.round.phase is RoundPhase.OPENING and place in self._committed and place not in self._voted:
            found = next(self._others(Kind.ROUND_VOTE, vote.electorate, place), None)
            if found is not None:
                self._voted[place] = None
                opened = replace(decode_round_vote(found.payload), certificate=state.id)
                yield from self._context.write(Kind.ROUND_VOTE, opened.encode(), now_ms)

    def _others(self, kind: Kind, electorate: frozenset[bytes], place: RoundPlace) -> Iterator[Record]:
        """The records of a kind that other voters signed for a round."""
        read = decode_round_commit if kind == Kind.ROUND_COMMIT else decode_round_vote
        for author in sorted(electorate - {self._context.key}):
            for record in self._context.ledger.chain(author):
                if record.kind == kind and read(record.payload).place == place:
                    yield record


class LazyMachine(Machine):
    """A machine with a lazy evaluator."""

    evaluator_type = LazyEvaluator
