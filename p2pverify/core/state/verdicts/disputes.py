"""Disputes: a wider, blind vote on the same question.

A dispute opens with the first cut that holds both an audit with differing answers and its duty. Then members seal their
answers. They open them only after a certified cut has closed the sealing. `core/blind` defines who votes in a
large electorate, when the sealing closes, and what decides. This module opens disputes, counts commits and votes, and
settles the decisions.
"""

from dataclasses import replace

from p2pverify.core.blind import rounds
from p2pverify.core.blind.refusals import refuse_opening, refuse_seal, refuse_ticket
from p2pverify.core.blind.values import OpenedAnswer, RoundPhase, Sealed
from p2pverify.core.contract import sortition
from p2pverify.core.inference.compare import Verdict
from p2pverify.core.inference.question import NO_OUTPUT, Opening
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.lots import Lot, lot_output
from p2pverify.core.records.payloads.vote import UNDERIVABLE, Commit, Vote, decode_commit, decode_vote, vote_commit
from p2pverify.core.settle.books import MoveReason
from p2pverify.core.state.lines.versions import contract_about
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition
from p2pverify.core.state.verdicts import cross_class, objections, results
from p2pverify.core.state.verdicts.duties import Opened, credit, is_sampled
from p2pverify.core.state.verdicts.notes import Dispute, first_stage
from p2pverify.core.state.verdicts.targets import voting_classes

#: An undecided dispute whose round has lasted for more than this many cuts no longer prevents other disputes.
PENDING_CUTS = 6
#: A challenger that opens no answer of its own within this many cuts after the sealing closed opens no other dispute.
OPENING_CUTS = 3


def open_disputes(step: Transition, opened: list[Opened]) -> None:
    """Admit disputes up to the contract's limit, at most one per participant and cut. The others lapse.

    A peer gets no further dispute if the loss of its open disputes would already convict it. A challenger that has not
    opened its own answer in one dispute gets no other dispute, so that it costs the voters no more work.
    """
    state = step.state
    busy = saturated(step)
    silent = _silent(state)
    admitted = 0
    for audit, duty_seq, slot, panel in sorted(opened, key=lambda one: rank(one.audit)):
        participants = audit.parties
        convicted = any(state.members[p].is_convicted for p in participants if p in state.members)
        refused = convicted or audit.challenger in silent or participants & busy
        if refused or admitted == step.network.params.disputes_per_cut:
            state.count("lapsed disputes")
            continue
        admitted += 1
        busy |= participants
        own = state.members[audit.challenger].class_index
        electorate = state.electorate(voting_classes(step.network, own, is_across=audit.is_across), panel.version)
        state.disputes[audit.key] = Dispute(
            audit=audit,
            electorate=electorate,
            opened_index=state.index,
            opened_epoch=state.epoch,
            duty_seq=duty_seq,
            sampled=is_sampled(slot, panel.contract.params),
            is_long=slot.is_long(panel.contract.params),
            round=rounds.begin(first_stage(audit, electorate), state.index),
            version=panel.version,
        )
        state.count("disputes")


def saturated(step: Transition) -> set[bytes]:
    """The peers that the loss of their open disputes about slots would convict.

    Those about reports do not count, because friends of a liar could keep theirs undecided to shield it.
    """
    pending: dict[bytes, int] = {}
    for dispute in step.state.disputes.values():
        if (
            not (dispute.has_effect or dispute.is_report)
            and step.state.index - dispute.round.began_index <= PENDING_CUTS
        ):
            for peer, up in _stakes(step, dispute.audit).items():
                pending[peer] = pending.get(peer, 0) + up
    members = step.state.members
    return {
        peer
        for peer, up in pending.items()
        if members[peer].cusum + up >= step.steps[members[peer].class_index].threshold
    }


def _stakes(step: Transition, audit: Audit) -> dict[bytes, int]:
    """The cost of losing a dispute for each participant, in the units of the sequential test."""
    found = {}
    for peer in sorted(audit.parties):
        member = step.state.members.get(peer)
        if member is not None:
            judged_as = _judged_as(audit, peer)
            found[peer] = step.test_of(member, judged_as).up
    return found


