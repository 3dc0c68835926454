"""Folds the records of one home again and again, while its node runs.

The records are judged and folded here, so nothing that a peer says of itself counts.
"""

from pathlib import Path

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.judge import FAR_FUTURE
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import take_records
from p2pverify.store.errors import translated
from p2pverify.store.reading import reading, stored_rows


class HomeFold:
    """The fold of the records in one home's database, from the network's first record on."""

    def __init__(self, network: Network, database: Path) -> None:
        self.network = network
        self.fold = Fold(network, Ledger())
        self._database = database
        self._places = 0

    def look(self) -> list[Record]:
        """Take the records that are stored now. Returns those that are new, in the order of arrival.

        Blocks. Raises StoreError.
        """
        with translated(self._database), reading(self._database) as connection:
            rows = [row for row in stored_rows(connection) if row.place > self._places]
        self._places = max((row.place for row in rows), default=self._places)
        rules = Rules(self.network, self.network.id, FAR_FUTURE)
        taken = take_records(self.fold, rules, [row.data for row in rows], lambda _number, _why: None)
        return [record for _, _, added in taken for record in added]
