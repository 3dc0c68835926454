"""Audits one segment of an archive: its last cut follows from its first one and its records. Nothing in it is trusted.

Protocol page: protocol/archive.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.proofs.segment import SegmentHeader, network_of
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.judge import FAR_FUTURE, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.base import Base
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.horizon import Horizon
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import take_records
from p2pverify.core.replica.verify import VerificationFailed
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.fork import read_start
from p2pverify.core.state.state import State

NO_SEGMENT = bytes(32)
#: Half of the cuts after which the audit looks whether the path stands on the first cut. A path has at least 64 cuts.
_LOOK_EVERY = 24
#: Told the number of records that were taken so far.
TellRecords = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class AuditedSegment:
    """A segment that holds. `fold` has the state at its last cut, which is certified."""

    header: SegmentHeader
    network: Network
    first_epoch: int
    last_epoch: int
    cuts: int
    records: int
    fold: Fold


def audit_segment(
    header: SegmentHeader, states: Sequence[bytes], records: Iterable[bytes], tell: TellRecords = lambda _: None
) -> AuditedSegment:
    """Compute the state at the last cut of a segment from that at its first cut. Raises VerificationFailed.

    The segment assumes its first cut, and nothing if that is the network itself. `records` may raise errors of its own.
    """
    try:
        network = network_of(header)
        rules = Rules(network, network.id, FAR_FUTURE)
        fold = _begin(network, header, states, rules)
    except DecodeError as error:
        raise VerificationFailed(error.reason) from None
    horizon = Horizon(fold, b"", forgets=True)
    horizon.begin_above(fold.ledger.floors())
    first = fold.latest
    if state_root(network.id, first) != header.first_root:
        raise VerificationFailed("the state at the first cut has another root than the header says")
    count = 0
    path = _PathWatch(fold)
    for count, record, added in take_records(fold, rules, records, _refuse):
        if not added:
            raise VerificationFailed("a record before it is missing", number=count, record=record.id)
        if fold.latest is not path.newest:
            path.look()
            horizon.advance()  # the audit holds no more records than a pruned node
        tell(count)
    last = _last(fold, header)
    path.require(last)
    return AuditedSegment(header, network, first.epoch, last.epoch, last.index - first.index, count, fold)


def join_fault(header: SegmentHeader, before: SegmentHeader, before_sha256: bytes) -> str | None:
    """Why a segment does not continue another one, whose trailer has the digest; None if it does."""
    if header.network_id != before.network_id:
        return "it is of another network than the segment before it"
    if header.first != before.last:
        return f"it begins with cut {header.first.hex()[:16]}, and the segment before it ends with another one"
    if header.before not in (NO_SEGMENT, before_sha256):
        return "it was written after another segment than the one before it"
    return None


class _PathWatch:
    """Looks whether the newest cuts stand on the first one. Cuts on the ones before it can be certified as well."""

    def __init__(self, fold: Fold) -> None:
        self._fold, self._known, self._index = fold, fold.latest.id, fold.latest.index
        self.newest = fold.latest

    def look(self) -> None:
        """Look now and then. Raises VerificationFailed."""
        state = self.newest = self._fold.latest
        if state.index >= self._index + 2 * _LOOK_EVERY:
            self.require(state)
            self._known, self._index = state.path[-1 - _LOOK_EVERY], state.index - _LOOK_EVERY

    def require(self, state: State) -> None:
        """Raises VerificationFailed if a state does not stand on the first cut."""
        if self._known not in state.path:
            raise VerificationFailed("its cuts do not stand on its first cut", record=state.id)


def _last(fold: Fold, header: SegmentHeader) -> State:
    """The state at the last cut, which must be certified."""
    record = fold.ledger.get(header.last)
    if record is None or record.kind != Kind.CUT:
        raise VerificationFailed("the last cut is not in the file", record=header.last)
    fault = fold.fault(header.last)
    if fault is not None:
        raise VerificationFailed(f"the last cut does not hold: {fault}", record=header.last)
    state = fold.state(header.last) if fold.is_certified(header.last) else None
    if state is None:
        raise VerificationFailed("the last cut has no certificate of two thirds of the weight", record=header.last)
    if state_root(fold.network.id, state) != header.last_root:
        raise VerificationFailed("the state at the last cut has another root than the header says")
    return state


def _begin(network: Network, header: SegmentHeader, states: Sequence[bytes], rules: Rules) -> Fold:
    """The fold at the first cut. Raises DecodeError, VerificationFailed."""
    start = read_start(network, states[0]) if header.has_start else None
    fold = Fold(network, Ledger(), start=start)
    if header.is_first:
        return fold
    cuts = [_cut_record(data, rules) for data in header.cuts]
    if cuts[-1].id != header.first:
        raise VerificationFailed("the first cut is not the last one at its beginning", record=cuts[-1].id)
    base = Base(tuple(cut.id for cut in cuts), tuple(states[header.has_start :]))
    fold.start_from(base, cuts={cut.id: cut for cut in cuts})
    return fold


def _cut_record(data: bytes, rules: Rules) -> Record:
    try:
        record = judge(data, rules)
    except (GossipIgnore, GossipReject) as refused:
        raise VerificationFailed(f"a cut at its beginning: {refused.reason}") from None
    if record.kind != Kind.CUT:
        raise VerificationFailed("a record at its beginning is no cut", record=record.id)
    return record


def _refuse(number: int, refused: GossipIgnore | GossipReject) -> None:
    raise VerificationFailed(refused.reason, number=number) from None