def _judged_as(audit: Audit, peer: bytes) -> int | None:
    """The class whose bounds apply to a peer's answer across classes. None for an answer that is judged by digests."""
    if audit.is_across:
        for asked in audit.asked:
            if asked.responder == peer and asked.receipt is not None:
                return asked.receipt.class_index
    return None


def _silent(state: State) -> set[bytes]:
    """The challengers that had time to open their own answer in a dispute, and did not (see OPENING_CUTS)."""
    return {
        key.challenger
        for key, dispute in state.disputes.items()
        if dispute.closed_index >= 0
        and not dispute.is_report
        and state.index - dispute.closed_index > OPENING_CUTS
        and key.challenger not in dispute.votes
    }


def rank(audit: Audit) -> bytes:
    return sortition.dispute_rank(audit.challenger, audit.epoch, audit.slot)


def draw(step: Transition) -> None:
    """Give a beacon to the committees whose rounds began with the cut before this one."""
    state = step.state
    for key, dispute in state.disputes.items():
        if dispute.round.phase is RoundPhase.DRAWING:
            state.disputes[key] = rounds.draw(dispute, state.index, state.beacon)


def close_sealing(step: Transition) -> None:
    """Close the sealing of rounds with enough sealed answers or no time left."""
    state = step.state
    for key, dispute in state.disputes.items():
        if dispute.round.phase is RoundPhase.SEALING:
            state.disputes[key] = rounds.close_sealing(dispute, state.index)


def take_commit(step: Transition, record: Record) -> None:
    """Count a sealed answer, if its author may vote in this round and the sealing is not closed."""
    state = step.state
    commit = decode_commit(record.payload)
    dispute = state.disputes.get(commit.dispute)
    if dispute is None:
        return
    stage = rounds.stage_without_lot(dispute) if commit.lot is None else commit.lot.stage
    known = dispute.commits.get(record.author)
    if known is not None:
        if known.stage == stage and known.commit != commit.commit:
            state.convict(record.author, "two commits for one dispute")
        return
    refused = refuse_commit(step, dispute, record.author, commit)
    if refused is not None:
        state.count(f"commit: {refused}")
        return
    sealed = Sealed(commit.commit, record.seq, stage)
    beta = None if commit.lot is None else _ticket(step, dispute, commit.lot)
    state.disputes[dispute.key] = rounds.count_seal(dispute, record.author, sealed, beta)


def refuse_commit(step: Transition, dispute: Dispute, voter: bytes, commit: Commit) -> str | None:
    """The reason why a commit is not counted, or None."""
    refused = refuse_seal(dispute, voter)
    if refused is not None:
        return refused
    if not step.is_certified(commit.certificate):
        return "certificate is not one here"
    cited = step.past(commit.certificate)
    if cited is None or dispute.key not in cited.disputes:
        return "certificate does not hold the dispute"
    return refuse_lot(step, dispute, voter, commit.lot)


def refuse_lot(step: Transition, dispute: Dispute, voter: bytes, lot: Lot | None) -> str | None:
    """The reason why a sealed answer does not belong to the round, or None."""
    current = dispute.round
    if not current.is_by_lot:
        return None if lot is None else "a lot where everybody votes"
    if lot is None:
        return "no lot where a committee votes"
    if (lot.stage, lot.beacon) != (current.stage, current.beacon):
        return "lot for another committee"
    if voter in dispute.parties:
        return "lot of a party to the dispute"
    member = step.state.members[voter]
    if member.vrf_key != lot.vrf_key or member.joined_index > dispute.opened_index:
        return "lot by another key"
    return refuse_ticket(current, _ticket(step, dispute, lot))


def _ticket(step: Transition, dispute: Dispute, lot: Lot) -> bytes:
    beta = lot_output(step.network_id, dispute.key, lot)
    assert beta is not None  # the record was judged
    return beta


def take_vote(step: Transition, record: Record) -> None:
    """Count an opened answer of a voter, or the challenger's opening."""
    state = step.state
    vote = decode_vote(record.payload)
    dispute = state.disputes.get(vote.dispute)
    if dispute is None:
        return
    known = dispute.votes.get(record.author)
    if known is not None:
        if known.output != vote.output:
            state.convict(record.author, "two votes for one dispute")
        return
    refused = refuse_vote(step, dispute, record.author, vote)
    if refused is not None:
        state.count(f"vote: {refused}")
        return
    votes = {**dispute.votes, record.author: OpenedAnswer(vote.output, vote.shown)}
    measures = {**dispute.measures, vote.output: vote.measures} if vote.measures else dispute.measures
    state.disputes[dispute.key] = replace(dispute, votes=votes, measures=measures)


