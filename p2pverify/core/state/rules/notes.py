"""What a state notes of the rules and of open amendments. These are values only: `take` computes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from p2pverify.core.contract.network import Network, Params, decode_network
from p2pverify.core.contract.rules.amend import RuleSet
from p2pverify.core.records.payloads.amendment import Amendment, decode_amendment


@dataclass(slots=True)
class RulesInForce:
    """The rules that amendments have made: a definition, and what `RuleSet` has beside it. It never changes.

    They took effect at the epoch `since`. Missed duties of epochs before `counted` were counted under earlier rules.
    """

    amendment: bytes  # the one that took effect last
    since: int
    counted: int
    definition: bytes
    retired: Mapping[int, int]
    features: int
    _network: Network | None = field(default=None, compare=False, repr=False)

    def network(self, first: Network) -> Network:
        """These rules as a network. `first` is the definition with which the network began."""
        if self._network is None:
            self._network = replace(decode_network(self.definition), first=first)
        return self._network


@dataclass(frozen=True, slots=True)
class OpenAmendment:
    """An amendment that members can approve.

    `approved_by` and `ready` are the members whose words count. `starts` is the epoch at which it takes effect, -1
    while it is not approved.
    """

    author: bytes
    payload: bytes
    opened_epoch: int
    approved_by: frozenset[bytes] = frozenset()
    ready: frozenset[bytes] = frozenset()
    starts: int = -1

    @property
    def amendment(self) -> Amendment:
        return decode_amendment(self.payload)

    @property
    def is_scheduled(self) -> bool:
        return self.starts >= 0


#: The rules that amendments have made, by the number of amendments that took effect; empty before the first one.
NumberedRules = Mapping[int, RulesInForce]


def newest(rules: NumberedRules) -> RulesInForce | None:
    return next(iter(rules.values()), None)


def in_force(network: Network, rules: NumberedRules) -> Network:
    """The network as its rules are at a cut. `network` are its rules at any cut."""
    first, found = network.first or network, newest(rules)
    return first if found is None else found.network(first)


#: The parameters that say how long something waits in a state, and how large it is.
_REACHES = ("slots_milli", "panel_size", "anchor_window", "duty_epochs", "dispute_epochs", "audits_per_epoch")


def longest(params: Params, others: Iterable[Params]) -> Params:
    """The parameters, with the longest deadlines and the largest sizes among these and others.

    A deadline that an amendment shortens ends only after all that was begun under the longer one.
    """
    known = (params, *others)
    reaches = {name: max(getattr(each, name) for each in known) for name in _REACHES}
    return replace(params, **reaches)


def rules_of(network: Network, rules: NumberedRules) -> RuleSet:
    """The rules at a cut, with what is beside the definition."""
    found = newest(rules)
    held = in_force(network, rules)
    return RuleSet(held) if found is None else RuleSet(held, found.retired, found.features)
