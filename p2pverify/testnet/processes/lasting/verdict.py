"""The verdict on a network that lasts: each change has happened, and all honest peers come to one state.

`story` plays the changes, and notes their progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from p2pverify.testnet.lasting import LastingRoles
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.lasting.facts import LastingFacts
from p2pverify.testnet.processes.verdict import Judgement


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """One of the relays of the peer behind relays has ended, in `epoch`, when that peer was in `audits` audits."""

    epoch: int
    audits: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a newcomer got its state: that of the cut `state_epoch`, because its operator trusts the cut `trusted`.

    It then fetched `records` records, when a peer that was there from the beginning held `of`.
    """

    trusted: str
    by: str
    state_epoch: int
    records: int
    of: int


@dataclass(frozen=True, slots=True)
class CommonState:
    """The cut at which the run ends, and by the name of each honest peer the state root that the cut names there."""

    cut: str
    epoch: int
    view_root: str
    state_roots: Mapping[str, str | None]
    own_root: str  # of the state that the runner computed itself from the records of one home

    @property
    def is_one(self) -> bool:
        return set(self.state_roots.values()) == {self.own_root}


@dataclass(slots=True)
class LastingProgress:
    """How far a network that lasts has come.

    `facts` are those of the newest cut. `relays` are the names of the relays of the peer behind relays. `rules` has the
    rules root of each honest peer whose amended rule is in force. `killed_at` is the number of bytes of the state that
    the killed newcomer had, None before. `faults` are sentences about what must not happen.
    """

    facts: LastingFacts = field(default_factory=LastingFacts)
    relays: tuple[str, ...] = ()
    relays_before: tuple[str, ...] = ()
    relay_end: RelayEnd | None = None
    rules: dict[str, tuple[str, int]] = field(default_factory=dict)
    rotated_epoch: int | None = None  # in which the new process began
    killed_at: int | None = None
    arrivals: dict[str, Arrival] = field(default_factory=dict)
    common: CommonState | None = None
    faults: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """The part of the report. Unknown values are null."""
        facts, end, common = self.facts, self.relay_end, self.common
        return {
            "rule_from_epoch": facts.rule_from,
            "rule": facts.rule,
            "relays_before": list(self.relays_before),
            "relays": list(self.relays),
            "relay_ended_epoch": None if end is None else end.epoch,
            "audits_after_relay": None if end is None else facts.audits - end.audits,
            "availability": facts.availability,
            "rotated_epoch": self.rotated_epoch,
            "handovers": facts.handovers,
            "killed_at_bytes": self.killed_at,
            "newcomers": {
                name: {
                    "trusted": one.trusted,
                    "trusted_by": one.by,
                    "state_epoch": one.state_epoch,
                    "records_fetched": one.records,
                    "records_in_all": one.of,
                }
                for name, one in self.arrivals.items()
            },
            "cut": None if common is None else common.cut,
            "view_root": None if common is None else common.view_root,
            "state_root": None if common is None else common.own_root,
        }

    def cell(self, roles: LastingRoles, peer: PeerPlan) -> str:
        """What a peer does in this run."""
        arrival = self.arrivals.get(peer.name)
        if peer.name == roles.hidden:
            return f"behind {', '.join(self.relays)}" if self.relays else "listens nowhere"
        if peer.name == roles.relay:
            return "relays" if self.relay_end is None else "ended"
        if peer.name == roles.rotating:
            return "new key" if self.facts.handovers else "-" if self.rotated_epoch is None else "moves"
        if arrival is not None:
            return f"from epoch {arrival.state_epoch}"
        return "-"

    def headline(self) -> str:
        """One part of the headline of a run."""
        facts = self.facts
        parts = [f"cut {facts.index}"]
        parts += ["new rule"] if facts.rule_from is not None else []
        parts += ["new key"] if facts.handovers else []
        parts += ["relay ended"] if self.relay_end is not None else []
        parts += [f"{len(self.arrivals)} newcomers by state"] if self.arrivals else []
        return ", ".join(parts)

    def summary(self, plan: Plan) -> list[str]:
        """Lines for people."""
        facts, roles, lasting = self.facts, plan.roles, plan.lasting
        assert roles is not None
        assert lasting is not None
        lines = []
        if facts.rule_from is not None:
            peers = len(self.rules)
            lines.append(
                f"{lasting.rule} is {facts.rule} from epoch {facts.rule_from}, by an amendment, at {peers} peers"
            )
        if self.relay_end is not None:
            available = "unknown" if facts.availability is None else f"{100 * facts.availability:.0f} %"
            end = self.relay_end
            lines.append(
                f"{roles.hidden} listens nowhere: {roles.relay}, a relay of it, ended in epoch {end.epoch}, and "
                f"{', '.join(self.relays) or 'nobody'} relays; {facts.audits - end.audits} audits since, availability "
                f"{available}"
            )
        if facts.handovers:
            lines.append(f"{roles.rotating} has another key since epoch {self.rotated_epoch}; its row moved with it")
        for name, one in self.arrivals.items():
            killed = ""
            if name == roles.killed and self.killed_at is not None:
                killed = f", after it was killed with {self.killed_at} bytes of it"
            lines.append(
                f"{name} began with the state of epoch {one.state_epoch}{killed}: it fetched {one.records} records "
                f"instead of {one.of}"
            )
        if self.common is not None:
            equal = "the same" if self.common.is_one else "NOT the same"
            lines.append(f"{equal} state root at {len(self.common.state_roots)} peers: {self.common.own_root}")
        return lines


