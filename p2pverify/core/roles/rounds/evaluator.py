"""Voting on the results of training rounds: compute the result, seal it, and open it when all are sealed.

Protocol pages: protocol/round.md, round-commit.md, round-vote.md.
"""

from p2pverify.core.blind import rounds as blind
from p2pverify.core.blind.values import RoundPhase
from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.events import Effects, Note
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.votes import (
    RoundCommit,
    RoundVote,
    decode_round_commit,
    decode_round_vote,
    round_commit,
)
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.rounds.work import PLACES_KEPT, TrainingWork
from p2pverify.core.state.rounds.marks import left_out_of
from p2pverify.core.state.rounds.notes import LineRounds, OpenRound
from p2pverify.core.state.state import State
from p2pverify.core.training.draws import batch_seed, credit_seed
from p2pverify.core.training.orders import DrawnRows, EvaluateOrder, ShownUpdate, TrainingFailed
from p2pverify.core.training.result import RoundResult


class Evaluator(Part):
    """This peer's votes on results."""

    def __init__(self, context: Context, work: TrainingWork) -> None:
        self._context = context
        self._work = work
        self._committed: BoundedDict[RoundPlace, None] = BoundedDict(PLACES_KEPT)
        self._voted: BoundedDict[RoundPlace, None] = BoundedDict(PLACES_KEPT)

    def resume(self) -> None:
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.ROUND_COMMIT:
                self._committed[decode_round_commit(record.payload).place] = None
            elif record.kind == Kind.ROUND_VOTE:
                self._voted[decode_round_vote(record.payload).place] = None

    def tick(self, now_ms: int) -> Effects[None]:
        """Seal and open results in the open votes of the newest certified cut."""
        context, state = self._context, self._context.fold.latest
        for index in sorted(state.rounds):
            known, rule = state.rounds[index], context.network.lines[index].training
            current = known.open
            if current is None or current.vote is None or rule is None or context.key not in current.vote.electorate:
                continue
            if context.may_write(now_ms) and context.may_sign_of(current.vote_epoch):
                yield from self._vote(RoundPlace(index, current.number), rule, known, current, state, now_ms)

    def _vote(
        self, place: RoundPlace, rule: TrainingRule, known: LineRounds, current: OpenRound, state: State, now_ms: int
    ) -> Effects[None]:
        context, vote = self._context, current.vote
        assert vote is not None
        is_sealing = vote.round.phase is RoundPhase.SEALING and place not in self._committed
        is_opening = context.key in vote.commits and blind.may_open(vote, context.key) and place not in self._voted
        if not (is_sealing or is_opening):
            return
        closing = state.at_index(vote.opened_index)
        assert closing is not None  # a round is over long before its cuts are forgotten
        order = evaluate_order(place, rule, known, current, closing)
        result = yield from self._work.start(order, now_ms)
        if isinstance(result, TrainingFailed):
            yield Note("warning", f"round {place.number} of line {place.line}: {result.reason}")
        if not isinstance(result, RoundResult):
            return
        salt = context.secret("round", *place.to_value())
        if is_sealing:
            self._committed[place] = None
            commit = round_commit(context.network_id, place, context.key, result.digest, salt)
            yield from context.write(Kind.ROUND_COMMIT, RoundCommit(place, state.id, commit).encode(), now_ms)
        else:
            self._voted[place] = None
            yield from context.write(Kind.ROUND_VOTE, RoundVote(place, state.id, result, salt).encode(), now_ms)


def evaluate_order(
    place: RoundPlace, rule: TrainingRule, known: LineRounds, current: OpenRound, closing: bytes
) -> EvaluateOrder:
    """What voters compute at the vote of a round. `closing` is the cut (id) that opened the vote."""
    updates = tuple(
        ShownUpdate(
            author,
            opened.trained.update,
            opened.trained.steps,
            opened.trained.rows,
            opened.shown,
            opened.shown_bytes,
            DrawnRows(
                opened.root, opened.rows, opened.seed, opened.held, opened.position, rule.held_rows, opened.erased
            ),
            batch_seed(current.beacon, place.line, current.seed_number, author),
        )
        for author, opened in sorted(current.updates.items())
    )
    seed = credit_seed(current.drawn, place.line, current.seed_number)
    reports = tuple((owner, note.losses) for owner, note in sorted(current.losses.items()) if note.losses)
    asked = (place.line, place.number, rule, current.manifest, closing, updates, left_out_of(known, current), seed)
    return EvaluateOrder(*asked, reports)
