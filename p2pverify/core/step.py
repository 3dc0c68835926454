"""A step of the fold in progress: what its parts share, and what counts as a certificate inside a cut."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from p2pverify.core.network import Network, TestSteps, test_steps
from p2pverify.core.records import Head
from p2pverify.core.state import State

#: How many cuts back on the path a base may lie.
NEAR_CUTS = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """What a step may ask about other cuts: their states, and whether heads are nested."""

    state_of: Callable[[bytes], State | None]
    contains: Callable[[dict[bytes, Head], Iterable[Head]], bool]


@dataclass(slots=True)
class Step:
    """A step in progress: the state under construction, and each peer's agreements and dissents in it."""

    network: Network
    network_id: bytes
    base: State
    state: State
    frame: Frame
    steps: tuple[TestSteps, ...]
    agreements: dict[bytes, int] = field(default_factory=dict)
    dissents: dict[bytes, int] = field(default_factory=dict)
    _shares: dict[tuple[bytes, int], bool] = field(default_factory=dict)

    def agree(self, peer: bytes, epoch: int) -> None:
        member = self.state.members.get(peer)
        if member is None:
            return
        self.agreements[peer] = self.agreements.get(peer, 0) + 1
        self.state.change(
            peer,
            agreements=member.agreements + 1,
            last_audit_epoch=max(member.last_audit_epoch, epoch),
        )

    def dissent(self, peer: bytes, epoch: int) -> None:
        """At most one per accused and epoch of the slot; further ones count for nothing."""
        member = self.state.members.get(peer)
        if member is None or (peer, epoch) in self.state.dissent_marks:
            return
        self.state.dissent_marks.add((peer, epoch))
        self.dissents[peer] = self.dissents.get(peer, 0) + 1
        self.state.change(
            peer,
            dissents=member.dissents + 1,
            disputes_lost=member.disputes_lost + 1,
            last_audit_epoch=max(member.last_audit_epoch, epoch),
        )

    def is_certified(self, cut_id: bytes) -> bool:
        """Whether the records of this very cut hold a certificate: signatures of two thirds of the weight.

        The weight is that of the certified cut's own base.
        """
        return self._is_signed_by(cut_id, 2, or_equal=True)

    def is_supported(self, cut_id: bytes) -> bool:
        """More than a third of the weight signed: at least one honest fold gave the cut's view."""
        return self._is_signed_by(cut_id, 1, or_equal=False)

    def _is_signed_by(self, cut_id: bytes, thirds: int, *, or_equal: bool) -> bool:
        """Asked only after the step has taken all signatures, so the answer can be remembered."""
        known = self._shares.get((cut_id, thirds))
        if known is None:
            known = self._count_signatures(cut_id, thirds, or_equal=or_equal)
            self._shares[cut_id, thirds] = known
        return known

    def _count_signatures(self, cut_id: bytes, thirds: int, *, or_equal: bool) -> bool:
        cut = self.state.cuts.get(cut_id)
        if cut is None:
            return cut_id == self.network_id
        # Whether a cut outside of this one is certified must not depend on what else is held here.
        if not (self._is_recent(cut.base) and self.frame.contains(self.state.heads, cut.heads)):
            return False
        base = self.frame.state_of(cut.base)
        if base is None:
            return False
        signed = 3 * base.weight_of(self.state.signatures.get(cut_id, frozenset()))
        needed = thirds * base.total_weight
        return signed >= needed if or_equal else signed > needed

    def _is_recent(self, base: bytes) -> bool:
        """Whether a base is near enough to look at: nobody can make us fold from the beginning again."""
        near = self.state.path[-NEAR_CUTS:]
        beside = self.state.cuts.get(base)
        return base in near or (beside is not None and beside.base in near)


def class_steps(network: Network) -> tuple[TestSteps, ...]:
    p = network.params
    return tuple(test_steps(c.honest_ppm, p.cheat_ppm, p.conviction_odds) for c in network.classes)