def refuse_vote(step: Transition, dispute: Dispute, voter: bytes, vote: Vote) -> str | None:
    """The reason why a vote is not counted, or None."""
    if voter == dispute.audit.challenger and dispute.is_report:
        return "a reporter has no vote"
    refused = results.refuse_certificate(step, dispute, vote.certificate) or refuse_answer(step, dispute, voter, vote)
    if refused is not None:
        return refused
    if voter == dispute.audit.challenger:
        return None if vote.shown is None else "shows work without need"
    cited = step.past(vote.certificate)
    assert cited is not None  # refuse_certificate checked it
    seen, then = step.head_seq(vote.certificate, voter), cited.disputes[dispute.key]
    refused = refuse_opening(dispute, then, voter, seen, is_work_shown=vote.shown is not None)
    if refused is not None:
        return refused
    said = (vote.class_index, vote.output, vote.salts[0], vote.shown)
    opened = vote_commit(step.network_id, dispute.key, voter, *said)
    return None if opened == dispute.commits[voter].commit else "does not open the commit"


def refuse_answer(step: Transition, dispute: Dispute, voter: bytes, vote: Vote) -> str | None:
    """The reason why the content of a vote is not counted, or None.

    A challenger's content must agree with its nonces and its audit.
    """
    audit, is_challenger = dispute.audit, voter == dispute.audit.challenger
    said = (vote.class_index, vote.output, vote.measures)
    refused = results.refuse_result(step, dispute, *said, may_be_underivable=not is_challenger)
    if refused is not None or not is_challenger:
        return refused
    if not dispute.is_across:
        is_open = audit.opens(step.network_id, Opening(audit.slot, vote.class_index, vote.output, vote.salts))
    else:
        is_open = audit.opens(step.network_id, Opening(audit.slot, None, NO_OUTPUT, vote.salts))
        is_open = is_open and cross_class.is_sealed_in(audit, step.network_id, vote.measures, vote.salts)
    return None if is_open else "forged opening"


def decide(step: Transition) -> None:
    """Decide the disputes in which enough voters agree, settle decisions, and close disputes past their deadline."""
    state = step.state
    for key in sorted(state.disputes, key=lambda k: k.sort_key()):
        dispute = state.disputes[key]
        is_over = state.epoch > dispute.opened_epoch + step.reach.dispute_epochs
        if dispute.decision is None:
            dispute = _tally(state, dispute)
        elif objections.is_appealed(state, dispute):
            state.count("appeals")
            dispute = rounds.appeal(dispute, state.index)
        if dispute.decision is not None and (is_over or objections.has_effect(dispute, state.index)):
            dispute = _take_effect(step, dispute)
        if is_over:
            _close(step, dispute)
            objections.keep_contested(state, dispute)
            del state.disputes[key]
        else:
            state.disputes[key] = dispute


def _tally(state: State, dispute: Dispute) -> Dispute:
    """The dispute after a count: decided, in its next round, or unchanged."""
    counted = rounds.tally(dispute, state.index)
    if not rounds.is_stuck(counted, state.index):
        return counted
    state.count(f"committees of stage {dispute.round.stage} without a decision")
    return rounds.go_on(counted, state.index)


def _take_effect(step: Transition, dispute: Dispute) -> Dispute:
    """Settle a decision. The first time it is counted, and the winners get credit."""
    if not dispute.has_effect:
        dispute = replace(dispute, has_effect=True)
        step.state.count("decided disputes")
        step.state.decided += (dispute,)
        _credit_winners(step, dispute)
        _pay_winners(step, dispute)
    if dispute.is_report:
        return _settle_report(step, dispute)
    return (_settle_across if dispute.is_across else _settle)(step, dispute)


def _pay_winners(step: Transition, dispute: Dispute) -> None:
    """Note the votes with the decision that are open by now, and the audit whose challenger opened it."""
    for peer in sorted(rounds.winners(dispute)):
        is_audit = peer == dispute.audit.challenger
        step.earn(MoveReason.AUDIT if is_audit else MoveReason.VOTE, peer, dispute.key)


