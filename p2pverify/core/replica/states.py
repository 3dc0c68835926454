"""States of cuts: they are computed from the records inside the cuts, and cached for the newest cuts.

The state of a cut needs the state of its base, and the outcomes of cuts beside the path that it is the first to
contain. These are computed first, in a loop, because after a long pause one cut may contain hundreds of cuts that were
never certified. All of them are based on one of the newest cuts of the path, so older states are never needed again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.sortition import next_beacon, propose_alpha, vrf_holds
from p2pverify.core.encoding import vrf
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import Cut, Head, decode_cut
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.memo import Memo
from p2pverify.core.settle.books import Movement
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.fork import first_state
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.process import advance
from p2pverify.core.state.rows import JOIN_EPOCHS
from p2pverify.core.state.rules.following import Following, Halt
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import CutOutcome, Frame, Transition, class_steps
from p2pverify.core.state.view import view_root

STATES_KEPT = 8
FAULTS_KEPT = 4096
#: Cuts whose outcomes are cached longer than their states: more cuts than honest members sign in a long pause.
OUTCOMES_KEPT = 65_536
#: Cuts of which the number of records is remembered.
COUNTS_KEPT = 256
#: New authors of one cut, without founders. Limited because keys are free and a cut has room for HEADS_MAX.
NEW_AUTHORS_MAX = 16
#: The kinds of records by which an author comes in.
_ENTRIES = (Kind.JOIN, Kind.HANDOVER)

T = TypeVar("T")


class _Halted(Exception):
    """A transition needs the outcome of a cut that this peer does not compute."""


class _NeedsOthers(Exception):
    """A transition needs the outcomes of cuts that were not folded yet."""

    def __init__(self, cuts: list[bytes]) -> None:
        super().__init__()
        self.cuts = cuts


class States:
    """States by cut id over one ledger. `latest` is the newest certified one; the end of its path stays cached.

    A network with an origin needs the state `start` with which it begins.
    """

    def __init__(
        self, network: Network, ledger: Ledger, memo: Memo | None = None, *, start: State | None = None
    ) -> None:
        network = network.first or network
        #: With which the network began.
        self.definition = network
        #: Which amendments this peer follows.
        self.following = Following()
        self.network_id = network.id
        self.ledger = ledger
        self.genesis = first_state(network, start)
        self.latest = self.genesis
        self._memo = memo
        self._states: dict[bytes, State] = {self.network_id: self.genesis}  # the one used last comes last
        self._faults: BoundedDict[bytes, str] = BoundedDict(FAULTS_KEPT)
        #: How many records each cut holds that was folded lately.
        self.records_in: BoundedDict[bytes, int] = BoundedDict(COUNTS_KEPT)
        self._outcomes: BoundedDict[bytes, CutOutcome | None] = BoundedDict(OUTCOMES_KEPT)
        self._needed: set[bytes] = set()  # cuts of which an outcome is needed now
        self._frame = Frame(self._outcomes_of)
        self._proposal: tuple[bytes, Cut | None, State] = b"", None, self.genesis  # our own proposal, with its author

    def _begin_with(self, states: Sequence[State]) -> None:
        """Begin with the newest states of a path instead of the network's first one."""
        self._states = {state.id: state for state in states}
        self.latest = states[-1]

    def _forget_below(self, index: int) -> None:
        """Forget the states and outcomes of cuts whose records may be gone: those on cuts of the path before an index.

        The records of the newest cuts are there.
        """
        self._states = {key: state for key, state in self._states.items() if state.index >= index}
        self._outcomes.clear()

    @property
    def network(self) -> Network:
        """The network with the rules in force at the newest certified cut."""
        return self.latest.rules_in(self.definition)

    def tell_movements(self, note: Callable[[State, Movement], None]) -> None:
        """Have each movement of money told, with the state that it leads to. Of cuts that are cached none is told."""
        self._frame = replace(self._frame, note=note)

    def kept(self, cut_id: bytes) -> State | None:
        """The state at a cut if it is cached."""
        return self._states.get(cut_id)

    def state(self, cut_id: bytes) -> State | None:
        """The state at a cut. None if records of it are missing, or if it does not hold (see `fault`)."""
        todo = [cut_id]
        while todo:
            top = todo[-1]
            if top in self._states or top in self._faults:
                todo.pop()
                continue
            record = self.ledger.get(top)
            if record is None or record.kind != Kind.CUT:
                return None
            cut = decode_cut(record.payload)
            if cut.base not in self._states and cut.base not in self._faults:
                todo.append(cut.base)
                continue
            if self.ledger.lacks(cut.moved) is not None or self._halt(top) is not None:
                return None
            try:
                self._find(top)
            except _NeedsOthers as needs:
                todo += needs.cuts
            self._evict(todo)
        state = self._states.pop(cut_id, None)
        if state is not None:
            self._states[cut_id] = state
        return state

    def fault(self, cut_id: bytes) -> str | None:
        """Why a cut does not hold, or is not computed by this peer; None if it holds or was not computed."""
        found = self._faults.get(cut_id)
        halt = self._halt(cut_id) if found is None and cut_id not in self._states else None
        return found if halt is None else str(halt)

    def halt(self, epoch: int) -> Halt | None:
        """What keeps this peer from computing a cut of an epoch on the newest certified one."""
        return self.following.halt(self.definition, self.latest, epoch)

    def _halt(self, cut_id: bytes) -> Halt | None:
        """What keeps this peer from computing a cut whose base is cached."""
        record = self.ledger.get(cut_id)
        if record is None or record.kind != Kind.CUT:
            return None
        cut = decode_cut(record.payload)
        base = self._states.get(cut.base)
        return None if base is None else self.following.halt(self.definition, base, cut.epoch)

    def _find(self, cut_id: bytes) -> None:
        """Compute the state at a cut. Its base must be known, and its records must all be here."""
        known = None if self._memo is None else self._memo.state(cut_id)
        if known is None:
            known = self._compute(cut_id)
            if self._memo is not None:
                self._memo.keep_state(cut_id, *known)
        state, fault = known
        if state is not None:
            self._states[cut_id] = state
            self.records_in[cut_id] = state.totals.get("records", 0)
        else:
            self._faults[cut_id] = fault or ""
        if cut_id in self._needed:
            self._needed.discard(cut_id)
            self._outcomes[cut_id] = None if state is None else CutOutcome(state.convictions(), state.as_past())

    def _outcomes_of(self, cuts: Sequence[bytes]) -> list[CutOutcome | None]:
        """The outcomes of cuts whose records are all here. Raises _NeedsOthers if some were not folded yet."""
        for cut_id in cuts:
            state = self._states.get(cut_id)
            if state is not None:
                self._outcomes[cut_id] = CutOutcome(state.convictions(), state.as_past())
            elif cut_id in self._faults:
                self._outcomes[cut_id] = None
        unknown = [cut_id for cut_id in cuts if cut_id not in self._outcomes]
        if unknown:
            self._needed.update(unknown)
            raise _NeedsOthers(unknown)
        return [self._outcomes[cut_id] for cut_id in cuts]

    def _resolved(self, work: Callable[[], T]) -> T:
        """The result of `work`; cuts that it needs are folded first."""
        while True:
            try:
                return work()
            except _NeedsOthers as needs:
                for cut_id in needs.cuts:
                    if self.state(cut_id) is None:
                        if self._halt(cut_id) is not None:
                            raise _Halted from None
                        self._outcomes.setdefault(cut_id, None)

    def _compute(self, cut_id: bytes) -> tuple[State | None, str | None]:
        record = self.ledger.get(cut_id)
        assert record is not None
        cut = decode_cut(record.payload)
        base = self._states.get(cut.base)
        fault: str | None = "its base does not hold"
        if base is not None:
            author, proposed, state = self._proposal
            if (author, proposed) == (record.author, cut):  # computed before it had an id
                return state.named(cut_id), None
            state, fault = self._build(record.author, cut, base, cut_id)
            fault = fault or self._check_roots(cut, state)
            if fault is None:
                return state, None
        return None, fault

    def _check_roots(self, cut: Cut, state: State) -> str | None:
        if cut.ledger_root != state.ledger_root:
            return "the ledger root is not that of the heads"
        if cut.view_root != view_root(self.definition, state):
            return "the view root is not what the records give"
        if cut.state_root != state_root(self.network_id, state):
            return "the state root is not what the records give"
        return None

    def _build(self, author: bytes, cut: Cut, base: State, cut_id: bytes) -> tuple[State, str | None]:
        """The state of a cut on a base, and why the cut does not hold (None if it does). Roots are not checked here."""
        if any(base.heads.get(head[0]) == head for head in cut.moved):
            return base, "a head of the cut has not moved"
        moved = {head[0]: head for head in cut.moved}
        if not self.ledger.extends(moved, (base.heads[peer] for peer in moved if peer in base.heads)):
            return base, "the cut does not contain its base"
        newcomers = [head for head in moved.values() if not _knows(base, head[0])]
        if len(newcomers) > new_authors_max(base.epoch, cut.epoch):
            return base, "the cut takes in too many new authors"
        if not all(self.may_come_in(base, head) for head in newcomers):
            return base, "a new author has not joined lately"
        beta = vrf.proof_to_beta(cut.proof) if _holds(self.network_id, cut, base) else b""
        state = self._advance(base, cut.moved, cut_id, cut.epoch, next_beacon(base.beacon, beta))
        if not beta:
            return state, "VRF proof does not hold"
        if cut.epoch < base.epoch + (base is not self.genesis):
            return state, "the cut is not of a later epoch than its base"
        if not self._is_based(base, state):
            return state, "the base has no certificate inside the cut"
        weighted = base.members.get(author)
        # A founder may propose with the cut that first holds its join; everybody else's key is known before.
        proposer = weighted if weighted is not None and weighted.active else state.members.get(author)
        if weighted is None or not weighted.weight or proposer is None or proposer.vrf_key != cut.vrf_key:
            return state, "the proposer has no weight or another VRF key"
        return state, None

    def _is_based(self, base: State, state: State) -> bool:
        rules = state.rules_in(self.definition)
        step = Transition(rules, self.network_id, base, state, self._frame, class_steps(rules))
        return step.is_certified(base.id)

    def may_come_in(self, base: State, head: Head) -> bool:
        """Whether a cut on a base may hold the log of an author up to a head that is here.

        A new author must have joined, or taken over another key's row, in a log that is young. So an author that was
        forgotten never comes back, and nobody needs its records any more.
        """
        if _knows(base, head[0]):
            return True
        return self.is_young(base, head) and any(self.ledger.last_of(head, kind) is not None for kind in _ENTRIES)

    def is_young(self, base: State, head: Head) -> bool:
        """Whether the first record of a log is here, and of a recent epoch for a cut on a base."""
        first = self.ledger.on(head, 0)
        return first is not None and first.epoch > base.epoch - JOIN_EPOCHS

    def _records(self, base: State, heads: Iterable[Head]) -> Iterator[Record]:
        """The records between a base and later heads."""
        for head in heads:
            before = base.heads.get(head[0])
            yield from self.ledger.between(head, 0 if before is None else before[1] + 1)

    def _advance(self, base: State, moved: Iterable[Head], cut_id: bytes, epoch: int, beacon: bytes) -> State:
        heads = {head[0]: head for head in moved}
        return advance(
            self.definition,
            self.network_id,
            base,
            self._records(base, heads.values()),
            self._frame,
            cut_id=cut_id,
            epoch=epoch,
            heads={**base.heads, **heads},
            beacon=beacon,
        )

    def _evict(self, todo: Iterable[bytes]) -> None:
        """Drop the least recently used states, except the newest certified cuts and the cuts in `todo`."""
        if len(self._states) <= STATES_KEPT:
            return
        needed = {self.network_id, *self._in_use(), *todo}
        for cut_id in [key for key in self._states if key not in needed]:
            if len(self._states) <= STATES_KEPT:
                return
            del self._states[cut_id]

    def _in_use(self) -> Iterable[bytes]:
        """Cuts on which another one may be based that a next cut contains."""
        return self.latest.path[-NEAR_CARRY:]

    # ------------------------------------------------------------ proposals

    def propose(self, cut: Cut, author: bytes) -> Cut | None:
        """Fill in the roots of a proposal on top of `latest`; None if it would not hold."""
        if self.halt(cut.epoch) is not None:
            return None
        try:
            state, fault = self._resolved(lambda: self._build(author, cut, self.latest, bytes(32)))
        except _Halted:
            return None
        if fault is not None:
            return None
        filled = replace(
            cut,
            ledger_root=state.ledger_root,
            view_root=view_root(self.definition, state),
            state_root=state_root(self.network_id, state),
        )
        self._proposal = author, filled, state
        return filled

    @property
    def proposed(self) -> State:
        """The state of the proposal that `propose` filled in last."""
        return self._proposal[2]

    def provisional(self, epoch: int) -> State:
        """The state of all records held, on top of the newest certified cut. Nothing in it is final."""
        latest = self.latest
        epoch = max(epoch, latest.epoch)
        halt = self.halt(epoch)
        if halt is not None:
            note = latest.amendments.get(halt.amendment)
            if note is None:
                return latest
            epoch = max(note.starts - 1, latest.epoch)  # later records count by rules that it does not follow
        moved = tuple(head for head in self.ledger.moved(latest.heads) if self.may_come_in(latest, head))
        what = (latest.id, epoch, moved)
        state = None if self._memo is None else self._memo.provisional(what)
        if state is None:
            try:
                state = self._resolved(lambda: self._advance(latest, moved, bytes(32), epoch, latest.beacon))
            except _Halted:
                return latest
            if self._memo is not None:
                self._memo.keep_provisional(what, state)
        return state


def new_authors_max(base_epoch: int, epoch: int) -> int:
    """The most new authors of a cut.

    The limit grows with the epochs since the last certified cut. Otherwise members that admitted different newcomers
    could never fit them all into one cut.
    """
    return NEW_AUTHORS_MAX * max(1, epoch - base_epoch)


def _knows(state: State, author: bytes) -> bool:
    return author in state.heads or author in state.members


def _holds(network_id: bytes, cut: Cut, base: State) -> bool:
    return vrf_holds(cut.vrf_key, propose_alpha(network_id, cut.epoch, base.beacon), cut.proof)
