"""The verdict on a run: the findings of the honest peers, compared with the truth that only the plan knows.

It is made at one cut: the newest certified cut that all honest peers have. A peer has a cut only if its own fold gives
the cut's view root, so a common cut is a common view. The equality of their scores at that cut is checked too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.node.reports.documents.me import MeDocument
from p2pverify.node.reports.documents.scores import ScoreDocument, ScoresDocument
from p2pverify.node.reports.documents.status import RecentCut, StatusDocument
from p2pverify.testnet.flags import LiarFlags, NodeFlag, find_flags, wrongly_flagged
from p2pverify.testnet.plan import UPRIGHT, PeerPlan, Plan

CONVICTED = "convicted"
SUSPECT = "suspect"
AVAILABILITY_MIN = 0.5
#: The machine is too slow if one job in TOO_SLOW_SHARE is late.
TOO_SLOW_SHARE = 10
TIMED = (CheaterFate.INCONSISTENT, CheaterFate.CONSISTENT)  # fates of peers whose answers are right

#: cut -> name of a peer -> the final scores that the peer showed at that cut
ScoresAt = Mapping[str, Mapping[str, ScoresDocument]]


@dataclass(frozen=True, slots=True)
class JobTotals:
    """The jobs of all engines so far, and the useless ones among them: late or dropped."""

    total: int
    late: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict. `at` is the judged cut, None before the first one. `missing` has the conditions not met yet."""

    at: RecentCut | None
    scores: Mapping[str, ScoreDocument]  # by name, at the judged cut
    convicted: tuple[str, ...]
    unavailable: tuple[str, ...]
    timed: tuple[str, ...]  # peers whose speed fits their hardware claim, or does not fit it, as expected
    missed: tuple[str, ...]
    honest_convicted: tuple[str, ...]
    views_agree: bool
    missing: tuple[str, ...]
    faults: tuple[str, ...] = ()  # sentences about what no later cut can mend
    flags: tuple[LiarFlags, ...] = ()  # of liars to clients, by the nodes of these clients
    dropped: tuple[str, ...] = ()  # peers whose false bytes of files were refused

    @property
    def passes(self) -> bool:
        return not self.missing

    @property
    def is_lost(self) -> bool:
        """Whether no later cut can make the run pass, because convictions and views are final."""
        return bool(self.honest_convicted or self.faults) or (self.at is not None and not self.views_agree)

    @property
    def is_over(self) -> bool:
        """Whether the result can no longer change."""
        return self.passes or self.is_lost


def judge(
    plan: Plan,
    statuses: Mapping[str, StatusDocument],
    scores_at: ScoresAt,
    own_audits: Mapping[str, MeDocument] = MappingProxyType({}),
) -> Judgement:
    """Judge the documents read so far. `statuses` has the newest status of each peer by name, and `own_audits` the
    newest figures of the nodes that have clients.
    """
    found = _judge_views(plan, statuses, scores_at)
    flags = find_flags(plan, own_audits)
    faults = [_late(one, late) for one in flags for late in one.late] + wrongly_flagged(plan, own_audits)
    unseen = [f"no node of a client flags {one.peer.label}" for one in flags if not one.is_flagged]
    missing = (*found.missing, *unseen, *faults)
    return replace(found, flags=flags, faults=tuple(faults), missing=missing)


def _late(flags: LiarFlags, node: NodeFlag) -> str:
    how = "not yet" if node.after is None else f"after {node.after}"
    return (
        f"'me' of {node.node} flags {flags.peer.label} too late: {how}, with {node.audits} audits made; by the exact "
        f"chain 99 of 100 such liars are flagged within {flags.latest}"
    )


def _judge_views(plan: Plan, statuses: Mapping[str, StatusDocument], scores_at: ScoresAt) -> Judgement:
    """The verdict on the certified views alone."""
    honest = [peer.name for peer in plan.witnesses]
    found = _judged_cut(honest, statuses, scores_at)
    agree = _agree(honest, statuses, scores_at)
    if found is None:
        seen = [name for name in honest if name in statuses and statuses[name].recent_cuts]
        reason = f"no certified cut that all honest peers have; {len(seen)} of {len(honest)} have one at all"
        expected = tuple(peer.name for peer in plan.cheaters)
        return Judgement(None, {}, (), (), (), expected, (), agree, (reason,))
    at, view = found
    scores = {peer.name: score for peer in plan.peers if (score := row_of(view, peer)) is not None}
    convicted = tuple(p.name for p in plan.cheaters if _is_convicted(scores.get(p.name)))
    unavailable = tuple(
        p.name
        for p in plan.expected(CheaterFate.UNAVAILABLE)
        if p.name not in convicted and _is_unavailable(scores.get(p.name))
    )
    timed = tuple(p.name for p in plan.cheaters if _is_timed(p, scores.get(p.name)))
    later = {p.name for fate in UPRIGHT for p in plan.expected(fate)}  # views do not show their fates
    found_out = (*convicted, *unavailable, *timed, *later)
    missed = tuple(p.name for p in plan.cheaters if p.name not in found_out)
    upright = (*plan.honest, *(p for fate in (*TIMED, *UPRIGHT) for p in plan.expected(fate)))
    wronged = tuple(p.name for p in upright if _is_convicted(scores.get(p.name)))
    missing = [_not_yet(peer, scores.get(peer.name)) for peer in plan.cheaters if peer.name in missed]
    missing += [f"{name} answers honestly, and is convicted" for name in wronged]
    if at.epoch < plan.calm_epoch:
        missing.append(
            f"the newest common cut is of epoch {at.epoch}, and the last fault ends before {plan.calm_epoch}"
        )
    if not agree:
        missing.append("the views of honest peers differ at a common cut")
    if not plan.cheaters:
        missing += _too_early(plan, at, scores)
    return Judgement(at, scores, convicted, unavailable, timed, missed, wronged, agree, tuple(missing))


