"""Disputes: a wider, blind vote on the same question.

A dispute opens with the cut that first holds an audit with differing answers and its duty. Then members seal their
answers: until a cut of the path holds those of two thirds of the electorate, or for `SEAL_CUTS` cuts. Only when a
certified cut has closed the sealing do they open them. More than half of the electorate decides.
"""

from dataclasses import replace

from p2pverify.core import draw
from p2pverify.core.audit import UNDERIVABLE, Audit, vote_commit
from p2pverify.core.duties import Opened, credit
from p2pverify.core.question import Opening
from p2pverify.core.records import DisputeKey, Record, Vote, decode_commit, decode_vote
from p2pverify.core.state import Dispute, State
from p2pverify.core.step import Step

#: For at most so many cuts after the opening, answers can be sealed.
SEAL_CUTS = 3
#: An undecided dispute older than so many cuts no longer keeps others from being opened.
PENDING_CUTS = 6
#: A challenger whose own answer stays sealed for so many cuts after the sealing was closed opens no other dispute.
OPENING_CUTS = 3


def open_disputes(step: Step, opened: list[Opened]) -> None:
    """Admit disputes up to the contract's limit, at most one per participant and cut; the rest lapse.

    Nor is anybody taken to more open disputes than would convict it: those that it loses already suffice. And who has
    not opened its own answer in one dispute costs the voters no other.
    """
    state = step.state
    busy = _saturated(step)
    silent = _silent(state)
    admitted = 0
    for audit, duty_seq, sampled in sorted(opened, key=lambda o: _rank(o[0])):
        participants = _participants(audit)
        convicted = any(state.members[p].is_convicted for p in participants if p in state.members)
        refused = convicted or audit.challenger in silent or participants & busy
        if refused or admitted == step.network.params.disputes_per_cut:
            state.count("lapsed disputes")
            continue
        admitted += 1
        busy |= participants
        class_index = state.members[audit.challenger].class_index
        electorate = frozenset(p for p, m in state.members.items() if m.may_vote(class_index, state.epoch))
        state.disputes[audit.key] = Dispute(audit, state.index, state.epoch, duty_seq, electorate, sampled)
        state.count("disputes")


def _saturated(step: Step) -> set[bytes]:
    """Peers whom losing their open disputes would convict."""
    pending: dict[bytes, int] = {}
    for dispute in step.state.disputes.values():
        if dispute.decision is None and step.state.index - dispute.opened_index <= PENDING_CUTS:
            for peer in _participants(dispute.audit):
                pending[peer] = pending.get(peer, 0) + 1
    found = set()
    for peer, count in pending.items():
        member = step.state.members.get(peer)
        if member is not None:
            steps = step.steps[member.class_index]
            if member.cusum + count * steps.up >= steps.threshold:
                found.add(peer)
    return found


def _silent(state: State) -> set[bytes]:
    """Challengers that could have opened their answer in a dispute for some cuts, and did not."""
    return {
        key.challenger
        for key, dispute in state.disputes.items()
        if dispute.sealed_index >= 0
        and state.index - dispute.sealed_index > OPENING_CUTS
        and key.challenger not in dispute.votes
    }


def _participants(audit: Audit) -> set[bytes]:
    """Those whose answers a dispute is about."""
    return {audit.challenger} | {a.responder for a in audit.asked if a.receipt is not None}


def _rank(audit: Audit) -> bytes:
    return draw.dispute_rank(audit.challenger, audit.epoch, audit.slot)


def take_commit(step: Step, record: Record) -> None:
    """Count a sealed answer, if it is of the electorate and the sealing is not closed."""
    state = step.state
    commit = decode_commit(record.payload)
    dispute = state.disputes.get(commit.dispute)
    if dispute is None:
        return
    known = dispute.commits.get(record.author)
    if known is not None:
        if known[0] != commit.commit:
            state.convict(record.author, "two commits for one dispute")
        return
    refused = refuse_commit(step, dispute, record.author, commit.certificate)
    if refused is not None:
        state.count(f"commit: {refused}")
        return
    commits = {**dispute.commits, record.author: (commit.commit, record.seq)}
    state.disputes[dispute.key] = replace(dispute, commits=commits)


def refuse_commit(step: Step, dispute: Dispute, voter: bytes, certificate: bytes) -> str | None:
    """Why a commit counts for nothing, or None."""
    if voter not in dispute.electorate:
        return "not of the electorate"
    if dispute.sealed_index >= 0:
        return "after the sealing was closed"
    if not step.is_certified(certificate):
        return "certificate is not one here"
    cited = step.frame.state_of(certificate)
    if cited is None or dispute.key not in cited.disputes:
        return "certificate does not hold the dispute"
    return None


def take_vote(step: Step, record: Record) -> None:
    """Count an opened answer of a voter, or the challenger's opening."""
    state = step.state
    vote = decode_vote(record.payload)
    dispute = state.disputes.get(vote.dispute)
    if dispute is None:
        return
    known = dispute.votes.get(record.author)
    if known is not None:
        if known != vote.output:
            state.convict(record.author, "two votes for one dispute")
        return
    refused = refuse_vote(step, dispute, record.author, vote)
    if refused is not None:
        state.count(f"vote: {refused}")
        return
    votes = {**dispute.votes, record.author: vote.output}
    state.disputes[dispute.key] = replace(dispute, votes=votes)


