"""Keys of clients on other machines. A key has 256 random bits, so its SHA-256 is enough to recognise it."""

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import trio

from p2pverify.node.clients.book import BookError
from p2pverify.node.clients.desk import Client
from p2pverify.store.clients.database import clients_database

PREFIX = "p2pv-"
SECRET_BYTES = 32
SECRET_CHARS_MAX = 128
KEYS_MAX = 1024
ID_BYTES = 4

_FIND = "SELECT id, name, per_minute, at_once FROM keys WHERE hash = ?"
_ALL = "SELECT id, name, per_minute, at_once, added FROM keys ORDER BY added, id"
_ADD = "INSERT INTO keys (id, hash, name, per_minute, at_once, added) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key as its node knows it: never the key itself. `added_s` is a Unix time."""

    client: Client
    added_s: int


class StoredKeys:
    """The keys in the file `path`. Fulfils the node's port `KeyRing`; the other methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._limiter = trio.CapacityLimiter(4)

    async def find(self, secret: str) -> Client | None:
        """See the port. A revoked key is refused from the next request on."""
        if not secret.startswith(PREFIX) or len(secret) > SECRET_CHARS_MAX or not secret.isascii():
            return None
        return await trio.to_thread.run_sync(self._find, secret, limiter=self._limiter)

    def add(self, name: str, *, per_minute: int, at_once: int) -> tuple[str, Client]:
        """A new key, which nobody can see again, and its client. Raises BookError."""
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        client = Client(secrets.token_hex(ID_BYTES), name, per_minute, at_once)
        with clients_database(self._path) as database:
            if database.execute("SELECT count(*) FROM keys").fetchone()[0] >= KEYS_MAX:
                raise BookError(f"there are {KEYS_MAX} keys already", "revoke one that nobody uses")
            database.execute(_ADD, (client.id, _hashed(secret), name, per_minute, at_once, int(time.time())))
        return secret, client

    def all(self) -> list[GivenKey]:
        """All keys, the oldest first. Raises BookError."""
        if not self._path.exists():
            return []
        with clients_database(self._path) as database:
            return [GivenKey(Client(*row[:4]), row[4]) for row in database.execute(_ALL).fetchall()]

    def revoke(self, key_id: str) -> bool:
        """Take a key back, for good. False if there is none with this id. Raises BookError."""
        if not self._path.exists():
            return False
        with clients_database(self._path) as database:
            return database.execute("DELETE FROM keys WHERE id = ?", (key_id,)).rowcount > 0

    def _find(self, secret: str) -> Client | None:
        if not self._path.exists():
            return None
        with clients_database(self._path) as database:
            row = database.execute(_FIND, (_hashed(secret),)).fetchone()
        return None if row is None else Client(*row)


def _hashed(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
