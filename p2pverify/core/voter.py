"""Voting in disputes: derive the question, answer it, seal the answer, and open it when all are sealed.

The challenger of a dispute has sealed its answer in its nonces already; it opens those instead.
"""

from dataclasses import dataclass

from p2pverify.core import draw
from p2pverify.core.audit import UNDERIVABLE, decode_duty, vote_commit
from p2pverify.core.challenger import Challenger
from p2pverify.core.context import Context
from p2pverify.core.events import Computed, ComputeFailed, Note
from p2pverify.core.plans import slot_question
from p2pverify.core.question import output_digest
from p2pverify.core.records import Commit, DisputeKey, Kind, Vote, decode_commit, decode_vote
from p2pverify.core.responder import Responder
from p2pverify.core.state import Dispute, State
from p2pverify.core.vrf import proof_to_beta

PRIORITY = 1


@dataclass(slots=True)
class _Work:
    """What this peer knows of a disputed question."""

    output: bytes | None = None


class Voter:
    """This peer's votes. Outputs are remembered while their dispute is open."""

    def __init__(self, context: Context, challenger: Challenger, responder: Responder) -> None:
        self._context = context
        self._challenger = challenger
        self._responder = responder
        self._work: dict[DisputeKey, _Work] = {}
        self._committed: set[DisputeKey] = set()
        self._voted: set[DisputeKey] = set()

    def resume(self) -> None:
        """Find in the own log where this peer has committed or voted."""
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.VOTE_COMMIT:
                self._committed.add(decode_commit(record.payload).dispute)
            elif record.kind == Kind.VOTE:
                self._voted.add(decode_vote(record.payload).dispute)

    def prepare(self, provisional: State) -> None:
        """Answer ahead what will probably be disputed, so that the answer is there when the cut is."""
        for key in sorted(provisional.disputes, key=lambda k: k.sort_key()):
            dispute = provisional.disputes[key]
            if dispute.opened_index > self._context.fold.latest.index:
                self._answer(dispute)

    def tick(self, now_ms: int) -> None:
        """Commit and vote on what the newest certified cut holds."""
        context = self._context
        state = context.fold.latest
        if not context.may_write(now_ms):
            return
        for key in sorted(state.disputes, key=lambda k: k.sort_key()):
            dispute = state.disputes[key]
            if key.challenger == context.key:
                if dispute.sealed_index >= 0:
                    self._open_own(dispute, state, now_ms)
            elif dispute.sealed_index < 0:
                self._commit(dispute, state, now_ms)
            else:
                self._vote(dispute, state, now_ms)
        for key in [k for k in self._work if k.epoch < state.epoch - context.params.dispute_epochs - 16]:
            del self._work[key]

    # ------------------------------------------------------------ answers

    def _answer(self, dispute: Dispute) -> _Work:
        """Start or look up this peer's own answer to a disputed question."""
        work = self._work.get(dispute.key)
        if work is not None:
            return work
        work = self._work[dispute.key] = _Work()
        slot = self._slot(dispute)
        if slot is None or dispute.key.challenger == self._context.key:
            return work

        def derived(event: Computed | ComputeFailed, _now_ms: int) -> None:
            if isinstance(event, ComputeFailed):
                self._failed(dispute.key, event)
                return
            question = slot_question(self._context, slot, event.prompt, dispute.key.challenger)
            if question.id != dispute.audit.question:
                work.output = UNDERIVABLE
                return
            known = self._responder.known_output(question.requester, question.id)
            if known is not None:
                work.output = known
                return
            self._context.compute(
                answered,
                priority=PRIORITY - 1,  # the engine still holds the prompt it has just written
                prompt=question.prompt,
                tokens_max=question.tokens_max,
                temperature_milli=question.temperature_milli,
                sampler_key=question.sampler_key,
            )

        def answered(event: Computed | ComputeFailed, _now_ms: int) -> None:
            if isinstance(event, ComputeFailed):
                self._failed(dispute.key, event)
            else:
                work.output = output_digest(dispute.audit.question, event.tokens, event.finish)

        self._context.compute(derived, priority=PRIORITY, prompt_seed=slot.prompt_seed)
        return work

    def _failed(self, key: DisputeKey, event: ComputeFailed) -> None:
        self._work.pop(key, None)
        self._context.effects.append(Note("warning", f"cannot vote: {event.reason}"))

    def _slot(self, dispute: Dispute) -> draw.Slot | None:
        """The disputed slot, derived from the challenger's duty."""
        for record in self._context.ledger.chain_from(dispute.key.challenger, dispute.duty_seq):
            if record.kind != Kind.DUTY:
                return None
            slots = draw.slots(proof_to_beta(decode_duty(record.payload).proof), self._context.params)
            return slots[dispute.key.slot] if dispute.key.slot < len(slots) else None
        return None

    # ------------------------------------------------------------ records

    def _commit(self, dispute: Dispute, state: State, now_ms: int) -> None:
        context, key = self._context, dispute.key
        if key in self._committed or context.key not in dispute.electorate:
            return
        output = self._answer(dispute).output
        if output is None:
            return
        self._committed.add(key)
        sealed = vote_commit(context.network_id, key, context.key, context.class_index, output, self._salt(key))
        context.write(Kind.VOTE_COMMIT, Commit(key, state.id, sealed).encode(), now_ms)

    def _vote(self, dispute: Dispute, state: State, now_ms: int) -> None:
        context, key = self._context, dispute.key
        if key in self._voted or context.key not in dispute.commits:
            return
        output = self._answer(dispute).output  # known, or found again after a restart
        if output is None:
            return
        self._voted.add(key)
        vote = Vote(key, state.id, context.class_index, output, (self._salt(key),))
        context.write(Kind.VOTE, vote.encode(), now_ms)

    def _open_own(self, dispute: Dispute, state: State, now_ms: int) -> None:
        key = dispute.key
        plan = self._challenger.opening(key.epoch, key.slot)
        if key in self._voted or plan is None or plan.opening is None:
            return
        self._voted.add(key)
        opening = plan.opening
        vote = Vote(key, state.id, self._context.class_index, opening.output, opening.salts)
        self._context.write(Kind.VOTE, vote.encode(), now_ms)

    def _salt(self, key: DisputeKey) -> bytes:
        return self._context.secret("vote", *key.to_value())
