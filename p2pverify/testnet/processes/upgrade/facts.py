"""What the records of a home say of the versions of the model, read from its database while the node runs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import Audit, decode_audit
from p2pverify.core.state.lines.versions import find_version, is_behind, notes_of
from p2pverify.core.state.state import State
from p2pverify.testnet.processes.homes.reading import HomeFold


@dataclass(frozen=True, slots=True)
class UpgradeFacts:
    """The state of version 1 in the newest final view of one peer, whose epoch is `epoch`; -1 before the first one.

    - `announced`, `recalled`: the epochs of the cuts that brought its release and its recall; None before.
    - `starts`, `ends`: the first epoch of the overlap of both versions, and the first one after it.
    - `serving`: the version that each member serves, by key (32 B). `behind` serve a retired or recalled version.
    - `overlap`, `after`: answered audits by version: of epochs in the overlap, and of epochs after the recall time.
    """

    epoch: int = -1
    announced: int | None = None
    recalled: int | None = None
    starts: int | None = None
    ends: int | None = None
    serving: dict[bytes, int] = field(default_factory=dict)
    behind: frozenset[bytes] = frozenset()
    overlap: Counter[int] = field(default_factory=Counter)
    after: Counter[int] = field(default_factory=Counter)


class VersionReader:
    """Reads one home's database again and again. `challengers` are the keys (32 B) whose audits count."""

    def __init__(self, network: Network, database: Path, challengers: Iterable[bytes]) -> None:
        self._network = network
        self._home = HomeFold(network, database)
        self._challengers = frozenset(challengers)
        self._served: dict[bytes, dict[bytes, int]] = {}  # by cut: the version of each member
        self._waiting: list[Audit] = []  # whose anchor is not final yet
        self._audits: Counter[tuple[int, int]] = Counter()  # by epoch and version

    def look(self) -> UpgradeFacts:
        """The facts by the records that are stored now. Blocks. Raises StoreError."""
        self._waiting += [self._audit(record) for record in self._home.look() if self._counts(record)]
        state = self._home.fold.latest
        for cut in state.path:
            if cut not in self._served and (known := self._home.fold.state(cut)) is not None:
                self._served[cut] = {peer: known.version_of(peer) for peer in known.members}
        self._waiting = [audit for audit in self._waiting if not self._count(audit)]
        return self._facts(state)

    def _counts(self, record: Record) -> bool:
        return record.kind == Kind.AUDIT and record.author in self._challengers

    def _audit(self, record: Record) -> Audit:
        return decode_audit(record.payload, self._network.id, record.author)

    def _count(self, audit: Audit) -> bool:
        """Count an audit by the version of its challenger at its anchor. False if the anchor is not known yet."""
        served = self._served.get(audit.anchor)
        if served is None:
            return False
        if any(asked.receipt is not None for asked in audit.asked):
            self._audits[audit.epoch, served.get(audit.challenger, 0)] += 1
        return True

    def _facts(self, state: State) -> UpgradeFacts:
        if state is self._home.fold.genesis:
            return UpgradeFacts()
        line, version = self._network.lines[0], find_version(notes_of(self._network, state, 0), 1)
        serving = {peer: state.version_of(peer) for peer in state.members}
        if version is None:
            return UpgradeFacts(state.epoch, serving=serving)
        starts = version.announced_epoch + line.notice_epochs
        ends, recalled = starts + line.overlap_epochs, None
        overlap, after = Counter[int](), Counter[int]()
        if version.is_recalled:
            recalled = version.recalled_epoch
            ends = min(ends, recalled)
        for (epoch, number), count in self._audits.items():
            if starts <= epoch < ends:
                overlap[number] += count
            elif recalled is not None and epoch > recalled + line.recall_epochs + self._network.params.anchor_lag:
                after[number] += count
        behind = frozenset(peer for peer in state.members if is_behind(self._network, state, peer))
        return UpgradeFacts(
            state.epoch, version.announced_epoch, recalled, starts, ends, serving, behind, overlap, after
        )
