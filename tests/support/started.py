"""Folds that start from the bytes of a few states, over a ledger without the records below them."""

from collections.abc import Iterable, Sequence

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import Record
from p2pverify.core.replica.base import Base
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import encode_state
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
        """Take records. Those that are refused come again, as by sync, as long as this helps."""
        left = list(records)
        while left:
            refused = [record for record in left if not self._takes(record)]
            left = refused if len(refused) < len(left) else []

    def _takes(self, record: Record) -> bool:
        try:
            added = self.ledger.add(record)
        except GossipIgnore:
            return record.id in self.ledger
        for one in added:
            self.take(one)
        self.settle()
        return True


def folded(network: Network, records: Iterable[Record]) -> WatchedFold:
    fold = WatchedFold(network, Ledger())
    fold.feed(records)
    return fold


def base_at(full: WatchedFold, path: Sequence[bytes]) -> Base:
    """The base at the end of a path."""
    known = tuple(path[-NEAR_CARRY:])
    return Base(known, tuple(full.states[cut_id] for cut_id in known))


def started(full: WatchedFold, path: Sequence[bytes], records: Iterable[Record]) -> WatchedFold:
    """A fold that knows the bytes of the newest states of a path, and the records above the oldest of them."""
    base = base_at(full, path)
    cuts = {cut_id: record for cut_id in base.cuts if (record := full.ledger.get(cut_id)) is not None}
    fold = WatchedFold(full.network, Ledger())
    fold.start_from(base, cuts=cuts)
    bottom = fold.ledger.floors()
    fold.feed(record for record in records if record.author not in bottom or record.seq > bottom[record.author].seq)
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
