"""One step of the fold: the data that its parts share, its knowledge of other cuts, and certificates inside a cut.

A step judges another cut only from the records inside its own cut, because the records outside can differ from peer to
peer.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.odds import TestSteps, test_steps
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.books import Movement, MoveReason, Recorder
from p2pverify.core.settle.cut import Earned
from p2pverify.core.settle.rounds import DecidedRound
from p2pverify.core.state import memory
from p2pverify.core.state.memory import NEAR_CUTS
from p2pverify.core.state.state import Convictions, Loss, Member, State


@dataclass(frozen=True, slots=True)
class Frame:
    """A step's access to other cuts: their states, whether heads are nested, and their convictions.

    `note` gets each movement of money with the state under construction, if somebody wants to hear of them.
    """

    state_of: Callable[[bytes], State | None]
    contains: Callable[[Mapping[bytes, Head], Iterable[Head]], bool]
    convictions_of: Callable[[Iterable[bytes]], list[Convictions]]
    note: Callable[[State, Movement], None] | None = None


@dataclass(slots=True)
class Transition:
    """A step in progress: the state under construction, and the evidence of this step.

    `evidence` is the sum of each peer's agreements and dissents in the sequential test, in 1/1024 nat, and
    `long_evidence` of those in long audits. `bets` has each peer's judged answers in the pooled test. `earned` and
    `rounds` are what the step settles in a network with a tariff.
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
    _shares: dict[tuple[bytes, int], bool] = field(default_factory=dict)
    _inside: dict[bytes, bool] = field(default_factory=dict)

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
        if any(asked.responder == peer and asked.receipt is not None for asked in audit.asked):
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

    def holds(self, cut_id: bytes) -> bool:
        """Whether this cut contains another remembered cut, and the cuts on which that one is based.

        It is called only after the step has taken all cuts, so the answer can be cached.
        """
        known = self._inside.get(cut_id)
        if known is None:
            known = self._inside[cut_id] = self._is_on_path(cut_id) or self._is_inside(cut_id)
        return known

    def _is_inside(self, cut_id: bytes) -> bool:
        cut = self.state.cuts.get(cut_id)
        if cut is None or not self._is_recent(cut.base):
            return False
        return self.holds(cut.base) and self.frame.contains(self.state.heads, cut.moved)

    def is_nested(self, inner: bytes, outer: bytes) -> bool:
        """Whether one cut contains another. This cut holds both, so their heads are on the same branches."""
        on_path, cut = self.base.path, self.state.cuts[outer]
        if inner in (outer, cut.base):
            return True
        if inner in on_path and cut.base in on_path and on_path.index(inner) <= on_path.index(cut.base):
            return True
        small, large = self._heads(inner), self._heads(outer)
        forked = self.state.is_forked  # signers need not contain forked logs, so these never convict
        return all(
            large[author][1] >= head[1] or forked(author, head[1])
            if author in large
            else forked(author, head[1]) or self._is_forgotten(author, inner, outer)
            for author, head in small.items()
        )

    def _is_forgotten(self, author: bytes, inner: bytes, outer: bytes) -> bool:
        """Whether the path forgot the head of an author after the stem of the inner cut, so the outer one lacks it."""
        path, stem = self.base.path, self._stem(inner)
        return path.index(stem) < path.index(self._stem(outer)) and author in self._heads(stem)

    def _stem(self, cut_id: bytes) -> bytes:
        """The newest cut of the path on which a cut is based."""
        while not self._is_on_path(cut_id):
            cut_id = self.state.cuts[cut_id].base
        return cut_id

    def _heads(self, cut_id: bytes) -> dict[bytes, Head]:
        """All heads of a cut that this one holds."""
        if self._is_on_path(cut_id):
            state = self.frame.state_of(cut_id)
            assert state is not None  # the path was folded
            return state.heads
        cut = self.state.cuts[cut_id]
        return {**self._heads(cut.base), **{head[0]: head for head in cut.moved}}

    def _is_on_path(self, cut_id: bytes) -> bool:
        return cut_id in self.base.path

    def _is_recent(self, base: bytes) -> bool:
        """Whether a base is near enough to use, so that nobody can make us fold from the beginning again."""
        near = self.base.path[-NEAR_CUTS:]
        beside = self.state.cuts.get(base)
        return base in near or (beside is not None and beside.base in near)

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
        if not (self._is_recent(cut.base) and self.holds(cut_id)):
            return False
        base = self.frame.state_of(cut.base)
        if base is None:
            return False
        signed = base.weight_of(self.state.signatures.get(cut_id, frozenset()))
        return 3 * signed >= thirds * base.total_weight


def class_steps(network: Network) -> tuple[TestSteps, ...]:
    p = network.params
    return tuple(test_steps(c.honest_ppm, p.cheat_ppm, p.conviction_odds) for c in network.classes)


def across_steps(network: Network, class_index: int) -> TestSteps:
    """The test steps for answers of a class that a referee judges. Raises ValueError if it does not judge the class."""
    p, bounds = network.params, network.classes[class_index].across
    if bounds is None:
        raise ValueError("answers of this class are never judged across classes")
    return test_steps(bounds.honest_ppm, p.cheat_ppm, p.conviction_odds)
