"""The tails of logs: what the ledger's rules ask of the newest record of an author, if the records below are gone."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from p2pverify.core.records.envelope import Record


class LogTail(NamedTuple):
    """The epoch of an author's newest record in a cut, and the number at which this epoch began in its log."""

    epoch: int
    since: int


def with_tails(known: Mapping[bytes, LogTail], records: Iterable[Record]) -> dict[bytes, LogTail]:
    """The tails with some later records, which are sorted by author and number."""
    found = dict(known)
    for record in records:
        tail = found.get(record.author)
        if tail is None or tail.epoch != record.epoch:
            found[record.author] = LogTail(record.epoch, record.seq)
    return found
