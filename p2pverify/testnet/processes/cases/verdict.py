"""The verdict on a case study, and its progress. `story` plays it."""

from dataclasses import dataclass, replace

from p2pverify.testnet.cases.facts import CaseFacts
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.processes.verdict import Judgement


@dataclass(slots=True)
class CaseProgress:
    """How far a case has come: its decided rounds, the phase of the open one, and at the end its facts.

    `broken` says why there are no facts.
    """

    decided: int = 0
    phase: str = ""
    facts: CaseFacts | None = None
    broken: str = ""

    def headline(self) -> str:
        """One part of the headline of a run."""
        return f"{self.decided} rounds decided" + (f", the next one is {self.phase}" if self.phase else "")


def judge_case(plan: Plan, base: Judgement, progress: CaseProgress) -> Judgement:
    """The verdict of a run of a case. `base` is that on the final views."""
    assert plan.case is not None
    if progress.broken:
        return replace(base, faults=(*base.faults, progress.broken), missing=(*base.missing, progress.broken))
    if progress.facts is None:
        return replace(base, missing=(*base.missing, f"{progress.decided} of {plan.case.rounds} rounds are decided"))
    wrong = [f"{check.what}: {check.found}" for check in progress.facts.checks if not check.holds]
    return replace(base, faults=(*base.faults, *wrong), missing=(*base.missing, *wrong))
