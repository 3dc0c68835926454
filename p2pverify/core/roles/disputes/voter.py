"""Voting in disputes: derive the question, answer it, seal the answer, and open it when all answers are sealed.

In a dispute across classes voters do not answer: they fetch the disputed answers, have the referee measure them, and
vote on the measures. The challenger of a dispute has sealed its answer or its measures already; it opens these instead.
If a committee votes, only the members drawn for it do anything.
"""

from p2pverify.core.blind import committees, rounds
from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.blind.values import RoundPhase
from p2pverify.core.encoding import vrf
from p2pverify.core.events import Effects
from p2pverify.core.inference.compare import verdict_digest
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.lots import DisputeKey, Lot
from p2pverify.core.records.payloads.vote import Commit, Vote, decode_commit, decode_vote, vote_commit
from p2pverify.core.roles.challenger import Challenger
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.disputes.work import DisputeWork, Result
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts.notes import Dispute

#: The part of an epoch after which the disputes of its records can be foreseen.
PREPARE_AT_PERMILLE = 250

_Turn = tuple[DisputeKey, int, bytes]  # a stage of a dispute, and the beacon of its committee


class Voter(Part):
    """This peer's votes."""

    def __init__(self, context: Context, challenger: Challenger, work: DisputeWork) -> None:
        self._context = context
        self._challenger = challenger
        self._work = work
        self._lots: dict[_Turn, Lot | None] = {}
        self._committed: set[_Turn] = set()
        self._voted: set[DisputeKey] = set()
        self._prepared_epoch = -1
        self._awaited_epoch: int | None = None  # in which a dispute can be voted on that cannot now

    def resume(self) -> None:
        """Find the earlier commits and votes in the own log."""
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.VOTE_COMMIT:
                commit = decode_commit(record.payload)
                stage, beacon = (EVERYONE, b"") if commit.lot is None else (commit.lot.stage, commit.lot.beacon)
                self._committed.add((commit.dispute, stage, beacon))
            elif record.kind == Kind.VOTE:
                self._voted.add(decode_vote(record.payload).dispute)

    def _prepare(self, now_ms: int) -> Effects[None]:
        """Answer probable disputes early, so that the answers are ready when their cut is certified.

        This happens once per epoch, before cuts are proposed.
        """
        at_ms = self._prepare_at_ms(now_ms)
        if at_ms is None or now_ms < at_ms:
            return
        self._prepared_epoch = self._context.params.epoch_at(now_ms)
        provisional = self._context.provisional(now_ms)
        for key in sorted(provisional.disputes, key=lambda k: k.sort_key()):
            dispute = provisional.disputes[key]
            is_new = dispute.opened_index > self._context.fold.latest.index
            can_check = dispute.audit.differ or not dispute.is_across  # evidence for spot checks is not served yet
            if (
                is_new
                and can_check
                and not dispute.is_report
                and not dispute.round.is_committee
                and self._context.key in dispute.electorate
            ):
                yield from self._answer(dispute, now_ms)

    def _prepare_at_ms(self, now_ms: int) -> int | None:
        """When to look next for coming disputes. None if this peer may not vote, because it then needs none."""
        params = self._context.params
        epoch = params.epoch_at(now_ms)
        member = self._context.fold.latest.members.get(self._context.key)
        if member is None or not member.may_vote(epoch):
            return None
        at_ms = params.epoch_start_ms(epoch) + params.epoch_ms * PREPARE_AT_PERMILLE // 1000
        return at_ms if epoch > self._prepared_epoch else at_ms + params.epoch_ms

    def tick(self, now_ms: int) -> Effects[None]:
        """Prepare answers, and commit and vote in the disputes of the newest certified cut."""
        yield from self._prepare(now_ms)
        context = self._context
        state = context.fold.latest
        self._awaited_epoch = None
        if not context.may_write(now_ms):
            return
        epoch = context.params.epoch_at(now_ms)
        for key in sorted(state.disputes, key=lambda k: k.sort_key()):
            dispute = state.disputes[key]
            if not context.may_sign_of(dispute.opened_epoch):
                continue
            if key.epoch >= epoch:  # of a challenger whose clock is ahead of ours: all would reject the vote
                self._awaited_epoch = min(key.epoch + 1, self._awaited_epoch or key.epoch + 1)
                continue
            if key.challenger == context.key:
                if rounds.may_open(dispute, context.key):
                    yield from self._open_own(dispute, state, now_ms)
            elif dispute.round.phase is not RoundPhase.OPENING and context.key not in dispute.commits:
                yield from self._commit(dispute, state, now_ms)
            else:
                yield from self._vote(dispute, state, now_ms)
        oldest = state.epoch - context.params.dispute_epochs - 16
        self._work.forget(oldest)
        for turn in [t for t in self._lots if t[0].epoch < oldest]:
            del self._lots[turn]
        self._committed = {turn for turn in self._committed if turn[0].epoch >= oldest or turn[0] in state.disputes}
        self._voted = {key for key in self._voted if key.epoch >= oldest or key in state.disputes}

    def next_wake_ms(self, now_ms: int) -> int | None:
        """When to look for coming disputes, to vote, or to try again after a failure; None if none of these."""
        awaited = self._awaited_epoch
        votes_ms = None if awaited is None else self._context.params.epoch_start_ms(awaited)
        times = (self._prepare_at_ms(now_ms), self._work.next_wake_ms(now_ms), votes_ms)
        return min((time for time in times if time is not None), default=None)

    # ------------------------------------------------------------ answers

    def _answer(self, dispute: Dispute, now_ms: int) -> Effects[Result | None]:
        """Start or look up this peer's work on a dispute."""
        return self._work.start(dispute, self._deadline_ms(dispute, now_ms), now_ms)

    def _deadline_ms(self, dispute: Dispute, now_ms: int) -> int:
        """The end of the epoch whose cut may be the last to count a vote, in Unix ms.

        There is at most one cut in an epoch. If cuts stop there is more time, and dropped jobs are tried again.
        """
        params, latest = self._context.params, self._context.fold.latest
        if self._context.key in dispute.commits:  # sealed before a restart; it can be opened until the dispute ends
            return params.epoch_start_ms(dispute.opened_epoch + params.dispute_epochs + 1)
        cuts = max(1, rounds.last_sealing_index(dispute.round) - latest.index)
        return params.epoch_start_ms(max(latest.epoch + 1, params.epoch_at(now_ms)) + cuts)

    # ------------------------------------------------------------ records

    def _commit(self, dispute: Dispute, state: State, now_ms: int) -> Effects[None]:
        context, key, current = self._context, dispute.key, dispute.round
        turn = (key, current.stage, current.beacon) if current.is_by_lot else (key, EVERYONE, b"")
        has_seat = context.key in dispute.shown_to
        if current.phase is RoundPhase.DRAWING or turn in self._committed or not has_seat:
            return
        lot = self._lot(dispute, turn) if current.is_by_lot else None
        if current.is_by_lot and lot is None:
            return
        work = yield from self._answer(dispute, now_ms)
        if work is None:
            return
        self._committed.add(turn)
        shown = self._shown(dispute, current.stage, work)
        said = (context.class_index, work.output, self._salt(key), shown)
        sealed = vote_commit(context.network_id, key, context.key, *said)
        yield from context.write(Kind.VOTE_COMMIT, Commit(key, state.id, sealed, lot).encode(), now_ms)

    def _lot(self, dispute: Dispute, turn: _Turn) -> Lot | None:
        """This peer's lottery ticket for the committee that votes now, or None if it was not drawn."""
        context, current = self._context, dispute.round
        if context.key in dispute.audit.parties:
            return None
        if turn not in self._lots:
            alpha = lots.lot_alpha(context.network_id, dispute.key, current.stage, current.beacon)
            proof = vrf.prove(context.vrf_seed, alpha)
            is_drawn = committees.is_drawn(vrf.proof_to_beta(proof), current.stage, current.voters)
            self._lots[turn] = Lot(current.stage, current.beacon, context.vrf_key, proof) if is_drawn else None
        return self._lots[turn]

    def _shown(self, dispute: Dispute, stage: int, work: Result) -> bytes | None:
        if not rounds.is_informed(dispute, stage):
            return None
        return lots.shown_work(self._context.network_id, dispute.key, stage, work.digest)

    def _vote(self, dispute: Dispute, state: State, now_ms: int) -> Effects[None]:
        context, key = self._context, dispute.key
        if key in self._voted or context.key not in dispute.commits or not rounds.may_open(dispute, context.key):
            return
        work = yield from self._answer(dispute, now_ms)
        if work is None:
            return
        self._voted.add(key)
        shown = self._shown(dispute, dispute.commits[context.key].stage, work)
        vote = Vote(key, state.id, context.class_index, work.output, (self._salt(key),), work.measures, shown)
        yield from context.write(Kind.VOTE, vote.encode(), now_ms)

    def _open_own(self, dispute: Dispute, state: State, now_ms: int) -> Effects[None]:
        key = dispute.key
        plan = self._challenger.opening(key.epoch, key.slot)
        if key in self._voted or plan is None or plan.opening is None:
            return
        self._voted.add(key)
        opening = plan.opening
        output = verdict_digest(dispute.audit.question, opening.measures) if dispute.is_across else opening.output
        vote = Vote(key, state.id, self._context.class_index, output, opening.salts, opening.measures)
        yield from self._context.write(Kind.VOTE, vote.encode(), now_ms)

    def _salt(self, key: DisputeKey) -> bytes:
        return self._context.secret("vote", *key.to_value())
