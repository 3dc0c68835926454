"""Writing a node's records as an export, from its database; the node may run meanwhile."""

from pathlib import Path

from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.fold import Fold
from p2pverify.core.ledger import Ledger
from p2pverify.core.loading import take_records
from p2pverify.core.network import Network
from p2pverify.core.rules import Rules
from p2pverify.core.verify import FAR_FUTURE
from p2pverify.store.errors import StoreError
from p2pverify.store.exportfile import ExportHeader, ExportSummary, write_export
from p2pverify.store.sqlite import Store


def export_database(database: Path, network: Network, own: bytes, file: Path, cut_id: bytes | None) -> ExportSummary:
    """Export up to a certified cut, or to the newest. Raises StoreError, ExportError."""
    store = Store.open(database, network.id, own)
    try:
        stored = list(store.load_records())
    finally:
        store.close()
    ledger, fold = _fold(network, stored)
    if fold.latest is fold.genesis:
        raise StoreError("nothing is final yet", "wait for the first certified cut: 'p2pverify status' shows it")
    chosen = fold.latest.id if cut_id is None else cut_id
    if not fold.is_certified(chosen) or chosen == network.id:
        raise StoreError("this node knows no certificate for that cut", "'p2pverify status --json' lists recent cuts")
    records = [record.data for record in ledger.records()]
    return write_export(file, ExportHeader(network.id, network.encode(), chosen), records)


def _fold(network: Network, stored: list[bytes]) -> tuple[Ledger, Fold]:
    ledger = Ledger()
    fold = Fold(network, ledger)
    for _ in take_records(fold, Rules(network, network.id, FAR_FUTURE), stored, _leave_out):
        pass
    return ledger, fold


def _leave_out(_number: int, _refused: GossipIgnore | GossipReject) -> None:
    """An export holds what counts; what the database holds beside it is its own affair."""
