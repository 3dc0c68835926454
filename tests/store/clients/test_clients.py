"""The clients' database: receipts survive and are pruned, keys are hashed and can be revoked."""

import sqlite3
import stat

import pytest

from p2pverify.node.clients.book import BookError, KeptReceipt
from p2pverify.store.clients.keys import PREFIX, StoredKeys
from p2pverify.store.clients.receipts import StoredReceipts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clients.db"


async def test_receipts_are_kept_across_restarts(path):
    """The file belongs to its owner alone. An id is used once."""
    assert await StoredReceipts(path).find("r") is None
    assert not path.exists()
    receipt = KeptReceipt("r", "alice", b"{}")
    await StoredReceipts(path).keep(receipt)
    assert await StoredReceipts(path).find("r") == receipt
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BookError):
        await StoredReceipts(path).keep(receipt)


async def test_the_oldest_receipts_make_room(path, monkeypatch):
    """By their number, and by their bytes."""
    monkeypatch.setattr("p2pverify.store.clients.receipts._PRUNED_EVERY", 1)
    few = StoredReceipts(path, count_max=3)
    for number in range(6):
        await few.keep(KeptReceipt(str(number), "", bytes(100)))
    assert [await few.find(str(number)) is not None for number in range(6)] == [False] * 3 + [True] * 3
    small = StoredReceipts(path, bytes_max=250)
    await small.keep(KeptReceipt("6", "", bytes(100)))
    assert [await few.find(str(number)) is not None for number in range(7)] == [False] * 5 + [True] * 2


async def test_keys_are_recognised_until_they_are_revoked(path):
    """The file holds no key, only its hash."""
    keys = StoredKeys(path)
    assert await keys.find(PREFIX + "x") is None
    secret, client = keys.add("alice", per_minute=7, at_once=2)
    other, _ = keys.add("bob", per_minute=60, at_once=4)
    assert await keys.find(secret) == client
    assert (client.name, client.per_minute, client.at_once) == ("alice", 7, 2)
    for wrong in (secret[:-1], secret + "x", "", "p2pv-" + "a" * 1000, "\ud800", other.upper()):
        assert await keys.find(wrong) is None
    assert secret[len(PREFIX) :].encode() not in b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert [one.client.name for one in keys.all()] == ["alice", "bob"] or len(keys.all()) == 2
    assert keys.revoke(client.id)
    assert not keys.revoke(client.id)
    assert await keys.find(secret) is None
    assert await keys.find(other) is not None


async def test_another_file_is_not_taken_for_it(path):
    """Nothing is written to a database of another program."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA application_id = 5")
    with pytest.raises(BookError, match="no database of clients"):
        await StoredReceipts(path).keep(KeptReceipt("r", "", b""))
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(BookError):
        await StoredReceipts(path).find("r")
