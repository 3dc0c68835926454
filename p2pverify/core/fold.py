"""The fold: states of cuts, which of them are certified, and the provisional state on top of the newest.

view(C) needs nothing but the records in C: a cut names its base, the base's certificate lies inside the cut, and so
on down to the network itself. States are remembered for the newest cuts; older ones can be computed again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from p2pverify.core import vrf
from p2pverify.core.advance import advance
from p2pverify.core.draw import next_beacon, propose_alpha
from p2pverify.core.ledger import Ledger
from p2pverify.core.network import Network
from p2pverify.core.records import Cut, Head, Kind, Record, decode_cut, decode_cut_signature
from p2pverify.core.rules import vrf_holds
from p2pverify.core.shared import Shared
from p2pverify.core.state import State, genesis
from p2pverify.core.step import Frame, Step, class_steps
from p2pverify.core.view import view_root

STATES_KEPT = 96
#: How many cuts back on the path a newly certified cut may stand.
BASES_WATCHED = 4
#: Authors, founders aside, that one cut takes in: keys are free, and a cut has room for HEADS_MAX.
NEW_AUTHORS_MAX = 16
#: Branches of a log on which a signature is looked at.
BRANCHES_WATCHED = 8
CERTIFIED_KEPT = 65_536
FAULTS_KEPT = 4096
#: Proposals and signatures older than so many epochs certify nothing any more, unless their base is still watched.
PENDING_EPOCHS = 16
PENDING_MIN = 32
_CUT, _CUT_SIGNATURE = int(Kind.CUT), int(Kind.CUT_SIGNATURE)


@dataclass(slots=True)
class _Pending:
    """A cut that is not certified here: its base if the cut itself is here, who signed it, and the newest epoch of
    these records."""

    epoch: int
    base: bytes | None = None
    signers: dict[bytes, list[Head]] = field(default_factory=dict)  # author -> its signatures, one on each branch


class Fold:
    """States by cut id over one ledger."""

    def __init__(self, network: Network, ledger: Ledger, shared: Shared | None = None) -> None:
        self.network = network
        self.network_id = network.id
        self.ledger = ledger
        self.genesis = genesis(network)
        self.latest = self.genesis
        #: Whether records came with which `settle` may find something to certify.
        self.is_unsettled = False
        self._shared = shared
        self._states: dict[bytes, State] = {self.network_id: self.genesis}
        self._faults: dict[bytes, str] = {}
        self._pending: dict[bytes, _Pending] = {}
        self._pending_max = PENDING_MIN
        self._on: dict[bytes, list[bytes]] = {}  # base -> pending cuts that are here
        self._awaited: set[bytes] = set()  # ids without which a signed cut is not all here
        self._certified: dict[bytes, None] = {self.network_id: None}
        self._frame = Frame(self.state, ledger.extends)
        self._proposal: tuple[bytes, Cut | None, State] = b"", None, self.genesis  # the own one, its author first

    # ------------------------------------------------------------ states

    def state(self, cut_id: bytes) -> State | None:
        """The state at a cut, or None if its records are not all here or it does not hold (see `fault`)."""
        todo: list[bytes] = []
        while cut_id not in self._states and cut_id not in self._faults:
            record = self.ledger.get(cut_id)
            if record is None or record.kind != _CUT or cut_id in todo:
                return None
            cut = decode_cut(record.payload)
            if self.ledger.lacks(cut.moved) is not None:
                return None
            todo.append(cut_id)
            cut_id = cut.base
        for pending in reversed(todo):
            if self._find(pending) is None:
                return None
            cut_id = pending
        state = self._states.get(cut_id)
        self._evict()
        return state

    def fault(self, cut_id: bytes) -> str | None:
        """Why a cut does not hold, if it was computed and does not."""
        return self._faults.get(cut_id)

    def _find(self, cut_id: bytes) -> State | None:
        """The state at a cut whose base was looked at and whose records are all here."""
        known = None if self._shared is None else self._shared.state(cut_id)
        if known is None:
            known = self._compute(cut_id)
            if self._shared is not None:
                self._shared.keep_state(cut_id, *known)
        state, fault = known
        if state is not None:
            self._states[cut_id] = state
        else:
            if len(self._faults) >= FAULTS_KEPT:
                del self._faults[next(iter(self._faults))]
            self._faults[cut_id] = fault or ""
        return state

    def _compute(self, cut_id: bytes) -> tuple[State | None, str | None]:
        record = self.ledger.get(cut_id)
        assert record is not None
        cut = decode_cut(record.payload)
        base = self._states.get(cut.base)
        fault: str | None = "its base does not hold"
        if base is not None:
            author, proposed, state = self._proposal
            if (author, proposed) == (record.author, cut):  # worked out before it had an id
                return state.named(cut_id), None
            state, fault = self._build(record.author, cut, base, cut_id)
            fault = fault or self._check_roots(cut, state)
            if fault is None:
                return state, None
        return None, fault

    def _check_roots(self, cut: Cut, state: State) -> str | None:
        if cut.ledger_root != state.ledger_root:
            return "the ledger root is not that of the heads"
        if cut.view_root != view_root(self.network, state):
            return "the view root is not what the records give"
        return None

    def _build(self, author: bytes, cut: Cut, base: State, cut_id: bytes) -> tuple[State, str | None]:
        """The state that a cut gives on a base, and why the cut does not hold, its roots aside."""
        if any(base.heads.get(head[0]) == head for head in cut.moved):
            return base, "a head of the cut has not moved"
        moved = {head[0]: head for head in cut.moved}
        if not self.ledger.extends(moved, (base.heads[peer] for peer in moved if peer in base.heads)):
            return base, "the cut does not contain its base"
        beta = vrf.proof_to_beta(cut.proof) if _holds(self.network_id, cut, base) else b""
        state = self._advance(base, cut.moved, cut_id, cut.epoch, next_beacon(base.beacon, beta))
        if not beta:
            return state, "VRF proof does not hold"
        newcomers = sum(peer not in base.heads and not _is_founder(base, peer) for peer in moved)
        if newcomers > new_authors_max(base.epoch, cut.epoch):
            return state, "the cut takes in too many new authors"
        if cut.epoch <= base.epoch and base is not self.genesis:
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
        step = Step(self.network, self.network_id, base, state, self._frame, class_steps(self.network))
        return step.is_certified(base.id)

    def _advance(self, base: State, moved: Iterable[Head], cut_id: bytes, epoch: int, beacon: bytes) -> State:
        heads = {head[0]: head for head in moved}
        return advance(
            self.network,
            self.network_id,
            base,
            self.ledger.between(base.heads, heads.values()),
            self._frame,
            cut_id=cut_id,
            epoch=epoch,
            heads={**base.heads, **heads},
            beacon=beacon,
        )

    def _evict(self) -> None:
        while len(self._states) > STATES_KEPT:
            oldest = min(
                (key for key in self._states if key not in (self.network_id, self.latest.id)),
                key=lambda key: (self._states[key].index, key),
            )
            del self._states[oldest]

    # ------------------------------------------------------------ proposals

    def propose(self, cut: Cut, author: bytes) -> Cut | None:
        """Fill in the roots of a proposal on top of `latest`, or None if it would not hold."""
        state, fault = self._build(author, cut, self.latest, bytes(32))
        if fault is not None:
            return None
        filled = replace(cut, ledger_root=state.ledger_root, view_root=view_root(self.network, state))
        self._proposal = author, filled, state
        return filled

    def provisional(self, epoch: int) -> State:
        """The fold of all that is held, on top of the newest certified cut. Nothing in it is final."""
        latest = self.latest
        what = (latest.id, max(epoch, latest.epoch), tuple(self.ledger.moved(latest.heads)))
        state = None if self._shared is None else self._shared.provisional(what)
        if state is None:
            state = self._advance(latest, what[2], bytes(32), what[1], latest.beacon)
            if self._shared is not None:
                self._shared.keep_provisional(what, state)
        return state

    # ------------------------------------------------------------ certificates

    def take(self, record: Record) -> None:
        """Note a record that has its whole prefix; `settle` looks at what follows from it."""
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
            self.is_unsettled = True

    def _note(self, cut_id: bytes, epoch: int) -> _Pending:
        self.is_unsettled = True
        found = self._pending.setdefault(cut_id, _Pending(epoch))
        found.epoch = max(found.epoch, epoch)
        return found

    def settle(self) -> list[tuple[bytes, int]]:
        """Certify what can be certified with the records held; returns the cuts that became final, in order, each
        with its epoch."""
        found: list[tuple[bytes, int]] = []
        while self.is_unsettled:
            self.is_unsettled = False
            for cut_id in self._candidates():
                state = self._certify(cut_id)
                if state is not None and self._is_newer(state):
                    self.latest = state
                    self.is_unsettled = True
                    found.append((state.id, state.epoch))
        if found:
            self.ledger.follow(self.latest.heads)
        if len(self._pending) > self._pending_max:
            self._forget()
        return found

    def _candidates(self) -> list[bytes]:
        """Cuts on the newest certified ones that may have enough signatures, in the order of bases and ids."""
        return [cut_id for base in self._bases() for cut_id in sorted(self._on.get(base, ()))]

    def _bases(self) -> Iterable[bytes]:
        """The newest certified cuts: on the path, and beside it, where the others may go on."""
        newest = islice(reversed(self._certified), BASES_WATCHED)
        return dict.fromkeys((*self.latest.path[-BASES_WATCHED:], *newest))

    def _is_newer(self, state: State) -> bool:
        """Whether to go on from a newly certified cut. Of two on the same level it is the one that contains the other,
        so that those who saw one of them certified first do not stay apart."""
        if state.index != self.latest.index:
            return state.index > self.latest.index
        larger, smaller = self.contains(state, self.latest), self.contains(self.latest, state)
        return larger if larger != smaller else state.id < self.latest.id

    def contains(self, later: State, earlier: State) -> bool:
        """Whether a cut contains another, apart from what the later one proves to be forked: two branches of a log fit
        into no cut, and an author who shows one to each half must not bind the halves to different cuts for ever.
        """
        heads = (head for head in earlier.heads.values() if not later.is_forked(head[0], head[1]))
        return self.ledger.extends(later.heads, heads)

    def _certify(self, cut_id: bytes) -> State | None:
        """The state at a cut, if its signatures and records are here; then it is certified."""
        pending = self._pending[cut_id]
        assert pending.base is not None  # the cut is here
        base = self._states.get(pending.base)
        if base is None or 3 * base.weight_of(pending.signers) < 2 * base.total_weight:
            return None
        state = self.state(cut_id)
        if state is None:
            self._await(cut_id)
            return None
        usable = [author for author, signed in pending.signers.items() if self._fits(state, signed)]
        if 3 * base.weight_of(usable) < 2 * base.total_weight:
            return None
        del self._pending[cut_id]
        self._on[pending.base].remove(cut_id)
        if len(self._certified) >= CERTIFIED_KEPT:
            del self._certified[next(iter(self._certified))]
        self._certified[cut_id] = None
        return state

    def signed_on(self, base: State) -> list[Record]:
        """Proposals on a watched cut by members with weight there, which other such members signed; by epoch and id."""
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
        """Who has signed a cut that is not certified here."""
        pending = self._pending.get(cut_id)
        return frozenset() if pending is None else frozenset(pending.signers)

    def _fits(self, state: State, signed: list[Head]) -> bool:
        """Whether a cut that stands on this one could hold one of these signatures: it lies on the branch that this
        one names."""
        own = state.heads.get(signed[0][0])
        extends = self.ledger.extends
        return own is None or any(
            extends({own[0]: head}, (own,)) if head[1] > own[1] else extends({own[0]: own}, (head,)) for head in signed
        )

    def _await(self, cut_id: bytes) -> None:
        """Look at a signed cut again once a record comes that it lacks."""
        lacking = self.lacks(cut_id)
        if lacking is not None:
            self._awaited.add(lacking)

    def lacks(self, cut_id: bytes) -> bytes | None:
        """The id of a record without which a cut on a cut that was folded is not all here, or None."""
        record = self.ledger.get(cut_id)
        return cut_id if record is None else self.ledger.lacks(decode_cut(record.payload).moved)

    def _forget(self) -> None:
        """Drop what can certify nothing any more, so that strangers' proposals and signatures do not pile up."""
        bases = set(self._bases())
        oldest = self.latest.epoch - PENDING_EPOCHS
        self._pending = {
            cut_id: pending
            for cut_id, pending in self._pending.items()
            if pending.base in bases or pending.epoch >= oldest
        }
        self._on = {}
        for cut_id, pending in self._pending.items():
            if pending.base is not None:
                self._on.setdefault(pending.base, []).append(cut_id)
        self._pending_max = max(PENDING_MIN, 2 * len(self._pending))
        self._awaited.clear()  # what is still awaited is found again
        self.is_unsettled = True

    def is_certified(self, cut_id: bytes) -> bool:
        """Whether the records held here certify the cut."""
        return cut_id in self._certified


def new_authors_max(base_epoch: int, epoch: int) -> int:
    """How many new authors a cut takes in. More, the longer none was certified: so there comes a cut with room for all
    those whom members have taken in by signing different ones."""
    return NEW_AUTHORS_MAX * max(1, epoch - base_epoch)


def _is_founder(base: State, author: bytes) -> bool:
    member = base.members.get(author)
    return member is not None and member.founder


def _holds(network_id: bytes, cut: Cut, base: State) -> bool:
    return vrf_holds(cut.vrf_key, propose_alpha(network_id, cut.epoch, base.beacon), cut.proof)
