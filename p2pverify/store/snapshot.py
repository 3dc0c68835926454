"""Reads the content of an export from a node's database; the node may run meanwhile."""

from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.judge import FAR_FUTURE
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import take_records
from p2pverify.core.state.fork import write_start
from p2pverify.core.state.state import State
from p2pverify.store import schema
from p2pverify.store.errors import StoreError, translated
from p2pverify.store.exportfile import ExportHeader
from p2pverify.store.integrity.inspection import Damage, Inspection, name_damage
from p2pverify.store.reading import reading, stored_rows

_AFTER_DAMAGE = (
    "'p2pverify ledger check' names all; a running node fetches them again, or ask another peer for an export"
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of an export up to a cut.

    `own` is the public key (32 B) of the database's peer. `damaged` are the stored records that are left out.
    """

    header: ExportHeader
    records: list[bytes]
    own: bytes
    damaged: list[Damage]


def take_snapshot(database: Path, network: Network, cut_id: bytes | None, *, start: State | None = None) -> Snapshot:
    """Read the records up to a certified cut, or up to the newest one. Raises StoreError.

    `start` is the state with which a forked network begins.
    """
    fold, own, damaged = stored_fold(database, network, start=start)
    if fold.latest is fold.genesis:
        if damaged:
            raise StoreError(f"nothing final is left: {name_damage(damaged[0], own)}", _AFTER_DAMAGE)
        raise StoreError("nothing is final yet", "wait for the first certified cut: 'p2pverify status' shows it")
    chosen = fold.latest.id if cut_id is None else cut_id
    if not fold.is_certified(chosen) or chosen == network.id:
        raise StoreError("this node knows no certificate for that cut", "'p2pverify status --json' lists recent cuts")
    header = ExportHeader(network.id, network.encode(), chosen, write_start(network, fold.genesis))
    return Snapshot(header, [record.data for record in fold.ledger.records()], own, damaged)


def stored_fold(database: Path, network: Network, *, start: State | None = None) -> tuple[Fold, bytes, list[Damage]]:
    """The fold of all records, the key of the database's peer, and the damaged records. Raises StoreError."""
    with translated(database), reading(database) as connection:
        schema.check(connection, database, network.id, None)
        own = schema.owner(connection)[1]
        found = Inspection(stored_rows(connection), own, ())
        return _fold(network, found, start), own, found.damaged


def _fold(network: Network, found: Inspection, start: State | None) -> Fold:
    fold = Fold(network, Ledger(), start=start)

    def refused(_number: int, why: GossipIgnore | GossipReject) -> None:
        found.take_outcome(why)

    for _, record, _ in take_records(fold, Rules(network, network.id, FAR_FUTURE), found.records(), refused):
        found.take_outcome(record)
    return fold
