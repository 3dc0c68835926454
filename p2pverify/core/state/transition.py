"""One step of the fold: the data that its parts share, its knowledge of other cuts, and certificates inside a cut.

A step judges another cut only from the records inside its own cut, because the records outside can differ from peer to
peer.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2pverify.core.contract.network import Network, Params
from p2pverify.core.contract.odds import TestSteps, test_steps
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.books import Movement, MoveReason, Recorder
from p2pverify.core.settle.cut import Earned
from p2pverify.core.settle.rounds import DecidedRound
from p2pverify.core.state import memory
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.past.notes import PastCut, id_at
from p2pverify.core.state.rules.notes import in_force, longest
from p2pverify.core.state.state import Convictions, Loss, Member, State


@dataclass(frozen=True, slots=True)
class CutOutcome:
    """What a cut beside the path brings into the cuts that contain it."""

    convictions: Convictions
    cut: PastCut


@dataclass(frozen=True, slots=True)
class Frame:
    """What a step asks outside of its base and its records: the outcomes of cuts beside the path, None if one fails.

    Only the outcomes of cuts near the end of the path are asked, in the step that finds them supported. `note` gets
    each movement of money with the state under construction, if somebody wants to hear of them.
    """

    outcomes_of: Callable[[Sequence[bytes]], list[CutOutcome | None]]
    note: Callable[[State, Movement], None] | None = None


@dataclass(slots=True)
class Transition:
    """A step in progress: the state under construction, and the evidence of this step.

    `network` has the rules in force in this step.

    `evidence` is the sum of each peer's agreements and dissents in the sequential test, in 1/1024 nat, and
    `long_evidence` of those in long audits. `bets` has each peer's judged answers in the pooled test. `earned` and
    `rounds` are what the step settles in a network with a tariff. `carried` are the
    convictions of cuts beside the path.
    """

    network: Network
    network_id: bytes
    base: State
    state: State
    frame: Frame
    steps: tuple[TestSteps, ...]
    evidence: dict[bytes, int] = field(default_factory=dict)
    long_evidence: dict[bytes, int] = field(default_factory=dict)
    bets: dict[bytes, list[Loss]] = field(default_factory=dict)
    earned: list[Earned] = field(default_factory=list)
    rounds: list[DecidedRound] = field(default_factory=list)
    carried: list[Convictions] = field(default_factory=list)
    _reach: Params | None = None
    _shares: dict[tuple[bytes, int], bool] = field(default_factory=dict)
    _inside: dict[bytes, bool] = field(default_factory=dict)

    @property
    def reach(self) -> Params:
        """The parameters for how long things wait: the longest since the oldest remembered cut."""
        if self._reach is None:
            self._reach = reach_of(self.network, self.state)
        return self._reach

    def test_of(self, member: Member, across: int | None) -> TestSteps:
        """The test steps of the member's class, or of the class `across` if an answer was judged across classes."""
        if across is None:
            return self.steps[member.class_index]
        return across_steps(self.network, across)

    def agree(self, peer: bytes, audit: Audit, *, is_long: bool, across: int | None = None) -> None:
        """Count an agreement in an audit, within the peer's class or as an answer of the class `across`."""
        member = self.state.members.get(peer)
        if member is None:
            return
        self._add(peer, -self.test_of(member, across).down, is_long=is_long)
        is_paid = self.network.tariff is not None
        if is_paid and any(asked.responder == peer and asked.receipt is not None for asked in audit.asked):
            self.earn(MoveReason.ANSWER, peer, audit.key)
        self.state.change(
            peer,
            agreements=member.agreements + 1,
            last_audit_epoch=max(member.last_audit_epoch, audit.epoch),
            auditors=memory.with_auditor(member.auditors, audit.challenger),
        )

    def abstain(self, peer: bytes) -> None:
        """Count an inconclusive answer. It is shown, but has no effect on the test."""
        member = self.state.members.get(peer)
        if member is not None:
            self.state.change(peer, inconclusive=member.inconclusive + 1)

    def dissent(self, peer: bytes, audit: Audit, *, is_long: bool, across: int | None = None) -> None:
        """Count a dissent: at most one per accused and epoch of the slot; further ones have no effect."""
        if self.dissent_over(peer, audit.key, is_long=is_long, across=across):
            member = self.state.members[peer]
            self.state.change(
                peer,
                last_audit_epoch=max(member.last_audit_epoch, audit.epoch),
                auditors=memory.with_auditor(member.auditors, audit.challenger),
            )

    def dissent_over(self, peer: bytes, cause: DisputeKey, *, is_long: bool = False, across: int | None = None) -> bool:
        """Count a dissent in a vote, whether it is about an audit or not. Returns whether it has an effect."""
        member = self.state.members.get(peer)
        if member is None or (peer, cause.epoch) in self.state.dissent_marks:
            return False
        self.state.dissent_marks[peer, cause.epoch] = self.state.index
        self.earn(MoveReason.DISSENT, peer, cause)
        up = self.test_of(member, across).up
        self._add(peer, up, is_long=is_long)
        loss = Loss(cause, up)
        if is_long:
            self.state.change(peer, long_losses=(*member.long_losses, loss)[-memory.LOSSES_MAX :])
        self.state.change(
            peer,
            losses=(*member.losses, loss)[-memory.LOSSES_MAX :],
            dissents=member.dissents + 1,
            disputes_lost=member.disputes_lost + 1,
        )
        return True

    def earn(self, what: MoveReason, peer: bytes, cause: DisputeKey) -> None:
        """Note what the settlement of this step pays to a peer, or takes from it."""
        if self.network.tariff is not None:
            self.earned.append(Earned(what, peer, (cause.challenger, cause.epoch, cause.slot)))

    @property
    def recorder(self) -> Recorder | None:
        """What gets the movements of this step; None if nobody wants to hear of them."""
        note, state = self.frame.note, self.state
        return None if note is None else lambda movement: note(state, movement)

    def _add(self, peer: bytes, evidence: int, *, is_long: bool) -> None:
        for sums in (self.evidence, self.long_evidence) if is_long else (self.evidence,):
            sums[peer] = sums.get(peer, 0) + evidence

    def bet(self, peer: bytes, audit: Audit, evidence: int) -> None:
        """Count an answer in the pooled test, if its challenger has weight: other keys are free."""
        challenger = self.state.members.get(audit.challenger)
        if peer in self.state.members and challenger is not None and challenger.weight:
            self.bets.setdefault(peer, []).append(Loss(audit.key, evidence))

    # ------------------------------------------------------------ other cuts

    def past(self, cut_id: bytes) -> PastCut | None:
        """What is known of a cut of the path, or of one beside it that was supported in time."""
        return self.state.past.get(cut_id) or self.state.beside.get(cut_id)

    def holds(self, cut_id: bytes) -> bool:
        """Whether this cut contains another remembered cut, and the cuts on which that one is based.

        It is called only after the step has taken all cuts, so the answer can be cached.
        """
        known = self._inside.get(cut_id)
        if known is None:
            is_known = cut_id in self.base.path or cut_id in self.state.beside
            known = self._inside[cut_id] = is_known or self._is_inside(cut_id)
        return known

    def _is_inside(self, cut_id: bytes) -> bool:
        """Whether this step is the first one that contains a cut near the end of the path."""
        if not self.is_near(cut_id):
            return False
        cut = self.state.cuts[cut_id]
        recent = self.state.recent
        return self.holds(cut.base) and all(id_at(recent, author, seq) == found for author, seq, found in cut.moved)

    def is_near(self, cut_id: bytes) -> bool:
        """Whether a cut is based on one of the newest cuts of the path, or on a cut beside the path that is.

        A certified cut is contained in the path two cuts above its base, because two thirds sign nothing else.
        """
        cut = self.state.cuts.get(cut_id)
        if cut is None:
            return False
        near = self.base.path[-NEAR_CARRY:]
        beside = self.state.cuts.get(cut.base)
        return cut.base in near or (beside is not None and beside.base in near)

    def is_nested(self, inner: bytes, outer: bytes) -> bool:
        """Whether one cut contains another. This cut holds both, so their heads are on the same branches."""
        on_path, cut = self.base.path, self.state.cuts[outer]
        if inner in (outer, cut.base):
            return True
        if inner in on_path and cut.base in on_path and on_path.index(inner) <= on_path.index(cut.base):
            return True
        within, around = self._above_path(inner), self._above_path(outer)
        if within is None or around is None:
            return True  # it is too long ago
        (one, small), (two, large) = within, around
        between = self._moved_between(min(one, two), max(one, two))
        if between is None:
            return True
        if one > two:
            small = {**between, **small}
        else:
            large = {**between, **large}
        forked = self.state.is_forked  # signers need not contain forked logs, so these never convict
        return all(
            large[author][1] >= head[1] or forked(author, head[1])
            if author in large
            else forked(author, head[1]) or one < self.state.forgotten.get(author, -1) <= two
            for author, head in small.items()
        )

    def _above_path(self, cut_id: bytes) -> tuple[int, dict[bytes, Head]] | None:
        """The index of the newest cut of the path on which a cut is based, and the heads that moved since.

        None if a cut in between is forgotten.
        """
        moved: dict[bytes, Head] = {}
        while cut_id not in self.base.path:
            cut = self.state.cuts.get(cut_id)
            if cut is None:
                return None
            moved = {**{head[0]: head for head in cut.moved}, **moved}
            cut_id = cut.base
        return self._index(cut_id), moved

    def _index(self, cut_id: bytes) -> int:
        path = self.base.path
        return self.base.index - (len(path) - 1 - path.index(cut_id))

    def _moved_between(self, first: int, last: int) -> dict[bytes, Head] | None:
        """The heads that moved on the path after the cut `first` (index) up to `last`. None if that is forgotten."""
        moved: dict[bytes, Head] = {}
        for index in range(first + 1, last + 1):
            cut = self.state.cuts.get(self.base.at_index(index) or b"")
            if cut is None:
                return None
            moved |= {head[0]: head for head in cut.moved}
        return moved

    def head_seq(self, cut_id: bytes, author: bytes) -> int:
        """The number of an author's newest record in a cut, -1 if that is older than what this state remembers."""
        while (cut := self.state.cuts.get(cut_id)) is not None:
            at = bisect_left(cut.moved, (author,))
            if at < len(cut.moved) and cut.moved[at][0] == author:
                return cut.moved[at][1]
            cut_id = cut.base
        return -1

    # ------------------------------------------------------------ certificates

    def is_certified(self, cut_id: bytes) -> bool:
        """Whether the records of this cut hold a certificate: signatures of two thirds of the weight.

        The weight is that of the certified cut's own base.
        """
        return self._is_signed_by(cut_id, 2)

    def is_supported(self, cut_id: bytes) -> bool:
        """Whether a third of the weight signed, so that at least one honest fold gave the cut's view."""
        return self._is_signed_by(cut_id, 1)

    def _is_signed_by(self, cut_id: bytes, thirds: int) -> bool:
        """It is called only after the step has taken all signatures, so the answer can be cached."""
        known = self._shares.get((cut_id, thirds))
        if known is None:
            known = self._count_signatures(cut_id, thirds)
            self._shares[cut_id, thirds] = known
        return known

    def _count_signatures(self, cut_id: bytes, thirds: int) -> bool:
        cut = self.state.cuts.get(cut_id)
        if cut is None:
            return cut_id == self.network_id
        # A cut outside this one must count as not certified, because records outside can differ from peer to peer.
        base = self.past(cut.base)
        if base is None or not self.holds(cut_id):
            return False
        signed = base.weight_of(self.state.signatures.get(cut_id, frozenset()))
        return 3 * signed >= thirds * base.total_weight


def reach_of(network: Network, state: State) -> Params:
    """The longest deadlines and the largest sizes in force at a state, or at a remembered cut before it."""
    if not state.rules:
        return network.params
    past = {id(cut.rules): cut.rules for cut in state.past.values()}
    return longest(network.params, (in_force(network, rules).params for rules in past.values()))


def class_steps(network: Network) -> tuple[TestSteps, ...]:
    p = network.params
    return tuple(test_steps(c.honest_ppm, p.cheat_ppm, p.conviction_odds) for c in network.classes)


def across_steps(network: Network, class_index: int) -> TestSteps:
    """The test steps for answers of a class that a referee judges. Raises ValueError if it does not judge the class."""
    p, bounds = network.params, network.classes[class_index].across
    if bounds is None:
        raise ValueError("answers of this class are never judged across classes")
    return test_steps(bounds.honest_ppm, p.cheat_ppm, p.conviction_odds)
