"""Folds that start from the bytes of a few states, over a ledger without the records below them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import NO_PREV, Record
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import decode_state, encode_state
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.state import State
from p2pverify.core.state.view import view_root


class WatchedFold(Fold):
    """A fold that remembers what came of each cut: its roots or its fault, and in `states` the bytes of its state."""

    def __init__(self, network: Network, ledger: Ledger) -> None:
        super().__init__(network, ledger)
        self.found: dict[bytes, tuple[bytes, bytes] | str | None] = {}
        self.states: dict[bytes, bytes] = {}

    def _compute(self, cut_id: bytes) -> tuple[State | None, str | None]:
        state, fault = super()._compute(cut_id)
        if state is None:
            self.found[cut_id] = fault
        else:
            self.found[cut_id] = state_root(self.network_id, state), view_root(self.network, state)
            self.states.setdefault(cut_id, encode_state(self.network_id, state))
        return state, fault

    def feed(self, records: Iterable[Record]) -> None:
        for record in records:
            try:
                added = self.ledger.add(record)
            except GossipIgnore:
                continue
            for one in added:
                self.take(one)
            self.settle()


def folded(network: Network, records: Iterable[Record]) -> WatchedFold:
    fold = WatchedFold(network, Ledger())
    fold.feed(records)
    return fold


@dataclass(frozen=True, slots=True)
class _Gone:
    """A record below the horizon. Of the last one of each author the id and the epoch are known."""

    id: bytes = b""
    epoch: int = -1
    kind: int = -1


class _Tail(list[Any]):
    """A log from a number on. Indices count from its beginning."""

    def __init__(self, first: int, last: _Gone, records: Iterable[Record] = ()) -> None:
        super().__init__(records)
        self.first, self.last = first, last

    def __len__(self) -> int:
        return self.first + super().__len__()

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        at += len(self) if at < 0 else 0
        if at >= self.first:
            return super().__getitem__(at - self.first)
        return self.last if at == self.first - 1 else _Gone()

    def __bool__(self) -> bool:
        return True


class PrunedLedger(Ledger):
    """A ledger that begins above some heads, each with the epoch of its record."""

    def __init__(self, heads: Iterable[tuple[Head, int]]) -> None:
        super().__init__()
        for (author, seq, record_id), epoch in sorted(heads):
            self._authors.append(author)
            self._chains[author] = _Tail(seq + 1, _Gone(record_id, epoch))

    def _has_prefix(self, record: Record) -> bool:
        chain = self._chains.get(record.author)
        if isinstance(chain, _Tail) and (record.seq, record.header.prev) == (chain.first, chain.last.id):
            return True
        return super()._has_prefix(record)

    def _branch(self, record_id: bytes) -> list[Record]:
        branch: list[Record] = []
        while record_id != NO_PREV and (record := self.get(record_id)) is not None:
            branch.append(record)
            record_id = record.header.prev
        chain = self._chains[branch[0].author]
        return _Tail(chain.first, chain.last, branch[::-1]) if isinstance(chain, _Tail) else branch[::-1]

    def records(self) -> Iterator[Record]:
        for author in self._authors:
            chain = self._chains[author]
            yield from (chain[seq] for seq in range(getattr(chain, "first", 0), len(chain)))
            yield from self._beside.get(author, {}).values()


def started(full: WatchedFold, path: Sequence[bytes], records: Iterable[Record]) -> WatchedFold:
    """A fold that knows the bytes of the newest states of a path, and the records above the oldest of them."""
    network, known = full.network, path[-NEAR_CARRY:]
    read = [decode_state(full.states[cut_id]).state.named(cut_id) for cut_id in known]
    bottom = read[0].heads
    epochs = {record.id: record.epoch for record in records}
    fold = WatchedFold(network, PrunedLedger((head, epochs[head[2]]) for head in bottom.values()))
    fold._states = {state.id: state for state in read}
    fold._certified.clear()
    fold._certified.update(dict.fromkeys(known))
    fold.latest = read[-1]
    fold.feed(record for record in records if record.author not in bottom or record.seq > bottom[record.author][1])
    return fold


def assert_goes_on_alike(full: WatchedFold, path: Sequence[bytes], records: Sequence[Record]) -> int:
    """Start a fold at the end of a path, and hold it against the whole one. Returns how many cuts both computed."""
    fold = started(full, path, records)
    assert not [cut_id for cut_id, found in fold.found.items() if full.found[cut_id] != found]
    known = set(path)
    after = [cut_id for cut_id in full._certified if cut_id not in known and cut_id in fold.ledger]
    assert set(fold._certified) - known == set(after) - known
    assert fold.latest.id == full.latest.id
    assert fold.found.keys() >= set(full.latest.path[full.latest.path.index(path[-1]) + 1 :])
    epoch = full.latest.epoch + 1
    one, two = (state_root(each.network_id, each.provisional(epoch)) for each in (full, fold))
    assert one == two
    return len(fold.found)
