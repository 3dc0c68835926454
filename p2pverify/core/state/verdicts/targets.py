"""The targets of a slot: members of the challenger's own class, or of other classes that a referee can judge.

They depend only on the network, the anchor and the VRF output, so challenger and fold find the same.
"""

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.state.lines.versions import contract_at, is_behind
from p2pverify.core.state.past.roster import Roster
from p2pverify.core.state.verdicts.notes import Panel

#: The least voters in a class; fewer cannot outvote one liar.
IN_CLASS_MIN = 3


def covered_epochs(params: Params, anchor: Roster, author: bytes, epoch: int) -> int:
    """How many epochs a duty covers that begins with `epoch`."""
    return sortition.period_epochs(author, epoch, anchor.active_count, params)


def owed_slots(params: Params, anchor: Roster, author: bytes, epoch: int, beta: bytes) -> tuple[sortition.Slot, ...]:
    """The slots that a duty owes whose first epoch is `epoch`. `beta` is its VRF output."""
    epochs = covered_epochs(params, anchor, author, epoch)
    return sortition.slots(beta, params, epochs=epochs, members=anchor.active_count)


def make_panel(network: Network, anchor: Roster, challenger: bytes, beta: bytes, slot: sortition.Slot) -> Panel:
    """The panel of a member's slot, drawn from the members at the anchor that serve the same version.

    A challenger that is behind asks nobody. The anchor remembers it, because every fold of a cut, of a proposal or of
    the records held draws the panels of the same duties.
    """
    key = (challenger, beta, slot)
    panel = anchor.panels.get(key)
    if panel is None:
        panel = anchor.panels[key] = _draw(anchor.rules_in(network), anchor, challenger, beta, slot)
    return panel


def _draw(network: Network, anchor: Roster, challenger: bytes, beta: bytes, slot: sortition.Slot) -> Panel:
    own, version = anchor.members[challenger].class_index, anchor.version_of(challenger)
    contract = contract_at(network, anchor, own, version)
    if is_behind(network, anchor, challenger):
        return Panel((), (), False, version, contract)
    wants_others = slot.across or not can_compare(contract, anchor, own, version)
    others = anchor.candidates(challenger, judged_classes(contract, own)) if wants_others else []
    is_across = bool(others)
    candidates = others if is_across else anchor.candidates(challenger, compared_classes(contract, own))
    targets = sortition.targets(beta, slot, candidates, network.params)
    return Panel(targets, tuple(anchor.members[peer].class_index for peer in targets), is_across, version, contract)


def judged_classes(contract: Network, class_index: int) -> tuple[int, ...]:
    """The classes that a slot of a class can ask across classes: others of its model that a referee may judge."""
    own = contract.classes[class_index]
    return tuple(
        index
        for index, kind in enumerate(contract.classes)
        if kind.across is not None and kind.manifest == own.manifest and (index != class_index or own.is_any)
    )


def compared_classes(contract: Network, class_index: int) -> tuple[int, ...]:
    """The classes that a slot of a class can ask within its class: itself, if its answers can be compared by digest."""
    return () if contract.classes[class_index].is_any else (class_index,)


def can_compare(contract: Network, anchor: Roster, class_index: int, number: int) -> bool:
    """Whether a dispute within a class, about answers of a version, would have enough voters at the anchor."""
    if contract.classes[class_index].is_any:
        return False
    return anchor.voters_in(class_index, number) >= IN_CLASS_MIN


def voting_classes(network: Network, class_index: int, *, is_across: bool) -> tuple[int, ...]:
    """The classes that vote on a slot of a class: itself, or all classes of its model if a referee judges."""
    if not is_across:
        return (class_index,)
    manifest = network.classes[class_index].manifest
    return tuple(index for index, kind in enumerate(network.classes) if kind.manifest == manifest)
