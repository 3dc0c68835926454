"""The verdict on a run: what the honest peers found out, compared with the truth, which they were not told.

It is judged at one cut: the newest certified one that all honest peers have. A peer has a cut only if its own fold
gives the cut's view root, so a common cut is a common view; that their scores there are the same is checked as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.api_client import CutReading, JobsReading, ScoreReading, ScoresReading, StatusReading

CONVICTED = "convicted"
SUSPECT = "suspect"
AVAILABILITY_MIN = 0.5
#: Late jobs among so many are too many.
TOO_SLOW_SHARE = 10
TIMED = (CheaterFate.INCONSISTENT, CheaterFate.CONSISTENT)  # of peers whose answers are right

#: cut -> name of a peer -> the final scores that it showed at that cut
ScoresAt = Mapping[str, Mapping[str, ScoresReading]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`at` is the cut that is judged, None before there is one; `missing` says what keeps the run from passing."""

    at: CutReading | None
    scores: Mapping[str, ScoreReading]  # by name, at the judged cut
    convicted: tuple[str, ...]
    unavailable: tuple[str, ...]
    timed: tuple[str, ...]  # whose speed is found to fit their hardware, or not to, as it should be
    missed: tuple[str, ...]
    honest_convicted: tuple[str, ...]
    views_agree: bool
    missing: tuple[str, ...]

    @property
    def passes(self) -> bool:
        return not self.missing

    @property
    def is_lost(self) -> bool:
        """Whether no later cut can make it pass: convictions are final, and so are views."""
        return bool(self.honest_convicted) or (self.at is not None and not self.views_agree)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.passes or self.is_lost


def judge(plan: Plan, statuses: Mapping[str, StatusReading], scores_at: ScoresAt) -> Judgement:
    """Judge what was read so far. `statuses` are the newest of each peer by name."""
    honest = [peer.name for peer in plan.honest]
    found = _judged_cut(honest, statuses, scores_at)
    agree = _agree(honest, statuses, scores_at)
    if found is None:
        seen = [name for name in honest if name in statuses and statuses[name].recent_cuts]
        reason = f"no certified cut that all honest peers have; {len(seen)} of {len(honest)} have one at all"
        expected = tuple(peer.name for peer in plan.cheaters)
        return Judgement(None, {}, (), (), (), expected, (), agree, (reason,))
    at, view = found
    scores = {peer.name: score for peer in plan.peers if (score := view.of(peer.peer_id)) is not None}
    convicted = tuple(p.name for p in plan.cheaters if _is_convicted(scores.get(p.name)))
    unavailable = tuple(
        p.name
        for p in plan.expected(CheaterFate.UNAVAILABLE)
        if p.name not in convicted and _is_unavailable(scores.get(p.name))
    )
    timed = tuple(p.name for p in plan.cheaters if _is_timed(p, scores.get(p.name)))
    missed = tuple(p.name for p in plan.cheaters if p.name not in (*convicted, *unavailable, *timed))
    upright = (*plan.honest, *(p for fate in TIMED for p in plan.expected(fate)))
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


def jobs_of(statuses: Mapping[str, StatusReading]) -> JobsReading:
    """What all engines together were given to do."""
    return sum((status.jobs for status in statuses.values()), JobsReading())


def too_slow(jobs: JobsReading) -> str | None:
    """The sentence that says that it was the machine's fault, if so many jobs were late that it can have been."""
    if TOO_SLOW_SHARE * jobs.late < jobs.total or not jobs.late:
        return None
    return f"this machine was too slow: {jobs.late} of {jobs.total} jobs were late"


def _judged_cut(
    honest: Sequence[str], statuses: Mapping[str, StatusReading], scores_at: ScoresAt
) -> tuple[CutReading, ScoresReading] | None:
    """The newest cut that all honest peers have and of which one of them showed the scores."""
    if any(name not in statuses for name in honest):
        return None
    common = set.intersection(*({cut.cut for cut in statuses[name].recent_cuts} for name in honest))
    for cut in reversed(statuses[honest[0]].recent_cuts):
        shown = scores_at.get(cut.cut, {})
        view = next((shown[name] for name in honest if name in shown), None)
        if cut.cut in common and view is not None:
            return cut, view
    return None


def _agree(honest: Sequence[str], statuses: Mapping[str, StatusReading], scores_at: ScoresAt) -> bool:
    """Whether honest peers say the same of every cut that two of them have."""
    roots: dict[str, tuple[str, str]] = {}
    for name in honest:
        for cut in statuses[name].recent_cuts if name in statuses else ():
            if roots.setdefault(cut.cut, (cut.ledger_root, cut.view_root)) != (cut.ledger_root, cut.view_root):
                return False
    for shown in scores_at.values():
        views = [shown[name].scores for name in honest if name in shown]
        if any(view != views[0] for view in views):
            return False
    return True


def _is_convicted(score: ScoreReading | None) -> bool:
    return score is not None and score.standing == CONVICTED


def _is_unavailable(score: ScoreReading | None) -> bool:
    if score is None:
        return False
    return score.availability is not None and score.availability < AVAILABILITY_MIN


def _is_timed(peer: PeerPlan, score: ScoreReading | None) -> bool:
    """Whether a peer whose speed is in question is found as it should be, and is not convicted."""
    if peer.cheat is None or peer.cheat.fate not in TIMED or score is None or score.hardware is None:
        return False
    return score.hardware.fit == str(peer.cheat.fate) and not _is_convicted(score)


def _not_yet(peer: PeerPlan, score: ScoreReading | None) -> str:
    assert peer.cheat is not None
    if score is None:
        return f"{peer.label} is not a member yet"
    if peer.cheat.fate in TIMED:
        fit = "no hardware" if score.hardware is None else score.hardware.fit
        return f"{peer.label} is not {peer.cheat.fate}: {fit} after {score.audits} audits"
    return (
        f"{peer.label} is not {peer.cheat.fate}: "
        f"{score.standing} after {score.audits} audits and {score.lost} lost disputes"
    )


def _too_early(plan: Plan, at: CutReading, scores: Mapping[str, ScoreReading]) -> list[str]:
    found = []
    if at.epoch < plan.epochs_without_cheaters:
        found.append(f"the newest common cut is of epoch {at.epoch}, not of {plan.epochs_without_cheaters}")
    unseen = [peer.name for peer in plan.peers if peer.name not in scores or not scores[peer.name].audits]
    if unseen:
        found.append(f"not audited yet: {', '.join(unseen)}")
    return found