def refuse_vote(step: Step, dispute: Dispute, voter: bytes, vote: Vote) -> str | None:
    """Why a vote counts for nothing, or None."""
    if not step.is_certified(vote.certificate):
        return "certificate is not one here"
    cited = step.frame.state_of(vote.certificate)
    if cited is None or not is_sealed(cited, dispute.key):
        return "certificate is before the sealing was closed"
    if vote.class_index != step.state.members[dispute.audit.challenger].class_index:
        return "another class"
    if voter == dispute.audit.challenger:
        opening = Opening(dispute.audit.slot, vote.class_index, vote.output, vote.salts)
        return None if dispute.audit.opens(step.network_id, opening) else "forged opening"
    sealed = dispute.commits.get(voter)
    if sealed is None:
        return "no commit was counted"
    head = cited.heads.get(voter)
    if head is None or head[1] < sealed[1]:
        return "certificate does not hold the commit"
    opened = vote_commit(step.network_id, dispute.key, voter, vote.class_index, vote.output, vote.salts[0])
    return None if opened == sealed[0] else "does not open the commit"


def is_sealed(state: State, key: DisputeKey) -> bool:
    """Whether a dispute's sealing is closed at a state, so that answers may be opened."""
    dispute = state.disputes.get(key)
    return dispute is not None and dispute.sealed_index >= 0


def close_sealing(step: Step) -> None:
    """Close the sealing of disputes for which enough answers are sealed, or time is over."""
    state = step.state
    for key, dispute in sorted(state.disputes.items(), key=lambda item: item[0].sort_key()):
        age = state.index - dispute.opened_index
        if dispute.sealed_index >= 0 or age == 0:
            continue
        sealed = len(dispute.commits) + 1  # the challenger's answer is in its nonces
        if age >= SEAL_CUTS or 3 * sealed >= 2 * len(dispute.electorate):
            state.disputes[key] = replace(dispute, sealed_index=state.index)


def decide(step: Step) -> None:
    """Decide what more than half of the electorate agrees on, settle, and close what is too old."""
    state = step.state
    for key in sorted(state.disputes, key=lambda k: k.sort_key()):
        dispute = state.disputes[key]
        if dispute.decision is None:
            dispute = _tally(dispute)
            if dispute.decision is not None:
                state.count("decided disputes")
                _credit_winners(step, dispute)
        if dispute.decision is not None:
            dispute = _settle(step, dispute)
        if state.epoch > dispute.opened_epoch + step.network.params.dispute_epochs:
            _close(step, dispute)
            del state.disputes[key]
        else:
            state.disputes[key] = dispute


def _tally(dispute: Dispute) -> Dispute:
    counts: dict[bytes, int] = {}
    for voter, output in dispute.votes.items():
        if voter in dispute.electorate:
            counts[output] = counts.get(output, 0) + 1
    for output in sorted(counts):
        if 2 * counts[output] > len(dispute.electorate):
            return replace(dispute, decision=output)
    return dispute


def _settle(step: Step, dispute: Dispute) -> Dispute:
    """Agreements and dissents of all who answered, once each; late openings are settled when they come."""
    decision = dispute.decision
    assert decision is not None
    audit = dispute.audit
    answers = dict(dispute.votes)
    right = {voter for voter, output in answers.items() if output == decision}
    wrong = set(answers) - right
    if decision == UNDERIVABLE:
        wrong.add(audit.challenger)
        right.discard(audit.challenger)
    else:
        for asked in audit.asked:
            if asked.receipt is not None:
                (right if audit.matches(asked.receipt, decision) else wrong).add(asked.responder)
        right -= wrong
    for peer in sorted(wrong - dispute.settled):
        step.dissent(peer, audit.epoch)
    for peer in sorted(right - dispute.settled):
        step.agree(peer, audit.epoch)
    return replace(dispute, settled=dispute.settled | wrong | right)


def _credit_winners(step: Step, dispute: Dispute) -> None:
    if not dispute.sampled or dispute.decision in (None, UNDERIVABLE):
        return
    audit, decision = dispute.audit, dispute.decision
    assert decision is not None
    same = [voter for voter in sorted(dispute.votes) if dispute.votes[voter] == decision]
    same += [a.responder for a in audit.asked if a.receipt is not None and audit.matches(a.receipt, decision)]
    credit(step.state, audit.challenger, sorted(set(same)))


def _close(step: Step, dispute: Dispute) -> None:
    """After the deadline: what stayed sealed is shown beside its author, and an undecided dispute counts for nobody."""
    state = step.state
    if dispute.decision is None:
        state.count("undecided disputes")
    sealed = set(dispute.commits) | {dispute.audit.challenger}
    for peer in sorted(sealed - set(dispute.votes)):
        member = state.members.get(peer)
        if member is not None:
            state.change(peer, unopened=member.unopened + 1)
