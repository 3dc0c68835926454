"""Which amendments a peer follows: those that its program can run, and its operator has not left open.

A peer that does not follow an amendment computes every cut before it, and none from it on: it never guesses.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.rules.amend import KNOWN_FEATURES, AmendmentRefused, amend, feature_numbers
from p2pverify.core.records.payloads.amendment import Amendment
from p2pverify.core.state.rules.notes import newest, rules_of
from p2pverify.core.state.rules.take import due, unreadable, why_not
from p2pverify.core.state.state import State


class Halt(NamedTuple):
    """Why a peer does not go on from a cut: the amendment (id, 32 B), the cut, and the reason."""

    amendment: bytes
    cut: bytes
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} since cut {self.cut.hex()[:16]}"


@dataclass(slots=True)
class Following:
    """`known` are the features of this program. With `asks` the operator accepts each amendment first.

    `referee` is the engine (build id) with which this peer judges across classes; None if that is any. A peer without
    the referee of the rules abstains.
    """

    known: int = KNOWN_FEATURES
    asks: bool = False
    accepted: set[bytes] = field(default_factory=set)
    referee: str | None = None

    def can_judge(self, contract: Network) -> bool:
        """Whether this peer runs the referee of a contract."""
        return self.referee in (None, contract.referee)

    def halt(self, network: Network, state: State, epoch: int) -> Halt | None:
        """What keeps this peer from computing a cut of an epoch on a state; None if nothing does."""
        rules = newest(state.rules)
        lacking = () if rules is None else feature_numbers(rules.features & ~self.known)
        if rules is not None and lacking:
            return Halt(rules.amendment, state.id, f"needs feature {lacking[0]}")
        for key, note in due(state, epoch) if state.amendments else ():
            amendment = note.amendment
            reason = unreadable(amendment, self.known)
            if reason is None and why_not(rules_of(network, state.rules), amendment, epoch) is not None:
                continue  # it will not take effect
            if reason is None and self.asks and key not in self.accepted:
                reason = f"waits for 'p2pverify network accept {key.hex()[:16]}'"
            return None if reason is None else Halt(key, state.id, reason)
        return None

    def is_ready_for(self, network: Network, state: State, amendment: Amendment) -> bool:
        """Whether this program can run the rules that an open amendment would make."""
        if unreadable(amendment, self.known) is not None:
            return False
        try:
            made = amend(rules_of(network, state.rules), amendment.changes, amendment.features, state.epoch)
        except AmendmentRefused:
            return False
        return self.can_judge(made.network)
