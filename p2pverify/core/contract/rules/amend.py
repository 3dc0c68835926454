"""What an amendment makes of the rules, and why it may not.

The rules are a definition like the first one. Besides, some of its classes are retired. The first definition stays the
network's id, whatever its rules become.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from p2pverify.core.contract.network import PARAM_BOUNDS, Network, decode_network
from p2pverify.core.contract.rules.changes import (
    Change,
    ClassChange,
    ManifestChange,
    ParamChange,
    RefereeChange,
    RetireChange,
)
from p2pverify.core.contract.rules.corridor import refuse_param
from p2pverify.core.encoding.canon import digest
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/rules/1"
#: Features are bits of a number; the first one has number 0.
FEATURES_MAX = 2**63 - 1
#: The features that this program has.
KNOWN_FEATURES = 0


class AmendmentRefused(ValueError):
    """An amendment that the rules do not allow, with the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules in force. `retired` has the epoch at which each retired class was. `features` are all needed ones."""

    network: Network
    retired: Mapping[int, int] = field(default_factory=dict)
    features: int = 0

    @property
    def root(self) -> bytes:
        """The rules root (32 B), which names these rules. Before the first amendment it follows from the definition."""
        retired = [[index, epoch] for index, epoch in sorted(self.retired.items())]
        return digest([DOMAIN, self.network.id, self.network.to_value(), retired, self.features])


def feature_numbers(features: int) -> tuple[int, ...]:
    """The numbers of the features in a set of bits."""
    return tuple(number for number in range(features.bit_length()) if features >> number & 1)


def amend(rules: RuleSet, changes: Iterable[Change], features: int, epoch: int) -> RuleSet:
    """The rules after an amendment that takes effect in an epoch. Raises AmendmentRefused."""
    network, retired = rules.network, dict(rules.retired)
    changed: set[int] = set()
    for change in changes:
        match change:
            case ParamChange(index, _) if index in changed:
                raise AmendmentRefused(f"{PARAM_BOUNDS[index][0]} changes twice")
            case ParamChange(index, value):
                changed.add(index)
                network = _with_param(network, rules.network, index, value)
            case RetireChange(index):
                if index >= len(rules.network.classes) or index in retired:
                    raise AmendmentRefused(f"class {index} is retired, or there is none")
                retired[index] = epoch
            case _:
                network = _with(network, change)
    if len(retired) == len(network.classes):
        raise AmendmentRefused("no class is left")
    try:
        decode_network(network.encode())
    except DecodeError as error:
        raise AmendmentRefused(f"the rules would not hold: {error.reason}") from None
    return RuleSet(replace(network, first=rules.network.first or rules.network), retired, rules.features | features)


def _with(network: Network, change: Change) -> Network:
    """The network with one more class or manifest, or another referee. Raises AmendmentRefused."""
    match change:
        case ClassChange(kind):
            if any(kind.name == each.name for each in network.classes):
                raise AmendmentRefused(f"there is a class {kind.name} already")
            return replace(network, classes=(*network.classes, kind))
        case ManifestChange(manifest):
            if manifest in network.manifests:
                raise AmendmentRefused("the manifest is listed already")
            return replace(network, manifests=tuple(sorted((*network.manifests, manifest))))
        case RefereeChange(referee):
            if referee == network.referee or not (referee and network.referee):
                raise AmendmentRefused("the referee is this one already, or there is or would be none")
            return replace(network, referee=referee)
    raise AmendmentRefused("a change that this program does not know")


def _with_param(network: Network, before: Network, index: int, value: int) -> Network:
    """The network with another parameter, which may move within the corridor around its value `before`."""
    old = getattr(before.params, PARAM_BOUNDS[index][0]) if index < len(PARAM_BOUNDS) else 0
    refused = refuse_param(index, old, value)
    if refused is None and before.params.shapes and PARAM_BOUNDS[index][0] in _SHAPED:
        refused = f"{PARAM_BOUNDS[index][0]} has no effect beside a table of shapes"
    if refused is not None:
        raise AmendmentRefused(refused)
    changed: dict[str, Any] = {PARAM_BOUNDS[index][0]: value}
    return replace(network, params=replace(network.params, **changed))


#: What a table of shapes gives instead.
_SHAPED = frozenset(
    ("prompt_tokens", "answer_tokens", "temperature_milli", "prompt_spread", "answer_spread", "temperature_spread")
)
