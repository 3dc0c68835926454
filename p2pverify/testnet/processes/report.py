"""The report of a run: a JSON document `p2pverify/testnet-report/1`, and a summary of a few lines for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from p2pverify.node.reports.documents.scores import SpeedDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.testnet.cases.facts import CaseFacts
from p2pverify.testnet.cases.tables import summary
from p2pverify.testnet.faults import FaultPlan
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.lasting.verdict import LastingProgress
from p2pverify.testnet.processes.takeover.verdict import TakeoverProgress
from p2pverify.testnet.processes.upgrade.verdict import UpgradeProgress
from p2pverify.testnet.processes.verdict import Judgement, jobs_of, too_slow

SCHEMA = "p2pverify/testnet-report/1"


@dataclass(frozen=True, slots=True)
class Report:
    """A run and its verdict. `seconds` is the time from the command to the verdict."""

    plan: Plan
    network: str
    model: str
    seconds: float
    judgement: Judgement
    statuses: Mapping[str, StatusDocument]
    takeover: TakeoverProgress | None = None  # of a plan in which cheaters take over
    upgrade: UpgradeProgress | None = None  # of a plan with a second version
    case: CaseFacts | None = None  # of a case study that was played to its end
    lasting: LastingProgress | None = None  # of a network whose peers, keys and rules change

    @property
    def passes(self) -> bool:
        return self.judgement.passes

    def document(self) -> dict[str, object]:
        """The JSON document. Rates are between 0 and 1, digests are in hex, and unknown values are null."""
        judged, jobs = self.judgement, jobs_of(self.statuses)
        return {
            "schema": SCHEMA,
            "network": self.network,
            "seed": self.plan.seed,
            "seconds": round(self.seconds, 1),
            "engine": self.plan.engine,
            "model": self.model,
            "epoch_ms": self.plan.epoch_ms,
            "jobs": jobs.total,
            "jobs_late": jobs.late,
            "faults": [self._fault(fault) for fault in self.plan.faults],
            "peers": [self._peer(peer) for peer in self.plan.peers],
            "cheaters_convicted": list(judged.convicted),
            "unavailable": list(judged.unavailable),
            "speed_as_expected": list(judged.timed),
            "dropped": list(judged.dropped),
            "cheaters_missed": list(judged.missed),
            "honest_convicted": list(judged.honest_convicted),
            "views_agree": judged.at is not None and judged.views_agree,
            "takeover": None if self.takeover is None else self.takeover.document(),
            "upgrade": None if self.upgrade is None else self.upgrade.document(),
            "case": None if self.case is None else self.case.document(),
            "lasting": None if self.lasting is None else self.lasting.document(),
            "verdict": "pass" if self.passes else "fail",
        }

    def _fault(self, fault: FaultPlan) -> dict[str, object]:
        return {
            "kind": fault.kind.value,
            "peers": list(fault.victims),
            "begins_ms": fault.begins_ms,
            "ends_ms": fault.ends_ms,
        }

    def _peer(self, peer: PeerPlan) -> dict[str, object]:
        score = self.judgement.scores.get(peer.name)
        status = self.statuses.get(peer.name)
        at = self.judgement.at
        cuts = () if status is None else status.recent_cuts
        # A peer without the judged cut shows its own newest cut. Only a cheater can lack the judged cut.
        flags = next((one for one in self.judgement.flags if one.peer is peer), None)
        own = next((cut for cut in cuts if at is not None and cut.cut == at.cut), cuts[-1] if cuts else None)
        return {
            "name": peer.name,
            "peer_id": peer.peer_id,
            "cheat": None if peer.cheat is None else str(peer.cheat),
            "weights": None if peer.weights is None else str(peer.weights),
            "standing": None if score is None else score.standing,
            "low": None if score is None else score.low,
            "high": None if score is None else score.high,
            "audits": 0 if score is None else score.audits,
            "challengers": 0 if score is None else score.challengers,
            "disputes_lost": 0 if score is None else score.dissents,
            "convicted_after_audits": None if score is None else score.convicted_after_audits,
            "flags": None if flags is None else flags.document(),
            "hardware": None if score is None or score.hardware is None else _hardware(score.hardware),
            "records": None if status is None else status.records,
            "cut": None if own is None else own.cut,
            "ledger_root": None if own is None else own.ledger_root,
            "view_root": None if own is None else own.view_root,
        }

    def summary(self) -> str:
        """A summary of a few lines."""
        judged, plan = self.judgement, self.plan
        lines = [f"models: {self.model}"] if len(plan.models) > 1 else []
        for peer in plan.cheaters:
            score = judged.scores.get(peer.name)
            if score is not None and peer.name in judged.convicted:
                lines.append(f"{peer.label}: convicted after {score.convicted_after_audits} audits")
            elif score is not None and peer.name in judged.unavailable:
                lines.append(f"{peer.label}: unavailable, as it does not answer")
            elif peer.name in judged.dropped:
                lines.append(f"{peer.label}: dropped, as others refused its bytes; its answers are right")
            elif score is not None and score.hardware is not None and peer.name in judged.timed:
                lines.append(f"{peer.label}: speed {score.hardware.fit} with {score.hardware.claim}")
        lines += [line for one in judged.flags for line in one.summary()]
        lines += [] if self.takeover is None else self.takeover.summary(len(plan.honest))
        lines += [] if self.upgrade is None else self.upgrade.summary(plan)
        lines += [] if self.lasting is None else self.lasting.summary(plan)
        if plan.faults:
            lines.append("survived: " if self.passes else "faults: ")
            lines[-1] += "; ".join(str(fault) for fault in plan.faults)
        if not plan.cheaters:
            lines.append("no cheaters, and nobody was convicted" if self.passes else "no cheaters")
        if judged.at is not None:
            agree = "agree" if judged.views_agree else "DO NOT agree"
            where = f"cut {judged.at.cut[:16]}, epoch {judged.at.epoch}"
            lines.append(f"all {len(plan.witnesses)} honest peers {agree} on the view of {where}")
            lines.append(f"view root {judged.at.view_root}")
        lines += [] if self.case is None else [summary(self.case)]
        lines += [f"missing: {reason}" for reason in judged.missing]
        slow = None if self.passes else too_slow(jobs_of(self.statuses))
        lines += [] if slow is None else [slow]
        lines.append(f"verdict: {'pass' if self.passes else 'fail'} after {self.seconds:.0f} s")
        return "\n".join(lines)


def _hardware(speed: SpeedDocument) -> dict[str, object]:
    return {"claim": speed.claim, "fit": speed.fit, "token_ms": speed.token_ms}
