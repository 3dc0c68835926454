"""The records that a state names: releases, data sets, and results of training rounds. Everybody keeps them."""

from collections.abc import Iterator

from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.rounds.votes import decode_round_vote
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State


class NamedRecords:
    """Tells whether a record is one that a state names.

    `wanted` are the ids of the records, and the digests of the results, each of which some votes hold (32 B each).
    """

    def __init__(self, state: State) -> None:
        versions = [version for notes in state.lines.values() for version in notes.versions]
        self._ids = {*state.datasets, *(version.record for version in versions if not version.is_trained)}
        self._results = {version.statement for version in versions if version.is_trained}
        self.wanted = frozenset(self._ids | self._results)

    def __call__(self, record: Record) -> bool:
        return self.name_of(record) is not None

    def name_of(self, record: Record) -> bytes | None:
        """By what the state names a record; None if it does not."""
        if record.kind == Kind.ROUND_VOTE and self._results:
            digest = decode_round_vote(record.payload).result.digest
            return digest if digest in self._results else None
        return record.id if record.id in self._ids else None

    def find(self, ledger: Ledger, name: bytes) -> Record | None:
        """The record with this name in a ledger; None if it is not there, or the state does not name it.

        A result is searched in all logs.
        """
        if name in self._ids:
            return ledger.get(name)
        if name not in self._results:
            return None
        return next((record for record in _votes(ledger) if self.name_of(record) == name), None)


def _votes(ledger: Ledger) -> Iterator[Record]:
    yield from (record for record in ledger.named() if record.kind == Kind.ROUND_VOTE)
    yield from (record for record in ledger.records() if record.kind == Kind.ROUND_VOTE)