def row_of(view: ScoresDocument, peer: PeerPlan) -> ScoreDocument | None:
    """A peer's row in a view, under the newest of its keys that has one; None if it is no member."""
    return next((row for key in reversed(peer.peer_ids) if (row := view.row(key)) is not None), None)


def jobs_of(statuses: Mapping[str, StatusDocument]) -> JobTotals:
    """The sum of the jobs of all engines."""
    jobs = [status.jobs for status in statuses.values()]
    return JobTotals(
        sum(each.jobs_done + each.jobs_dropped for each in jobs),
        sum(each.jobs_late + each.jobs_dropped for each in jobs),
    )


def too_slow(jobs: JobTotals) -> str | None:
    """A sentence that blames the machine if enough jobs were late; None otherwise."""
    if TOO_SLOW_SHARE * jobs.late < jobs.total or not jobs.late:
        return None
    return f"this machine was too slow: {jobs.late} of {jobs.total} jobs were late"


def _judged_cut(
    honest: Sequence[str], statuses: Mapping[str, StatusDocument], scores_at: ScoresAt
) -> tuple[RecentCut, ScoresDocument] | None:
    """The newest cut that all honest peers have, with the scores that one of them showed at it."""
    if any(name not in statuses for name in honest):
        return None
    common = set.intersection(*({cut.cut for cut in statuses[name].recent_cuts} for name in honest))
    for cut in reversed(statuses[honest[0]].recent_cuts):
        shown = scores_at.get(cut.cut, {})
        view = next((shown[name] for name in honest if name in shown), None)
        if cut.cut in common and view is not None:
            return cut, view
    return None


def _agree(honest: Sequence[str], statuses: Mapping[str, StatusDocument], scores_at: ScoresAt) -> bool:
    """Whether honest peers show equal roots and scores at every cut that two of them have."""
    roots: dict[str, tuple[str, str]] = {}
    for name in honest:
        for cut in statuses[name].recent_cuts if name in statuses else ():
            if roots.setdefault(cut.cut, (cut.ledger_root, cut.view_root)) != (cut.ledger_root, cut.view_root):
                return False
    for shown in scores_at.values():
        views = [[row.in_view for row in shown[name].scores] for name in honest if name in shown]
        if any(view != views[0] for view in views):
            return False
    return True


def _is_convicted(score: ScoreDocument | None) -> bool:
    return score is not None and score.standing == CONVICTED


def _is_unavailable(score: ScoreDocument | None) -> bool:
    if score is None:
        return False
    return score.availability is not None and score.availability < AVAILABILITY_MIN


def _is_timed(peer: PeerPlan, score: ScoreDocument | None) -> bool:
    """Whether the speed of a peer is judged as expected and the peer is not convicted. False if no fate in TIMED."""
    if peer.cheat is None or peer.cheat.fate not in TIMED or score is None or score.hardware is None:
        return False
    return score.hardware.fit == str(peer.cheat.fate) and not _is_convicted(score)


def _not_yet(peer: PeerPlan, score: ScoreDocument | None) -> str:
    assert peer.cheat is not None
    if score is None:
        return f"{peer.label} is not a member yet"
    if peer.cheat.fate in TIMED:
        fit = "no hardware" if score.hardware is None else score.hardware.fit
        return f"{peer.label} is not {peer.cheat.fate}: {fit} after {score.audits} audits"
    fate = CONVICTED if peer.cheat.fate is CheaterFate.CONTESTED else peer.cheat.fate
    return (
        f"{peer.label} is not {fate}: {score.standing} after {score.audits} audits and {score.dissents} lost disputes"
    )


def _too_early(plan: Plan, at: RecentCut, scores: Mapping[str, ScoreDocument]) -> list[str]:
    found = []
    if at.epoch < plan.epochs_without_cheaters:
        found.append(f"the newest common cut is of epoch {at.epoch}, not of {plan.epochs_without_cheaters}")
    unseen = [peer.name for peer in plan.peers if peer.name not in scores or not scores[peer.name].audits]
    if unseen:
        found.append(f"not audited yet: {', '.join(unseen)}")
    return found
