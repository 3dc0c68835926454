"""The address book in the database: it is replaced as a whole, and a damaged file does not stop a node."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from p2pverify.core.errors import LocalProtocolError
from p2pverify.node.endpoints.shelf import KEPT_PEERS_MAX, STATEMENT_BYTES_MAX, KeptPeer
from p2pverify.store.peers import StoredPeers
from p2pverify.store.sqlite import Store

NETWORK, OWN = bytes([7]) * 32, bytes([1]) * 32


def _row(number: int, statement: bytes = b"s") -> KeptPeer:
    return KeptPeer(number.to_bytes(32, "big"), statement, 1000 + number, number, 5 * number, 2)


@asynccontextmanager
async def _running(path: Path) -> AsyncIterator[Store]:
    with closing(Store.open(path, NETWORK, OWN)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()


async def test_each_write_replaces_the_book(tmp_path: Path) -> None:
    """After a restart the rows of the last write are there."""
    path = tmp_path / "node.db"
    async with _running(path) as store:
        assert await StoredPeers(store).save([_row(n) for n in range(KEPT_PEERS_MAX)])
        assert await StoredPeers(store).save([_row(2), _row(3)])
    async with _running(path) as store:
        assert StoredPeers(store).load() == [_row(2), _row(3)]


async def test_too_much_is_refused(tmp_path: Path) -> None:
    """More rows than the limit, or longer ones, are a mistake of the caller. Longer ones in the file are not read."""
    path = tmp_path / "node.db"
    async with _running(path) as store:
        for rows in ([_row(n) for n in range(KEPT_PEERS_MAX + 1)], [_row(1, bytes(STATEMENT_BYTES_MAX + 1))]):
            with pytest.raises(LocalProtocolError):
                await StoredPeers(store).save(rows)
    with closing(sqlite3.connect(path)) as database, database:
        long = (bytes(32), bytes(STATEMENT_BYTES_MAX + 1), 0, 0, 0, 0)
        database.execute("INSERT INTO peers VALUES (?, ?, ?, ?, ?, ?)", long)
        database.execute("INSERT INTO peers VALUES (x'01', x'02', 0, 0, 0, 0)")
    async with _running(path) as store:
        assert StoredPeers(store).load() == []
