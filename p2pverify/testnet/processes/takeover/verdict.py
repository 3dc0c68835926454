"""The verdict on a takeover: the honest peers must stop the network, and say why, instead of certifying lies. Then they
must leave the liars behind in another network, and convict them there.

`attack` carries the takeover out, and notes its progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.reports.readiness import REFUSES
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.processes.verdict import CONVICTED, Judgement, ScoresAt, judge

#: Cuts have stopped if no honest peer has a cut of one of the last STILL_EPOCHS epochs.
STILL_EPOCHS = 3


@dataclass(frozen=True, slots=True)
class RerunOutcome:
    """The decisions that were computed again: how many agree, the ids of the wrong disputes, and who voted for them."""

    agree: int
    wrong: tuple[str, ...]
    voters: frozenset[str]


@dataclass(slots=True)
class TakeoverProgress:
    """How far a takeover has come.

    `lies_from` is the epoch in which the cheaters began to lie, None before. `rerun` has the decisions of an honest
    peer's ledger that were computed again. `faults` are sentences about what must not happen.
    """

    lies_from: int | None = None
    rerun: RerunOutcome | None = None
    faults: tuple[str, ...] = ()
    fork: str | None = None

    def document(self) -> dict[str, object]:
        """The part of the report. Unknown values are null."""
        rerun = self.rerun
        return {
            "lies_from_epoch": self.lies_from,
            "decisions_that_agree": None if rerun is None else rerun.agree,
            "wrong_disputes": None if rerun is None else list(rerun.wrong),
            "fork": self.fork,
        }

    def summary(self, honest: int) -> list[str]:
        """Lines for people, if all steps were played. `honest` is the number of honest peers."""
        if self.rerun is None:
            return []
        lines = [
            f"the cheaters lie from epoch {self.lies_from}; cuts stopped, and all {honest} honest peers said why",
            f"computed again: {len(self.rerun.wrong)} disputes were decided wrongly, {self.rerun.agree} not",
        ]
        if self.fork is not None:
            lines.append(f"the honest peers went on in network {self.fork[:16]}, in which the cheaters have no weight")
        return lines


def weights(plan: Plan, view: ScoresDocument) -> tuple[int, int]:
    """The weight of the cheaters and of all peers in a view."""
    takers = {peer.peer_id for peer in plan.expected(CheaterFate.CONTESTED)}
    return sum(row.weight for row in view.scores if row.peer_id in takers), sum(row.weight for row in view.scores)


def is_bought(plan: Plan, view: ScoresDocument | None) -> bool:
    """Whether the cheaters have more than half of the weight in a view."""
    if view is None:
        return False
    bought, total = weights(plan, view)
    return 2 * bought > total


def silent(plan: Plan, statuses: Mapping[str, StatusDocument]) -> list[str]:
    """The honest peers that do not say that they refuse a conviction."""
    return [
        peer.name
        for peer in plan.honest
        if peer.name not in statuses or not says_why(statuses[peer.name].ready, statuses[peer.name].reasons)
    ]


def says_why(ready: bool, reasons: tuple[str, ...]) -> bool:
    """Whether a peer is not ready because it refuses a conviction."""
    return not ready and any(reason.startswith(REFUSES) for reason in reasons)


def has_stopped(plan: Plan, statuses: Mapping[str, StatusDocument]) -> bool:
    """Whether no honest peer has had a new cut for some epochs."""
    honest = [statuses[peer.name] for peer in plan.honest if peer.name in statuses]
    return len(honest) == len(plan.honest) and all(
        status.final is not None and status.epoch > status.final.epoch + STILL_EPOCHS for status in honest
    )


def judge_takeover(
    plan: Plan, statuses: Mapping[str, StatusDocument], scores_at: ScoresAt, progress: TakeoverProgress
) -> Judgement:
    """Judge the documents read so far. `statuses` has the newest status of each peer by name.

    Once the honest peers have left, the documents are those of the other network.
    """
    base = judge(plan, statuses, scores_at)
    if progress.fork is not None:
        return base
    wronged = {
        peer.name
        for views in scores_at.values()
        for name, view in views.items()
        for peer in plan.honest
        if not plan.peer(name).cheat and (row := view.row(peer.peer_id)) is not None and row.standing == CONVICTED
    }
    missing = list(progress.faults)
    missing += [f"{name} is honest, and a final view of an honest peer convicts it" for name in sorted(wronged)]
    if progress.lies_from is None:
        missing.append("the cheaters do not have most of the weight yet")
    else:
        missing += [f"{name} does not say that it refuses a conviction" for name in silent(plan, statuses)]
        if not has_stopped(plan, statuses):
            missing.append("cuts have not stopped")
        if progress.rerun is None:
            missing.append("the decisions were not computed again")
        missing.append("the honest peers have not left yet")
    if not base.views_agree:
        missing.append("the views of honest peers differ at a common cut")
    return replace(
        base,
        missed=tuple(peer.name for peer in plan.cheaters) if missing else (),
        honest_convicted=tuple(sorted(wronged)),
        missing=tuple(missing),
        faults=progress.faults,
    )
