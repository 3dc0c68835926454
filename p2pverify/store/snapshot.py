"""Reads the content of an export from a node's database; the node may run meanwhile."""

from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.records.judge import FAR_FUTURE
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.base import Base
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
from p2pverify.store.window.base import base_to_start_from, damaged_base

_AFTER_DAMAGE = (
    "'p2pverify ledger check' names all; a running node fetches them again, or ask another peer for an export"
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of an export up to a cut.

    `own` is the public key (32 B) of the database's peer. `damaged` are the stored records that are left out. Of a home
    that has deleted records, the `base` is where the rest begins; else it is None.
    """

    header: ExportHeader
    records: list[bytes]
    own: bytes
    damaged: list[Damage]
    base: Base | None = None


@dataclass(frozen=True, slots=True)
class StoredFold:
    """The fold of all stored records, or of those above the `base` of a home that has deleted others."""

    fold: Fold
    own: bytes
    damaged: list[Damage]
    base: Base | None


def take_snapshot(database: Path, network: Network, cut_id: bytes | None, *, start: State | None = None) -> Snapshot:
    """Read the records up to a certified cut, or up to the newest one. Raises StoreError.

    `start` is the state with which a forked network begins.
    """
    found = read_fold(database, network, start=start)
    fold = found.fold
    if fold.latest is fold.genesis:
        if found.damaged:
            raise StoreError(f"nothing final is left: {name_damage(found.damaged[0], found.own)}", _AFTER_DAMAGE)
        raise StoreError("nothing is final yet", "wait for the first certified cut: 'p2pverify status' shows it")
    chosen = fold.latest.id if cut_id is None else cut_id
    if not fold.is_certified(chosen) or chosen == network.id:
        raise StoreError("this node knows no certificate for that cut", "'p2pverify status --json' lists recent cuts")
    header = ExportHeader(network.id, network.encode(), chosen, write_start(network, fold.genesis))
    records = [record.data for record in fold.ledger.records()]
    return Snapshot(header, records, found.own, found.damaged, found.base)


def read_fold(database: Path, network: Network, *, start: State | None = None) -> StoredFold:
    """Fold the stored records. Raises StoreError."""
    with translated(database), reading(database) as connection:
        schema.check(connection, database, network.id, None)
        own = schema.owner(connection)[1]
        stored = base_to_start_from(connection, database)
        fold, numbers, base = Fold(network, Ledger(), start=start), dict[bytes, int](), None
        if stored is not None and not stored.is_whole:
            base, numbers = Base(stored.cuts, stored.states), stored.numbers
            try:
                fold.start_from(base)
            except DecodeError as error:
                raise damaged_base(database, error.reason) from error
            numbers |= {author: floor.seq for author, floor in fold.ledger.floors().items()}
        found = Inspection(stored_rows(connection), own, (), numbers)
        _take_all(fold, found)
    return StoredFold(fold, own, found.damaged, base)


def _take_all(fold: Fold, found: Inspection) -> None:
    def refused(_number: int, why: GossipIgnore | GossipReject) -> None:
        found.take_outcome(why)

    rules = Rules(fold.network, fold.network_id, FAR_FUTURE)
    for _, record, _ in take_records(fold, rules, found.records(), refused):
        found.take_outcome(record)
