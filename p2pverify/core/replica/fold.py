"""The fold: it finds the cuts that the records held here certify. These cuts are final.

view(C) needs only the records in C: a cut names its base, the base's certificate is inside the cut, and so on down to
the network itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from p2pverify.core.contract.network import Network
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.payloads.cut import Head, decode_cut, decode_cut_signature
from p2pverify.core.replica.base import Base, decode_base, floors_of
from p2pverify.core.replica.ledger import Ledger, Wanted
from p2pverify.core.replica.memo import Memo
from p2pverify.core.replica.states import States
from p2pverify.core.replica.strangers.called import CalledRecords
from p2pverify.core.state.codec.sections import encode_state
from p2pverify.core.state.memory import NEAR_CARRY, NEAR_CUTS
from p2pverify.core.state.rules.following import Following
from p2pverify.core.state.state import State

#: How many cuts back on the path a newly certified cut may stand.
BASES_WATCHED = 4
#: Most branches of a log on which a signature is counted.
BRANCHES_WATCHED = 8
CERTIFIED_KEPT = 65_536
#: Proposals and signatures older than this many epochs certify nothing, unless their base is still watched.
PENDING_EPOCHS = 16
PENDING_MIN = 32
_CUT, _CUT_SIGNATURE = int(Kind.CUT), int(Kind.CUT_SIGNATURE)


@dataclass(slots=True)
class _Pending:
    """A cut that is not certified here: newest epoch of its records, base if the cut is here, and signers."""

    epoch: int
    base: bytes | None = None
    signers: dict[bytes, list[Head]] = field(default_factory=dict)  # author -> its signatures, one for each branch


class Fold(States):
    """The states over one ledger, and the certified cuts."""

    def __init__(
        self, network: Network, ledger: Ledger, memo: Memo | None = None, *, start: State | None = None
    ) -> None:
        super().__init__(network, ledger, memo, start=start)
        #: Whether new records may let `settle` certify a cut.
        self.is_unsettled = False
        #: Records of strangers that proposals name. `non_members` fills it; admission and sync read it.
        self.called = CalledRecords(ledger)
        self._pending: dict[bytes, _Pending] = {}
        self._pending_max = PENDING_MIN
        self._on: dict[bytes, list[bytes]] = {}  # base -> pending cuts that are here
        self._awaited: set[bytes] = set()  # ids of records that signed cuts still lack
        self._changed: set[bytes] = set()  # pending cuts that `settle` has not looked at since a record of them came
        self._looks_at_all = False  # whether it must look at all of them
        self._certified: BoundedDict[bytes, None] = BoundedDict(CERTIFIED_KEPT)
        self._certified[self.network_id] = None
        #: Two certified cuts of which neither contains the other: a third of the weight or more signed both.
        self.contradiction: tuple[bytes, bytes] | None = None

    def start_from(
        self,
        base: Base,
        floors: Mapping[bytes, Floor] | None = None,
        named: Iterable[Record] = (),
        cuts: Mapping[bytes, Record] | None = None,
    ) -> None:
        """Begin at a base, over an empty ledger. It then needs the records above the heads of the oldest state only.

        The ledger begins above lower `floors`, if there are any, because other parts want some records below the base;
        it has `named` ones below the floors.
        `cuts` are the records of the base's cuts that are at hand. Raises DecodeError if the base does not hold.
        """
        states = decode_base(self.network_id, base, {} if cuts is None else cuts)
        self.ledger.begin_above(floors_of(states[0]) if floors is None else floors, named)
        self._begin_with(states)
        self._certified.clear()
        self._certified.update(dict.fromkeys(base.cuts))

    def base(self) -> Base:
        """The base with which another fold can begin at the newest certified cut. There must be a cut."""
        states = [self.state(cut_id) for cut_id in self.latest.path[-NEAR_CARRY:] if cut_id != self.network_id]
        held = [state for state in states if state is not None]
        assert len(held) == len(states)  # the newest states of the path are always there
        return Base(tuple(each.id for each in held), tuple(encode_state(self.network_id, each) for each in held))

    def prune(
        self, heads: Mapping[bytes, Head], index: int, gone: Iterable[bytes], is_wanted: Wanted, *, forget: bool
    ) -> dict[bytes, Floor]:
        """Settle what is at or below the heads of the cut of the path with an index: see `Ledger.prune`."""
        floors = self.ledger.prune(heads, gone, is_wanted, forget=forget)
        if forget:
            self._forget_below(index)
            for cut_id in [cut_id for cut_id in self._certified if cut_id not in self.ledger]:
                del self._certified[cut_id]
        return floors

    # ------------------------------------------------------------ certificates

    def take(self, record: Record) -> None:
        """Note a record that has its whole prefix; `settle` then finds what it certifies."""
        kind = record.header.kind
        if kind == _CUT_SIGNATURE:
            cut_id = decode_cut_signature(record.payload).cut
            if cut_id not in self._certified:
                signed = self._note(cut_id, record.epoch).signers.setdefault(record.author, [])
                if len(signed) < BRANCHES_WATCHED:
                    signed.append((record.author, record.seq, record.id))
        elif kind == _CUT and record.id not in self._certified:
            base = decode_cut(record.payload).base
            self._note(record.id, record.epoch).base = base
            self._on.setdefault(base, []).append(record.id)
        if record.id in self._awaited:
            self._awaited.discard(record.id)
            self._look_at_all()

    def follow(self, following: Following) -> None:
        """Follow other amendments from now on."""
        self.following = following
        self._look_at_all()

    def _look_at_all(self) -> None:
        self._looks_at_all = self.is_unsettled = True

    def _note(self, cut_id: bytes, epoch: int) -> _Pending:
        self.is_unsettled = True
        self._changed.add(cut_id)
        found = self._pending.setdefault(cut_id, _Pending(epoch))
        found.epoch = max(found.epoch, epoch)
        return found

    def settle(self) -> list[tuple[bytes, int]]:
        """Certify all cuts that the records held allow. Returns the new final cuts in order, each with its epoch."""
        found: list[tuple[bytes, int]] = []
        while self.is_unsettled:
            self.is_unsettled = False
            for cut_id in self._candidates():
                state = self._certify(cut_id)
                if state is None:
                    continue
                self._look_at_all()  # other cuts may stand on it
                if self.contradiction is None and not self._agrees(state):
                    self.contradiction = self.latest.id, state.id
                if self._is_newer(state):
                    self.latest = state
                    found.append((state.id, state.epoch))
        if found:
            self.follow_branches()
        if len(self._pending) > self._pending_max:
            self._forget()
        return found

    def follow_branches(self) -> None:
        """Let the ledger follow the branches of the newest certified cut that are here."""
        heads = self.latest.heads
        if self.ledger.has_branches:
            self.ledger.follow({author: head for author, head in heads.items() if self.ledger.lacks((head,)) is None})

    def _candidates(self) -> list[bytes]:
        """Pending cuts on the newest certified cuts that may be certified now, in the order of bases and ids.

        Nothing has changed for the others since the last look. Anybody can propose cuts on a base, so it would cost too
        much to look at all of them after each record.
        """
        looks_at_all, changed = self._looks_at_all, self._changed
        self._looks_at_all, self._changed = False, set()
        on = self._on if looks_at_all else self._by_base(changed)
        return [cut_id for base in self._bases() for cut_id in sorted(on.get(base, ()))]

    def _by_base(self, cuts: Iterable[bytes]) -> dict[bytes, list[bytes]]:
        """Pending cuts that are here, by base."""
        found: dict[bytes, list[bytes]] = {}
        for cut_id in cuts:
            base = self._pending[cut_id].base
            if base is not None:
                found.setdefault(base, []).append(cut_id)
        return found

    def _bases(self) -> Iterable[bytes]:
        """The newest certified cuts: on the path, and beside it, because other peers may continue there."""
        newest = islice(reversed(self._certified), BASES_WATCHED)
        return dict.fromkeys((*self.latest.path[-BASES_WATCHED:], *newest))

    def _is_newer(self, state: State) -> bool:
        """Whether a newly certified cut becomes `latest`.

        Of two cuts with one index the one that contains the other wins, so that peers that saw different ones first
        meet again.
        """
        if state.index != self.latest.index:
            return state.index > self.latest.index
        larger, smaller = self.contains(state, self.latest), self.contains(self.latest, state)
        return larger if larger != smaller else state.id < self.latest.id

    def _agrees(self, state: State) -> bool:
        """Whether a newly certified cut contains the newest one, or is contained in it."""
        latest = self.latest
        if latest.id in state.path or state.id in latest.path:
            return True
        return self.contains(state, latest) or self.contains(latest, state)

    def contains(self, later: State, earlier: State) -> bool:
        """Whether a cut contains another, apart from logs that the later one proves to be forked, or has forgotten.

        No cut holds two branches of a log. Without this exception an author that shows one branch to each half could
        bind the halves to different cuts for ever.
        """
        forgotten = self._forgotten(later, earlier)
        needed = (head for head in earlier.heads.values() if head[0] not in forgotten)
        return self.ledger.extends(later.heads, (head for head in needed if not later.is_forked(head[0], head[1])))

    def contains_cut(self, later: State, cut_id: bytes) -> bool:
        """Whether a cut contains another one, with the same exceptions.

        The newest cut on the paths of both is contained anyway. A cut that left this path so long ago that the path
        has forgotten it has no effect on it any more.
        """
        moved: dict[bytes, Head] = {}
        for _ in range(NEAR_CUTS):
            record = None if cut_id in later.path else self.ledger.get(cut_id)
            if record is None:
                break
            cut = decode_cut(record.payload)
            moved = {**{head[0]: head for head in cut.moved}, **moved}
            cut_id = cut.base
        if cut_id not in later.path:
            return True
        since = later.index - later.path[::-1].index(cut_id)
        needed = (head for head in moved.values() if later.forgotten.get(head[0], -1) <= since)
        return self.ledger.extends(later.heads, (head for head in needed if not later.is_forked(head[0], head[1])))

    def _forgotten(self, later: State, earlier: State) -> frozenset[bytes]:
        """The authors that the later cut has forgotten since the newest cut that is on the paths of both."""
        missing = earlier.heads.keys() - later.heads.keys()
        if not missing:
            return frozenset()
        on_path = frozenset(later.path)
        common = next((cut_id for cut_id in reversed(earlier.path) if cut_id in on_path), None)
        since = -1 if common is None else later.index - later.path[::-1].index(common)
        return frozenset(author for author in missing if later.forgotten.get(author, -1) > since >= 0)

    def _in_use(self) -> Iterable[bytes]:
        return (*super()._in_use(), *self._bases())

    def _certify(self, cut_id: bytes) -> State | None:
        """Certify a cut if its signatures and records are here; returns its state, or None."""
        pending = self._pending[cut_id]
        assert pending.base is not None  # the cut is here
        base = self.kept(pending.base)
        if base is None:
            self._changed.add(cut_id)  # it may be kept again at the next look
            return None
        if 3 * base.weight_of(pending.signers) < 2 * base.total_weight:
            return None
        state = self.state(cut_id)
        if state is None:
            if self.fault(cut_id) is None:
                self._changed.add(cut_id)
                self._await(cut_id)
            return None
        usable = [author for author, signed in pending.signers.items() if self._fits(state, signed)]
        if 3 * base.weight_of(usable) < 2 * base.total_weight:
            return None
        del self._pending[cut_id]
        self._on[pending.base].remove(cut_id)
        self._certified[cut_id] = None
        return state

    def signed_on(self, base: State) -> list[Record]:
        """Proposals on a watched cut by members with weight that other members with weight signed; by epoch and id."""
        found: list[Record] = []
        for cut_id in self._on.get(base.id, ()):
            record = self.ledger.get(cut_id)
            if record is None or not base.weight_of((record.author,)):
                continue
            others = self._pending[cut_id].signers.keys() - {record.author}
            if base.weight_of(others):
                found.append(record)
        return sorted(found, key=lambda record: (record.epoch, record.id))

    def signers(self, cut_id: bytes) -> frozenset[bytes]:
        """The signers of a cut that is not certified here."""
        pending = self._pending.get(cut_id)
        return frozenset() if pending is None else frozenset(pending.signers)

    def _fits(self, state: State, signed: list[Head]) -> bool:
        """Whether a later cut on this one could hold one of these signatures: it is on the branch of this cut."""
        own = state.heads.get(signed[0][0])
        extends = self.ledger.extends
        return own is None or any(
            extends({own[0]: head}, (own,)) if head[1] > own[1] else extends({own[0]: own}, (head,)) for head in signed
        )

    def _await(self, cut_id: bytes) -> None:
        """Look at a signed cut again when a record that it lacks arrives."""
        lacking = self.lacks(cut_id)
        if lacking is not None:
            self._awaited.add(lacking)

    def lacks(self, cut_id: bytes) -> bytes | None:
        """The id of a record that a cut lacks here, or None. Its base must have been folded."""
        record = self.ledger.get(cut_id)
        return cut_id if record is None else self.ledger.lacks(decode_cut(record.payload).moved)

    def _forget(self) -> None:
        """Drop proposals and signatures that can certify nothing, so that those of non-members do not accumulate."""
        bases = set(self._bases())
        oldest = self.latest.epoch - PENDING_EPOCHS
        self._pending = {
            cut_id: pending
            for cut_id, pending in self._pending.items()
            if pending.base in bases or pending.epoch >= oldest
        }
        self._on = self._by_base(self._pending)
        self._changed &= self._pending.keys()
        self._pending_max = max(PENDING_MIN, 2 * len(self._pending))
        self._awaited.clear()  # ids that are still awaited are found again
        self._look_at_all()

    def is_certified(self, cut_id: bytes) -> bool:
        """Whether the records held here certify the cut."""
        return cut_id in self._certified
