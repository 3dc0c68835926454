"""The verdict on an upgrade: who had the file of version 1, who served which version, and what was audited.

`story` plays the upgrade, and notes its progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from p2pverify.engine.cheats.kinds import CheaterFate, CheatPlace
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.upgrade.facts import UpgradeFacts
from p2pverify.testnet.processes.verdict import Judgement


@dataclass(slots=True)
class UpgradeProgress:
    """How far an upgrade has come.

    `size` and `recipe` are of the file of version 1. `fetched` has the bytes of it that each peer holds, and `false`
    how often each peer refused false bytes of it. `exact` are the peers whose file was whole and exact at the end,
    None before the end. `back` says that the run has seen enough of the time after the recall.
    """

    size: int = 0
    recipe: str = ""
    fetched: dict[str, int] = field(default_factory=dict)
    false: dict[str, int] = field(default_factory=dict)
    facts: UpgradeFacts = field(default_factory=UpgradeFacts)
    exact: tuple[str, ...] | None = None
    is_released: bool = False
    is_back: bool = False

    def document(self) -> dict[str, object]:
        """The part of the report. Unknown values are null."""
        facts = self.facts
        return {
            "recipe": self.recipe,
            "bytes": self.size,
            "announced_epoch": facts.announced,
            "overlap_from_epoch": facts.starts,
            "overlap_until_epoch": facts.ends,
            "recalled_epoch": facts.recalled,
            "audits_in_overlap": [facts.overlap[0], facts.overlap[1]],
            "audits_after_recall": [facts.after[0], facts.after[1]],
            "files_exact": None if self.exact is None else list(self.exact),
            "false_bytes_refused": dict(self.false),
        }

    def cell(self, peer: PeerPlan) -> str:
        """The version of a peer in the final view, and how much of the file of version 1 it has while it fetches it."""
        number = self.facts.serving.get(peer.key)
        shown = "-" if number is None else str(number)
        if peer.key in self.facts.behind:
            return f"{shown} behind"
        done = self.fetched.get(peer.name, 0)
        return f"{shown} ({100 * done // self.size} % of 1)" if 0 < done < self.size else shown

    def headline(self) -> str:
        """One part of the headline of a run."""
        facts = self.facts
        if facts.recalled is not None:
            return f"version 1 recalled in epoch {facts.recalled}"
        if facts.starts is not None and facts.epoch >= facts.starts:
            return f"versions 0 and 1: {facts.overlap[0]} and {facts.overlap[1]} audits in the overlap"
        if facts.announced is not None:
            done = sum(done >= self.size for done in self.fetched.values())
            return f"version 1 announced, {done} peers have its file"
        return "version 0"

    def summary(self, plan: Plan) -> list[str]:
        """Lines for people."""
        facts = self.facts
        if facts.announced is None:
            return []
        lines = [
            f"version 1 ({self.recipe}, {self.size / 1e6:.1f} MB): released in epoch {facts.announced}, "
            f"current from {facts.starts}" + ("" if facts.recalled is None else f", recalled in {facts.recalled}")
        ]
        if self.exact is not None:
            refused = sum(count > 0 for count in self.false.values())
            lines.append(
                f"{len(self.exact)} of {len(holders(plan))} peers have its file, to the byte; "
                f"{refused} were sent false bytes of it, and refused them"
            )
        lines.append(f"overlap: {facts.overlap[0]} audits of version 0, {facts.overlap[1]} of version 1")
        if facts.recalled is not None:
            lines.append(f"after the recall: {facts.after[0]} audits of version 0, {facts.after[1]} of version 1")
        return lines


def holders(plan: Plan) -> tuple[PeerPlan, ...]:
    """The peers that must get the file of version 1: those that serve it honestly."""
    return plan.upright


def judge_upgrade(plan: Plan, base: Judgement, progress: UpgradeProgress) -> Judgement:
    """The verdict of a run with an upgrade. `base` is that on the final views."""
    assert plan.upgrade is not None
    dropped = tuple(peer.name for peer in plan.expected(CheaterFate.DROPPED) if _is_dropped(plan, progress))
    unseen = [
        f"{peer.label} is not dropped: no peer refused its bytes"
        for peer in plan.expected(CheaterFate.DROPPED)
        if peer.name not in dropped
    ]
    faults = [*base.faults, *_faults(plan, progress)]
    missing = [*base.missing, *unseen, *_open(plan, progress), *_faults(plan, progress)]
    return replace(
        base,
        dropped=dropped,
        missed=(*base.missed, *(p.name for p in plan.expected(CheaterFate.DROPPED) if p.name not in dropped)),
        missing=tuple(missing),
        faults=tuple(faults),
    )


def _is_dropped(plan: Plan, progress: UpgradeProgress) -> bool:
    """Whether honest peers refused false bytes. No other peer of the plan serves any."""
    return any(progress.false.get(peer.name, 0) for peer in plan.honest)


def _open(plan: Plan, progress: UpgradeProgress) -> list[str]:
    """What has not happened yet."""
    facts = progress.facts
    if facts.announced is None:
        return ["version 1 is not released yet"]
    if facts.recalled is None:
        return ["version 1 is not recalled yet"]
    if not progress.is_back:
        stay = [peer.name for peer in plan.upright if facts.serving.get(peer.key) != 0]
        return [f"still on version 1: {', '.join(stay)}" if stay else "the time after the recall is not over"]
    return []


def _faults(plan: Plan, progress: UpgradeProgress) -> list[str]:
    """What must not happen, or has not happened in its time."""
    facts, upgrade = progress.facts, plan.upgrade
    assert upgrade is not None
    found = []
    is_over = facts.ends is not None and (facts.recalled is not None or facts.epoch > facts.ends + _LATE_EPOCHS)
    if is_over:
        found += [
            f"{facts.overlap[number]} audits of version {number} in the overlap, not {upgrade.audits}"
            for number in (0, 1)
            if facts.overlap[number] < upgrade.audits
        ]
    if facts.after[1]:
        found.append(f"{facts.after[1]} audits of version 1 after the recall time")
    if progress.exact is not None:
        lacking = [peer.name for peer in holders(plan) if peer.name not in progress.exact]
        found += [f"{name} does not have the exact file of version 1" for name in lacking]
    return found


#: Audits of the last epochs of an overlap can come after it.
_LATE_EPOCHS = 2


def stale(plan: Plan) -> Mapping[bytes, PeerPlan]:
    """The cheaters that claim version 1 and serve version 0, by key."""
    return {peer.key: peer for peer in plan.cheaters if peer.cheat and peer.cheat.place is CheatPlace.VERSION}
