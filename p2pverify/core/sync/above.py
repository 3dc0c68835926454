"""The sets that two peers make equal: the records above a cut that both know.

Below the cut nothing needs to be compared, because the cut names all records there. A record belongs to a set by its
place in the log of its author, and not by its date, so a late record is exchanged however old it claims to be.
"""

from collections.abc import Sequence
from typing import Protocol

from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.payloads.cut import Head, decode_cut
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.horizon import Horizon
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.sync.index import Key, RecordIndex
from p2pverify.core.sync.messages import COMMON_IDS_MAX

#: Sets that are kept up to date.
SETS_KEPT = 8
#: Cuts from which the following records are listed.
LISTS_KEPT = 4
#: The newest cuts that are offered as common ones, and the distance of the older ones.
NEWEST_OFFERED = OFFERED_STEP = 16
#: The longest path to the network's beginning for which a peer that holds everything serves all of it.
WHOLE_PATH_MAX = 8_192


class SyncContext(Protocol):
    """The attributes of a machine's `Context` that a sync reads."""

    @property
    def key(self) -> bytes: ...

    @property
    def network_id(self) -> bytes: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def fold(self) -> Fold: ...

    @property
    def horizon(self) -> Horizon: ...


class SetsAbove:
    """The sets of one peer, by cut. The network's id stands for the beginning, above which all records are."""

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._sets: BoundedDict[bytes, RecordIndex] = BoundedDict(SETS_KEPT)
        self._whole: tuple[bytes, tuple[bytes, ...]] = b"", ()  # the newest cut, and the path to it
        self._lists: BoundedDict[bytes, tuple[bytes, list[bytes]]] = BoundedDict(LISTS_KEPT)  # with the newest cut
        context.ledger.watch(self._add, self._remove)

    def _add(self, epoch: int, record_id: bytes) -> None:
        for found in self._sets.values():
            found.add(epoch, record_id)

    def _remove(self, keys: Sequence[Key]) -> None:
        for found in self._sets.values():
            found.discard(keys)

    def offered(self) -> tuple[bytes, ...]:
        """The cuts that this peer offers as common ones, the newest first."""
        path = self._context.horizon.path[::-1]
        found = (*path[:NEWEST_OFFERED], *path[NEWEST_OFFERED::OFFERED_STEP])[: COMMON_IDS_MAX - 1]
        return (*found, self._context.network_id) if self._context.ledger.is_whole else found

    def common(self, offered: Sequence[bytes]) -> bytes | None:
        """The first of the offered cuts that is on the path here, with the records above it; None if there is none."""
        known = {*self._context.horizon.path, *self._whole_path()}
        return next((cut_id for cut_id in offered if cut_id in known), None)

    def above(self, cut_id: bytes) -> RecordIndex | None:
        """The set above a cut of the path, which stays up to date; None if the cut is not known here."""
        found = self._sets.get(cut_id)
        if found is None:
            heads = self._heads_at(cut_id)
            if heads is None:
                return None
            found = RecordIndex()
            for key in self._context.ledger.above(heads):
                found.add(*key)
            self._sets[cut_id] = found
        return found

    def between(self, cut_id: bytes) -> list[bytes] | None:
        """The ids of the records from a cut of the path to the newest one, in the order in which cuts take them in.

        None if the cut is not known here.
        """
        latest = self._context.fold.latest.id
        known = self._lists.get(cut_id)
        if known is None or known[0] != latest:
            heads = self._heads_at(cut_id)
            if heads is None:
                return None
            known = self._lists[cut_id] = latest, self._list(cut_id, heads)
        return known[1]

    def _list(self, cut_id: bytes, heads: dict[bytes, Head]) -> list[bytes]:
        path = self._whole_path() or self._context.horizon.path
        found: list[bytes] = []
        ledger = self._context.ledger
        for each in path[path.index(cut_id) + 1 :]:
            record = ledger.get(each)
            assert record is not None  # it is on the path, above the horizon
            for head in decode_cut(record.payload).moved:
                before = heads.get(head[0])
                found += ledger.ids_between(head, 0 if before is None else before[1] + 1)
                heads[head[0]] = head
        return found

    def _heads_at(self, cut_id: bytes) -> dict[bytes, Head] | None:
        """The heads at a cut that is known here."""
        found = self._context.horizon.heads_at(cut_id)
        path = () if found is not None else self._whole_path()
        if found is not None or cut_id not in path:
            return found
        heads: dict[bytes, Head] = {}
        for each in path[1 : path.index(cut_id) + 1]:
            record = self._context.ledger.get(each)
            assert record is not None  # this peer holds everything
            heads.update((head[0], head) for head in decode_cut(record.payload).moved)
        return heads

    def _whole_path(self) -> tuple[bytes, ...]:
        """The path from the network's beginning to the newest cut, if all records of it are here and it is not long."""
        latest, ledger = self._context.fold.latest, self._context.ledger
        if not ledger.is_whole:
            return ()
        if self._whole[0] != latest.id:
            self._whole = latest.id, self._find_path(latest.id)
        return self._whole[1]

    def _find_path(self, cut_id: bytes) -> tuple[bytes, ...]:
        found = [cut_id]
        while cut_id != self._context.network_id:
            record = self._context.ledger.get(cut_id)
            if record is None or len(found) > WHOLE_PATH_MAX:
                return ()
            cut_id = decode_cut(record.payload).base
            found.append(cut_id)
        return tuple(found[::-1])