def judge_lasting(plan: Plan, base: Judgement, progress: LastingProgress) -> Judgement:
    """The verdict of a run with a network that lasts. `base` is that on the final views."""
    faults = [*progress.faults, *_faults(plan, progress)]
    return replace(
        base,
        missing=(*base.missing, *missing(plan, progress, progress.facts), *_last(progress), *faults),
        faults=(*base.faults, *faults),
    )


def missing(plan: Plan, progress: LastingProgress, facts: LastingFacts) -> list[str]:
    """The changes that have not happened yet by the facts at a cut."""
    roles, lasting = plan.roles, plan.lasting
    assert roles is not None
    assert lasting is not None
    found = []
    if facts.rule_from is None or facts.rule != lasting.value:
        found.append(f"{lasting.rule} is not {lasting.value} yet")
    behind = [peer.name for peer in plan.witnesses if peer.name not in progress.rules]
    if behind:
        found.append(f"without the new rule: {', '.join(behind)}")
    if facts.handovers != 1:
        found.append(f"the row of {roles.rotating} has not moved to its new key yet")
    elif not facts.weight:
        found.append(f"{roles.rotating} does not have its weight back yet")
    found += _missing_relays(plan, progress, facts)
    found += [f"{name} has not joined by a state yet" for name in roles.late if name not in progress.arrivals]
    found += [f"{name} is no member yet" for name in roles.late if name not in facts.members]
    return found


def _missing_relays(plan: Plan, progress: LastingProgress, facts: LastingFacts) -> list[str]:
    roles, lasting, end = plan.roles, plan.lasting, progress.relay_end
    assert roles is not None
    assert lasting is not None
    if end is None:
        return [f"{roles.relay} has not ended yet, which relays for {roles.hidden}"]
    found = []
    if roles.relay in progress.relays or not progress.relays:
        found.append(f"{roles.hidden} has no other relay yet")
    since = facts.audits - end.audits
    if since < lasting.audits:
        found.append(f"{roles.hidden} was in {since} audits without {roles.relay}, not in {lasting.audits} yet")
    if facts.availability is None or facts.availability < lasting.availability:
        shown = "unknown" if facts.availability is None else f"{facts.availability:.2f}"
        found.append(f"the availability of {roles.hidden} is {shown}, not {lasting.availability} yet")
    return found


def _last(progress: LastingProgress) -> list[str]:
    return [] if progress.common is not None else ["the state roots are not compared yet"]


def _faults(plan: Plan, progress: LastingProgress) -> list[str]:
    """What no later cut can mend."""
    roles = plan.roles
    assert roles is not None
    found = []
    if len(set(progress.rules.values())) > 1:
        found.append("honest peers have the new rule from different epochs, or different rules")
    for name, one in progress.arrivals.items():
        if one.by != "operator" or one.records >= one.of:
            found.append(f"{name} did not begin with the state of a cut that its operator trusts")
    if roles.killed in progress.arrivals and progress.killed_at is None:
        found.append(f"{roles.killed} was not killed while it fetched its state")
    if progress.common is not None and not progress.common.is_one:
        named = ", ".join(f"{name} {root}" for name, root in sorted(progress.common.state_roots.items()))
        found.append(f"different state roots at one cut: {named}; computed: {progress.common.own_root}")
    return found
