"""The horizon of a peer: the cut of its path below which it keeps no records, and when it moves.

The horizon is counted in cuts of the path, as all deadlines of a state are. Each cut is of a later epoch than the one
before, so a deadline in epochs is over then as well. While no cut is certified, nothing is forgotten. Twice the memory
of a state is kept, so that a cut that some peers still remember lies above the horizon of all others.

A record named by the newest state is kept wherever it lies: releases, data sets, and the results of training rounds.
"""

from collections.abc import Mapping
from itertools import islice

from p2pverify.core.contract.network import Params
from p2pverify.core.records.floors import Floor, Prune
from p2pverify.core.records.payloads.cut import Head, decode_cut
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.named import NamedRecords
from p2pverify.core.state.memory import memory_cuts
from p2pverify.core.state.state import State

#: Cuts of the path above the horizon, at least.
HORIZON_CUTS = 128
#: The index of the horizon is a multiple of this number, so that peers have the same one.
PRUNE_CUTS = 16


def horizon_cuts(params: Params) -> int:
    """How many cuts of the path lie above the horizon, at least."""
    return max(HORIZON_CUTS, 2 * memory_cuts(params))


class Horizon:
    """The horizon of one fold. `own` is this peer's key. With `forgets` the ledger drops what is below."""

    def __init__(self, fold: Fold, own: bytes, *, forgets: bool) -> None:
        self._fold = fold
        self._own = own
        self.forgets = forgets
        self._heads: dict[bytes, Head] = {}  # of the cut at the horizon
        self._bottom = b""  # the cut whose heads these are, if this peer began there
        self._path: dict[bytes, None] = {}  # the cuts of the path above the horizon, oldest first

    def begin_above(self, floors: Mapping[bytes, Floor], bottom: bytes = b"") -> None:
        """The ledger began above these floors, and has the records above them. `bottom` is a cut with these heads."""
        self._bottom = bottom
        self._heads = {author: (author, floor.seq, floor.id) for author, floor in floors.items()}

    def heads_at(self, cut_id: bytes) -> dict[bytes, Head] | None:
        """The heads at a cut of the path above the horizon; None if it is not one of these.

        Authors that the cut has forgotten are among them.
        """
        self._extend()
        heads = dict(self._heads)
        if cut_id == self._bottom:
            return heads
        if cut_id not in self._path:
            return None
        for each in self._path:
            self._move(heads, each)
            if each == cut_id:
                break
        return heads

    @property
    def path(self) -> tuple[bytes, ...]:
        """The cuts of the path above the horizon, oldest first; before them the one at it, if this peer began there.

        A peer that began there has no records at first, and others have all that it lacks above this cut.
        """
        self._extend()
        return tuple(dict.fromkeys((*filter(None, (self._bottom,)), *self._path)))

    def advance(self) -> list[Prune]:
        """Move the horizon, if it is time. Returns what a disk needs then to begin at the newest cut."""
        self._extend()
        latest = self._fold.latest
        goal = (latest.index - horizon_cuts(self._fold.network.params)) // PRUNE_CUTS * PRUNE_CUTS
        moves = goal - (latest.index - len(self._path))
        if moves <= 0:
            return []
        self._bottom = b""
        for each in list(islice(self._path, moves)):
            self._move(self._heads, each)
            del self._path[each]
        gone = self._gone(latest)
        for author in gone:
            self._heads.pop(author, None)
        index = latest.index - len(self._path)
        fold = self._fold
        floors = fold.prune(self._kept_own(), index, gone, NamedRecords(latest), forget=self.forgets)
        base = fold.base()
        named = tuple(sorted(record.id for record in fold.ledger.named()))
        return [Prune(base.cuts, base.states, floors, named, tuple(sorted(gone)), self.forgets)]

    def _gone(self, latest: State) -> list[bytes]:
        """The authors of whom no cut takes anything any more: forgotten ones, and others that have waited too long."""
        ledger, found = self._fold.ledger, []
        for head in ledger.heads():
            author = head[0]
            if author in latest.heads or author in latest.members or author == self._own:
                continue
            if author in self._heads or not self._fold.is_young(latest, head):
                found.append(author)
        return found

    def _kept_own(self) -> dict[bytes, Head]:
        """The heads at the horizon, with the own log one record shorter if no later own record is final.

        So the newest own record that others have in a cut is never forgotten.
        """
        own = self._heads.get(self._own)
        if own is None or own != self._fold.latest.heads.get(self._own):
            return self._heads
        heads = {author: head for author, head in self._heads.items() if author != self._own}
        if own[1] > 0:
            heads[self._own] = (self._own, own[1] - 1, self._fold.ledger.ancestor(own, own[1] - 1))
        return heads

    def _move(self, heads: dict[bytes, Head], cut_id: bytes) -> None:
        record = self._fold.ledger.get(cut_id)
        assert record is not None  # it is above the horizon
        heads.update((head[0], head) for head in decode_cut(record.payload).moved)

    def _extend(self) -> None:
        """Bring the path up to date. After two halves have met, some of its newest cuts may be others."""
        latest = self._fold.latest
        if latest.id == next(reversed(self._path), self._fold.network_id):
            return
        at = len(latest.path) - 1
        while at >= 0 and latest.path[at] not in self._path:
            at -= 1
        if at < 0:
            self._path = dict.fromkeys(self._found())
            return
        while next(reversed(self._path)) != latest.path[at]:
            self._path.popitem()
        self._path.update(dict.fromkeys(latest.path[at + 1 :]))

    def _found(self) -> list[bytes]:
        """The cuts of the path whose records are here above the horizon, oldest first."""
        ledger, found, cut_id = self._fold.ledger, [], self._fold.latest.id
        while (record := ledger.get(cut_id)) is not None and not ledger.is_settled(record):
            found.append(cut_id)
            cut_id = decode_cut(record.payload).base
        return found[::-1]
