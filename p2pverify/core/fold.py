"""The fold: states of cuts, which of them are certified, and the provisional state on top of the newest.

view(C) needs nothing but the records in C: a cut names its base, the base's certificate lies inside the cut, and so
on down to the network itself. States are remembered for the newest cuts; older ones can be computed again.
"""

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core import vrf
from p2pverify.core.advance import advance
from p2pverify.core.draw import next_beacon, propose_alpha
from p2pverify.core.ledger import Ledger, ledger_root
from p2pverify.core.network import Network
from p2pverify.core.records import Cut, Head, Kind, Record, decode_cut, decode_cut_signature
from p2pverify.core.rules import vrf_holds
from p2pverify.core.state import State, genesis
from p2pverify.core.step import Frame, Step, class_steps
from p2pverify.core.view import view_root

STATES_KEPT = 96
#: How many cuts back on the path a newly certified cut may stand.
BASES_WATCHED = 4
#: Authors, founders aside, that one cut takes in: keys are free, and a cut has room for HEADS_MAX.
NEW_AUTHORS_MAX = 16


class Fold:
    """States by cut id over one ledger."""

    def __init__(self, network: Network, ledger: Ledger) -> None:
        self.network = network
        self.network_id = network.id
        self.ledger = ledger
        self.genesis = genesis(network)
        self.latest = self.genesis
        self._states: dict[bytes, State] = {self.network_id: self.genesis}
        self._invalid: dict[bytes, str] = {}
        self._signers: dict[bytes, set[bytes]] = {}
        self._by_base: dict[bytes, set[bytes]] = {}
        self._certified: set[bytes] = {self.network_id}
        self._frame = Frame(self.state, ledger.extends)

    # ------------------------------------------------------------ states

    def state(self, cut_id: bytes) -> State | None:
        """The state at a cut, or None if its records are not all here or it does not hold (see `fault`)."""
        todo: list[bytes] = []
        while cut_id not in self._states and cut_id not in self._invalid:
            record = self.ledger.get(cut_id)
            if record is None or record.kind != Kind.CUT or cut_id in todo:
                return None
            cut = decode_cut(record.payload)
            if not self.ledger.covers(cut.heads):
                return None
            todo.append(cut_id)
            cut_id = cut.base
        for pending in reversed(todo):
            if self._compute(pending) is None:
                return None
            cut_id = pending
        state = self._states.get(cut_id)
        self._evict()
        return state

    def fault(self, cut_id: bytes) -> str | None:
        """Why a cut does not hold, if it was computed and does not."""
        return self._invalid.get(cut_id)

    def _compute(self, cut_id: bytes) -> State | None:
        record = self.ledger.get(cut_id)
        assert record is not None
        cut = decode_cut(record.payload)
        base = self._states.get(cut.base)
        if base is None:
            self._invalid[cut_id] = "its base does not hold"
            return None
        state, fault = self._build(record.author, cut, base, cut_id)
        if fault is None and view_root(self.network, state) != cut.view_root:
            fault = "the view root is not what the records give"
        if fault is not None:
            self._invalid[cut_id] = fault
            return None
        self._states[cut_id] = state
        return state

    def _build(self, author: bytes, cut: Cut, base: State, cut_id: bytes) -> tuple[State, str | None]:
        heads = {head[0]: head for head in cut.heads}
        if not self.ledger.extends(heads, base.heads.values()):
            return base, "the cut does not contain its base"
        beta = vrf.proof_to_beta(cut.proof) if _holds(self.network_id, cut, base) else b""
        state = self._advance(base, cut.heads, cut_id, cut.epoch, next_beacon(base.beacon, beta))
        if not beta:
            return state, "VRF proof does not hold"
        newcomers = sum(head[0] not in base.heads and not _is_founder(base, head[0]) for head in cut.heads)
        if newcomers > NEW_AUTHORS_MAX:
            return state, "the cut takes in too many new authors"
        if cut.epoch <= base.epoch and base is not self.genesis:
            return state, "the cut is not of a later epoch than its base"
        if not self._inside(base, state):
            return state, "the base has no certificate inside the cut"
        weighted = base.members.get(author)
        # A founder may propose with the cut that first holds its join; everybody else's key is known before.
        proposer = weighted if weighted is not None and weighted.active else state.members.get(author)
        if weighted is None or not weighted.weight or proposer is None or proposer.vrf_key != cut.vrf_key:
            return state, "the proposer has no weight or another VRF key"
        if cut.ledger_root != ledger_root(cut.heads):
            return state, "the ledger root is not that of the heads"
        return state, None

    def _inside(self, base: State, state: State) -> bool:
        step = Step(self.network, self.network_id, base, state, self._frame, class_steps(self.network))
        return step.is_certified(base.id)

    def _advance(self, base: State, heads: Iterable[Head], cut_id: bytes, epoch: int, beacon: bytes) -> State:
        by_author = {head[0]: head for head in heads}
        return advance(
            self.network,
            self.network_id,
            base,
            self.ledger.between(base.heads, by_author.values()),
            self._frame,
            cut_id=cut_id,
            epoch=epoch,
            heads=by_author,
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
        rooted = replace(cut, ledger_root=ledger_root(cut.heads))
        state, fault = self._build(author, rooted, self.latest, bytes(32))
        return None if fault is not None else replace(rooted, view_root=view_root(self.network, state))

    def provisional(self, heads: Iterable[Head], epoch: int) -> State:
        """The fold of all that is held, on top of the newest certified cut. Nothing in it is final."""
        return self._advance(self.latest, heads, bytes(32), max(epoch, self.latest.epoch), self.latest.beacon)

    # ------------------------------------------------------------ certificates

    def take(self, record: Record) -> None:
        """Note a record that has its whole prefix; `settle` looks at what follows from it."""
        if record.kind == Kind.CUT_SIGNATURE:
            self._signers.setdefault(decode_cut_signature(record.payload).cut, set()).add(record.author)
        elif record.kind == Kind.CUT:
            self._by_base.setdefault(decode_cut(record.payload).base, set()).add(record.id)

    def settle(self) -> list[State]:
        """Certify what can be certified with the records held; returns the states that became final, in order."""
        found: list[State] = []
        moved = True
        while moved:
            moved = False
            for base_id in self.latest.path[-BASES_WATCHED:]:
                for cut_id in sorted(self._by_base.get(base_id, ())):
                    if cut_id not in self._certified and self._try_certify(cut_id, base_id):
                        moved = True
                        state = self._states[cut_id]
                        if state.index > self.latest.index:
                            self.latest = state
                            found.append(state)
        return found

    def _try_certify(self, cut_id: bytes, base_id: bytes) -> bool:
        base = self._states.get(base_id)
        signers = frozenset(self._signers.get(cut_id, ()))
        if base is None or 3 * base.weight_of(signers) < 2 * base.total_weight:
            return False
        if self.state(cut_id) is None:
            return False
        self._certified.add(cut_id)
        return True

    def is_certified(self, cut_id: bytes) -> bool:
        """Whether the records held here certify the cut."""
        return cut_id in self._certified

    def signers(self, cut_id: bytes) -> frozenset[bytes]:
        return frozenset(self._signers.get(cut_id, ()))


def _is_founder(base: State, author: bytes) -> bool:
    member = base.members.get(author)
    return member is not None and member.founder


def _holds(network_id: bytes, cut: Cut, base: State) -> bool:
    return vrf_holds(cut.vrf_key, propose_alpha(network_id, cut.epoch, base.beacon), cut.proof)
