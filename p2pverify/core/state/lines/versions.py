"""The statuses of versions at a state, and the contract among the members that serve a version.

| status | from | to |
|---|---|---|
| announced | the cut that holds the release | `notice_epochs` later |
| current | then | the next version is current |
| overlap | then | `overlap_epochs` later |
| retired | then | |
| recalled | the cut that holds the recall | |

All are epochs of certified cuts, never of a claimed date. If the current version is recalled, the newest started one
before it that is not recalled is current again.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from p2pverify.core.contract.history.lines import ModelLine
from p2pverify.core.contract.network import Network
from p2pverify.core.state.lines.notes import LineNotes, Version
from p2pverify.core.state.past.roster import Roster
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts.notes import Dispute


class Status(StrEnum):
    ANNOUNCED = "announced"
    CURRENT = "current"
    OVERLAP = "overlap"
    RETIRED = "retired"
    RECALLED = "recalled"


def notes_of(network: Network, state: Roster, line: int) -> LineNotes:
    """What a state notes of a line of the network."""
    return state.lines.get(line) or LineNotes(network.lines[line].publishers)


def find_version(notes: LineNotes, number: int) -> Version | None:
    """A version by its number; None for version 0, and for one that the state does not know."""
    return next((version for version in notes.versions if version.number == number), None)


def newest_number(notes: LineNotes) -> int:
    """The number of the newest version that is not recalled, announced or not."""
    return max((version.number for version in notes.versions if not version.is_recalled), default=0)


def number_of(line: ModelLine, notes: LineNotes, manifest: bytes) -> int | None:
    """The number of the version with this manifest (digest, 32 B), if it is one of the line."""
    if manifest == line.genesis:
        return 0
    return next((version.number for version in notes.versions if version.manifest == manifest), None)


def status_of(line: ModelLine, notes: LineNotes, number: int, epoch: int) -> Status:
    """The status of a version. One that was forgotten is retired."""
    version = find_version(notes, number)
    if version is not None and version.is_recalled:
        return Status.RECALLED
    if version is None and number != 0:
        return Status.RETIRED
    starts = _starts(line, notes)
    current = _current(starts, epoch)
    if number >= current:
        return Status.CURRENT if number == current else Status.ANNOUNCED
    superseded = min(start for each, start in starts.items() if each > number)
    return Status.OVERLAP if epoch < superseded + line.overlap_epochs else Status.RETIRED


def _starts(line: ModelLine, notes: LineNotes) -> dict[int, int]:
    """The epoch from which each version that is not recalled is current, if no later one is."""
    live = (version for version in notes.versions if not version.is_recalled)
    return {0: 0, **{version.number: start_of(line, version) for version in live}}


def start_of(line: ModelLine, version: Version) -> int:
    """The epoch in which the notice of a version is over."""
    return version.announced_epoch + line.notice_epochs


def manifest_of(line: ModelLine, notes: LineNotes, number: int) -> bytes:
    """The manifest (digest, 32 B) of a version that the state knows, or of version 0."""
    version = find_version(notes, number)
    return line.genesis if version is None else version.manifest


def is_tainted(notes: Sequence[LineNotes], version: Version) -> bool:
    """Whether a version should be replaced: it is not recalled, and there is a fault in it or in what it descends from.

    Faults are a recall, and rows of a training that were erased since. `notes` are those of all lines.
    """
    if version.is_recalled or version.has_erased:
        return not version.is_recalled
    known = {each.manifest: each for one in notes for each in one.versions}
    todo, seen = list(version.parents), set(version.parents)
    while todo:
        parent = known.get(todo.pop())
        if parent is None:
            continue
        if parent.is_recalled or parent.has_erased:
            return True
        todo += [each for each in parent.parents if each not in seen]
        seen.update(parent.parents)
    return False


# ---------------------------------------------------------------- members


def is_behind(network: Network, state: Roster, peer: bytes) -> bool:
    """Whether a member serves a version that is retired, or was recalled `recall_epochs` ago. It is no verdict."""
    line = line_of(network, state, peer)
    if line is None:
        return False
    kind, notes, number = network.lines[line], notes_of(network, state, line), state.version_of(peer)
    match status_of(kind, notes, number, state.epoch):
        case Status.RETIRED:
            return True
        case Status.RECALLED:
            version = find_version(notes, number)
            assert version is not None  # only known versions are recalled
            return state.epoch >= version.recalled_epoch + kind.recall_epochs
        case _:
            return False


def line_of(network: Network, state: Roster, peer: bytes) -> int | None:
    """The line of the model of a member's class; None if there is none."""
    return network.line_of(state.members[peer].class_index) if network.lines else None


def contract_of(network: Network, state: Roster, peer: bytes) -> Network:
    """The contract among the members that serve the same version as a member."""
    rules = state.rules_in(network)
    return contract_at(rules, state, state.members[peer].class_index, state.version_of(peer))


def contract_about(network: Network, state: State, class_index: int, dispute: Dispute) -> Network:
    """The contract by which a dispute is judged about answers of a class: by the rules at the anchor of its slot."""
    anchor = state.past_of(dispute.audit.anchor) or state
    return contract_at(anchor.rules_in(network), state, class_index, dispute.version)


def contract_at(network: Network, state: Roster, class_index: int, number: int) -> Network:
    """The contract among the members of a class that serve a version. That of an unknown version is the network's.

    `network` has the rules by which their answers are judged.
    """
    line = network.line_of(class_index) if number else None
    version = None if line is None else find_version(notes_of(network, state, line), number)
    return network if line is None or version is None else _contract(network, state, line, version)


def contract_with(network: Network, state: Roster, manifest: bytes) -> Network:
    """The contract among the members that serve the version with a manifest (digest, 32 B).

    That of another manifest, and of one with which a line begins, is the network's.
    """
    for line in range(len(network.lines)):
        versions = notes_of(network, state, line).versions
        version = next((each for each in versions if each.manifest == manifest), None)
        if version is not None:
            return _contract(network, state, line, version)
    return network


def _contract(network: Network, state: Roster, line: int, version: Version) -> Network:
    if network is not state.rules_in(network):
        return network.with_version(line, version.manifest, version.bounds)  # it is about a slot of earlier rules
    known = state.contracts.get((line, version.manifest))
    if known is None:
        known = state.contracts[line, version.manifest] = network.with_version(line, version.manifest, version.bounds)
    return known


def current_manifest(network: Network, state: Roster, peer: bytes) -> bytes:
    """The manifest (digest, 32 B) of the current version of the model of a member's class, or of a stranger's class 0.

    A model without a line has one version.
    """
    member = state.members.get(peer)
    class_index = 0 if member is None else member.class_index
    index = network.line_of(class_index)
    if index is None:
        return network.classes[class_index].manifest
    return current_in(network, state, index)


def current_in(network: Network, state: Roster, index: int) -> bytes:
    """The manifest (digest, 32 B) of the current version of a line."""
    line, notes = network.lines[index], notes_of(network, state, index)
    return manifest_of(line, notes, current_number(line, notes, state.epoch))


def current_number(line: ModelLine, notes: LineNotes, epoch: int) -> int:
    """The number of the current version of a line."""
    return _current(_starts(line, notes), epoch)


def _current(starts: Mapping[int, int], epoch: int) -> int:
    return max(number for number, start in starts.items() if start <= epoch)


def model_of(network: Network, state: Roster, peer: bytes) -> bytes:
    """The manifest (digest, 32 B) of the model that a member serves."""
    return contract_of(network, state, peer).classes[state.members[peer].class_index].manifest
