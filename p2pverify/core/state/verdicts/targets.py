"""The targets of a slot: members of the challenger's own class, or of other classes that a referee can judge.

They depend only on the network, the anchor and the VRF output, so challenger and fold find the same.
"""

from dataclasses import dataclass

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network
from p2pverify.core.state.state import State

#: The least voters in a class; fewer cannot outvote one liar.
IN_CLASS_MIN = 3


@dataclass(frozen=True, slots=True)
class Panel:
    """The asked peers of a slot and their classes at the anchor; `is_across`: a referee judges the answers."""

    targets: tuple[bytes, ...]
    classes: tuple[int, ...]
    is_across: bool


def make_panel(network: Network, anchor: State, challenger: bytes, beta: bytes, slot: sortition.Slot) -> Panel:
    """The panel of a member's slot, drawn from the members at the anchor."""
    own = anchor.members[challenger].class_index
    wants_others = slot.across or not can_compare(network, anchor, own)
    others = anchor.candidates(challenger, judged_classes(network, own)) if wants_others else []
    is_across = bool(others)
    candidates = others if is_across else anchor.candidates(challenger, compared_classes(network, own))
    targets = sortition.targets(beta, slot, candidates, network.params)
    return Panel(targets, tuple(anchor.members[peer].class_index for peer in targets), is_across)


def judged_classes(network: Network, class_index: int) -> tuple[int, ...]:
    """The classes that a slot of a class can ask across classes: others of its model that a referee may judge."""
    own = network.classes[class_index]
    return tuple(
        index
        for index, kind in enumerate(network.classes)
        if kind.across is not None and kind.manifest == own.manifest and (index != class_index or own.is_any)
    )


def compared_classes(network: Network, class_index: int) -> tuple[int, ...]:
    """The classes that a slot of a class can ask within its class: itself, if its answers can be compared by digest."""
    return () if network.classes[class_index].is_any else (class_index,)


def can_compare(network: Network, anchor: State, class_index: int) -> bool:
    """Whether a dispute within a class would have enough voters at the anchor."""
    if network.classes[class_index].is_any:
        return False
    return anchor.voters_in(class_index) >= IN_CLASS_MIN


def voting_classes(network: Network, class_index: int, *, is_across: bool) -> tuple[int, ...]:
    """The classes that vote on a slot of a class: itself, or all classes of its model if a referee judges."""
    if not is_across:
        return (class_index,)
    manifest = network.classes[class_index].manifest
    return tuple(index for index, kind in enumerate(network.classes) if kind.manifest == manifest)
