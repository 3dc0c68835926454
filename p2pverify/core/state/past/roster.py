"""The members at a cut, as draws and votes ask for them: in its state, or in what a later state keeps of it."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.sortition import Slot
from p2pverify.core.limits import BoundedDict
from p2pverify.core.state.lines.notes import AT_FIRST, LineNotes, ServedVersion
from p2pverify.core.state.rules.notes import NumberedRules, in_force
from p2pverify.core.state.verdicts.notes import Panel

#: The panels that a roster remembers.
PANELS_KEPT = 4096

PanelsDrawn = BoundedDict[tuple[bytes, bytes, Slot], Panel]


class RosterRow(Protocol):
    """A member, as draws and votes ask for it."""

    @property
    def active(self) -> bool: ...

    @property
    def class_index(self) -> int: ...

    @property
    def vrf_key(self) -> bytes: ...

    @property
    def weight(self) -> int: ...

    @property
    def is_convicted(self) -> bool: ...

    def may_vote(self, epoch: int) -> bool:
        """Whether the peer belongs to the electorate of its class, and to the electorates across classes."""
        ...


class Roster:
    """The members at a cut. Subclasses have the fields; those at the end are memories of what was computed."""

    __slots__ = ()

    epoch: int
    beacon: bytes
    members: Mapping[bytes, RosterRow]
    served: Mapping[bytes, ServedVersion]
    lines: Mapping[int, LineNotes]
    rules: NumberedRules
    contracts: dict[tuple[int, bytes], Network]  # by line and manifest
    panels: PanelsDrawn  # by challenger, VRF output and slot
    _total_weight: int
    _active_count: int
    _by_classes: dict[tuple[tuple[int, ...], int], list[bytes]]
    _voters: dict[tuple[int, int], int]

    # Some are cached at the first call, so they are only for a computed state, not for one under construction.

    @property
    def total_weight(self) -> int:
        if self._total_weight < 0:
            self._total_weight = sum(m.weight for m in self.members.values())  # type: ignore[misc]  # a slot of each subclass
        return self._total_weight

    @property
    def active_count(self) -> int:
        """How many members are active and not convicted."""
        if self._active_count < 0:
            self._active_count = sum(m.active and not m.is_convicted for m in self.members.values())  # type: ignore[misc]  # a slot of each subclass
        return self._active_count

    def rules_in(self, network: Network) -> Network:
        """The network with the rules that are in force at this cut. `network` may have those of another cut."""
        return in_force(network, self.rules)

    def weight_of(self, peers: Iterable[bytes]) -> int:
        return sum(self.members[p].weight for p in peers if p in self.members)

    def candidates(self, challenger: bytes, classes: tuple[int, ...]) -> list[bytes]:
        """The peers that a challenger's slots may ask, sorted.

        They are the members of the classes that serve the challenger's version and are not convicted.
        """
        number = self.version_of(challenger)
        key = (classes, number)
        if key not in self._by_classes:
            self._by_classes[key] = sorted(
                peer
                for peer, m in self.members.items()
                if m.active and m.class_index in classes and not m.is_convicted and self.version_of(peer) == number
            )
        return [peer for peer in self._by_classes[key] if peer != challenger]

    def voters_in(self, class_index: int, number: int) -> int:
        """How many members of a class may vote about answers of a version."""
        key = (class_index, number)
        if key not in self._voters:
            self._voters[key] = len(self.electorate((class_index,), number))
        return self._voters[key]

    def electorate(self, classes: tuple[int, ...], number: int) -> frozenset[bytes]:
        """The members of the classes that may vote about answers of a version.

        They serve it, or have left it for another one and still can compute it. The state may be under construction.
        """
        return frozenset(
            peer
            for peer, m in self.members.items()
            if m.class_index in classes and m.may_vote(self.epoch) and self.serves_or_left(peer, number)
        )

    def version_of(self, peer: bytes) -> int:
        """The number of the version that a member serves: 0 without a serve record."""
        return self.served.get(peer, AT_FIRST).number

    def serves_or_left(self, peer: bytes, number: int) -> bool:
        served = self.served.get(peer, AT_FIRST)
        return number in (served.number, served.left)
