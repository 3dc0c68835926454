"""Recomputing a view from its records alone: no network, key, model or clock.

Every record is judged again, every chain linked. The same fold as on the peers checks every proof, draw, opening and
certificate. Nothing in an export is trusted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.judge import FAR_FUTURE
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.cut import Cut, decode_cut, decode_cut_signature
from p2pverify.core.replica.base import Base
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import take_records
from p2pverify.core.state.fork import read_start
from p2pverify.core.state.state import State
from p2pverify.core.state.view import Score, scores


class VerificationFailed(Exception):
    """The view does not verify. `number` (from 1) and `record` (id) name the first record that shows it, if known."""

    def __init__(self, reason: str, *, number: int | None = None, record: bytes | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.number = number
        self.record = record


@dataclass(frozen=True, slots=True)
class Verified:
    """A recomputed view that equals the one signed by two thirds of the weight."""

    network: Network
    cut_id: bytes
    cut: Cut
    newest_epoch: int  # of the newest certified cut in the file
    records: int  # in the cut
    records_after: int  # in the file, but not in the cut
    cuts: int  # certified cuts on the path
    signers: int
    scores: tuple[Score, ...]
    totals: tuple[tuple[str, int], ...]


def verify(
    network_id: bytes, definition: bytes, cut_id: bytes, records: Iterable[bytes], start: bytes = b""
) -> Verified:
    """Recompute the view at a cut from records' bytes and the network definition. Raises VerificationFailed.

    `start` are the bytes of the state that the network begins with; none if it begins with its founders.
    """
    return recomputed(verified_fold(network_id, definition, cut_id, records, start), cut_id)


def verified_fold(
    network_id: bytes,
    definition: bytes,
    cut_id: bytes,
    records: Iterable[bytes],
    start: bytes = b"",
    base: Base | None = None,
) -> Fold:
    """The fold of records in which the cut is certified and holds. Raises VerificationFailed.

    With a `base` the fold begins there, and what came before is taken for true.
    """
    network = _network(network_id, definition)
    ledger = Ledger()
    fold = Fold(network, ledger, start=_start(network, start))
    if base is not None:
        try:
            fold.start_from(base)
        except DecodeError as error:
            raise VerificationFailed(f"the state at the beginning does not hold: {error.reason}") from None
    waiting = _take_all(fold, Rules(network, network_id, FAR_FUTURE), records)
    if waiting:
        number = min(waiting)
        raise VerificationFailed("a record before it is missing", number=number, record=waiting[number].id)
    last = ledger.get(cut_id)
    if last is None or last.kind != Kind.CUT:
        raise VerificationFailed("the last cut is not in the file", record=cut_id)
    fault = fold.fault(cut_id)
    if fault is not None:
        raise VerificationFailed(f"the last cut does not hold: {fault}", record=cut_id)
    if not fold.is_certified(cut_id):
        raise VerificationFailed("the last cut has no certificate of two thirds of the weight", record=cut_id)
    return fold


def recomputed(fold: Fold, cut_id: bytes) -> Verified:
    """The view at a certified cut of a fold."""
    network, ledger = fold.network, fold.ledger
    last, state = ledger.get(cut_id), fold.state(cut_id)
    assert last is not None
    assert state is not None  # a certified cut was folded
    in_cut = sum(head[1] + 1 for head in state.heads.values())
    held_of_cut = sum(max(0, head[1] + 1 - ledger.first(head[0])) for head in state.heads.values())
    return Verified(
        network,
        cut_id,
        decode_cut(last.payload),
        fold.latest.epoch,
        in_cut,
        len(ledger) - held_of_cut,
        state.index,
        len(_signers(ledger, cut_id)),
        scores(network, state),
        tuple(sorted(state.totals.items())),
    )


def _network(network_id: bytes, definition: bytes) -> Network:
    try:
        network = decode_network(definition)
    except DecodeError as error:
        raise VerificationFailed(f"the network definition is malformed: {error.reason}") from None
    if network.id != network_id:
        raise VerificationFailed("the network definition is not that of the network id")
    return network


def _start(network: Network, start: bytes) -> State | None:
    if network.origin is None and not start:
        return None
    try:
        return read_start(network, start)
    except DecodeError as error:
        raise VerificationFailed(f"the state at the beginning does not hold: {error.reason}") from None


def _take_all(fold: Fold, rules: Rules, records: Iterable[bytes]) -> dict[int, Record]:
    """Judge, link and fold all records. Returns the records whose prefix is missing, by number in the file."""
    waiting: dict[int, Record] = {}
    numbers: dict[bytes, int] = {}
    for number, record, added in take_records(fold, rules, records, _refuse):
        if not added:
            waiting[number] = record
            numbers[record.id] = number
        for found in added[1:] if waiting else ():
            waiting.pop(numbers[found.id], None)
    return waiting


def _refuse(number: int, refused: GossipIgnore | GossipReject) -> None:
    raise VerificationFailed(refused.reason, number=number) from None


def _signers(ledger: Ledger, cut_id: bytes) -> set[bytes]:
    signatures = (record for record in ledger.records() if record.kind == Kind.CUT_SIGNATURE)
    return {record.author for record in signatures if decode_cut_signature(record.payload).cut == cut_id}