def _settle(step: Transition, dispute: Dispute) -> Dispute:
    """Count an agreement or a dissent once for each peer that answered. Late openings are settled when they come."""
    decision = dispute.decision
    assert decision is not None
    audit = dispute.audit
    right, wrong = rounds.winners(dispute), rounds.losers(dispute)
    if decision == UNDERIVABLE:
        wrong.add(audit.challenger)
        right.discard(audit.challenger)
    else:
        for asked in audit.asked:
            if asked.receipt is not None:
                (right if audit.matches(asked.receipt, decision) else wrong).add(asked.responder)
        right -= wrong
    for peer in sorted(wrong - dispute.settled):
        step.dissent(peer, audit, is_long=dispute.is_long)
    for peer in sorted(right - dispute.settled):
        step.agree(peer, audit, is_long=dispute.is_long)
    return replace(dispute, settled=dispute.settled | wrong | right)


def _settle_report(step: Transition, dispute: Dispute) -> Dispute:
    """Count a dissent for each peer that was wrong: the reported one or else the reporter, and voters that lost.

    Nobody gets an agreement, because the reporter has chosen the question and the peer.
    """
    (asked,) = dispute.audit.asked
    assert asked.receipt is not None
    assert dispute.decision is not None
    is_true = dispute.decision != UNDERIVABLE and not dispute.audit.matches(asked.receipt, dispute.decision)
    wrong = rounds.losers(dispute) | {asked.responder if is_true else dispute.audit.challenger}
    for peer in sorted(wrong - dispute.settled):
        step.dissent(peer, dispute.audit, is_long=False)
    return replace(dispute, settled=dispute.settled | wrong)


def _settle_across(step: Transition, dispute: Dispute) -> Dispute:
    """Count each verdict of the decided measures once, and a dissent for each voter that lost.

    A right vote is no agreement here, because it shows that a peer runs the referee, not which model it serves.
    """
    decision, audit = dispute.decision, dispute.audit
    wrong = rounds.losers(dispute)
    judged = [one for one in _judge(step, dispute) if one.responder not in dispute.settled]
    if decision == UNDERIVABLE:
        wrong.add(audit.challenger)
    cross_class.settle(step, audit, judged, is_decided=True, is_long=dispute.is_long)
    for peer in sorted(wrong):
        # It counts only once. It is repeated here because openings can come later.
        step.dissent(peer, audit, is_long=dispute.is_long)
    return replace(dispute, settled=dispute.settled | {one.responder for one in judged})


def _judge(step: Transition, dispute: Dispute) -> list[cross_class.JudgedReceipt]:
    """The judgements of a decision across classes."""
    if dispute.decision in (None, UNDERIVABLE):
        return []
    asked = dispute.audit.asked
    one = next(each.receipt.class_index for each in asked if each.receipt is not None)
    contract = contract_about(step.network, step.state, one, dispute)
    return cross_class.verdicts(contract, asked, dispute.measures[dispute.decision])


def _credit_winners(step: Transition, dispute: Dispute) -> None:
    if not dispute.sampled or dispute.decision in (None, UNDERIVABLE):
        return
    audit, decision = dispute.audit, dispute.decision
    assert decision is not None
    same = rounds.winners(dispute)
    if dispute.is_across:
        right = sorted(one.responder for one in _judge(step, dispute) if one.verdict is Verdict.MATCH)
        credit(step.state, audit.challenger, sorted(same.union(right)), right)
        return
    same |= {a.responder for a in audit.asked if a.receipt is not None and audit.matches(a.receipt, decision)}
    credit(step.state, audit.challenger, sorted(same))


def _close(step: Transition, dispute: Dispute) -> None:
    """Close a dispute after its deadline. If it is undecided, it counts for nobody.

    A sealed answer that was never opened adds to its author's `unopened`.
    """
    state = step.state
    if dispute.decision is None:
        state.count("undecided disputes")
    for peer in rounds.unopened(dispute, state.index):
        member = state.members.get(peer)
        if member is not None:
            state.change(peer, unopened=member.unopened + 1)
