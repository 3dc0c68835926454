"""A database opens only if it is undamaged and belongs to its owner, and a killed process loses no acknowledged
record."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from p2pverify.store import schema
from p2pverify.store.errors import StoreError
from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutRecord

NETWORK = bytes([7]) * 32
ALICE = bytes([1]) * 32
BOB = bytes([2]) * 32
APPENDER = Path(__file__).with_name("appender.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


async def fill(path: Path, count: int) -> None:
    datas = [seq.to_bytes(8, "big") + bytes(300) for seq in range(count)]
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            await store.append(
                [PutRecord(hashlib.sha256(data).digest(), BOB, i, 5, 1, data) for i, data in enumerate(datas)]
            )
            nursery.cancel_scope.cancel()


def stored(path: Path) -> list[bytes]:
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        return list(store.load_records())


def test_other_network_and_other_identity_are_errors(path: Path) -> None:
    """Only the network and the identity of a database can open it."""
    Store.open(path, NETWORK, ALICE).close()
    with pytest.raises(StoreError, match=f"network {NETWORK.hex()[:16]}.*another home"):
        Store.open(path, bytes(32), ALICE)
    with pytest.raises(StoreError, match=r"peer .*identity\.key"):
        Store.open(path, NETWORK, BOB)


@pytest.mark.parametrize(("version", "age"), [(schema.SCHEMA_VERSION + 1, "newer"), (2, "older"), (1, "older")])
def test_other_version_is_an_error(path: Path, version: int, age: str) -> None:
    """A database of another schema version is not changed, and the error gives advice."""
    Store.open(path, NETWORK, ALICE).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"version {version} of a {age} p2pverify.*install.*move the files"):
        Store.open(path, NETWORK, ALICE)
    assert path.read_bytes() == before


def test_database_of_another_program_is_left_alone(path: Path) -> None:
    """Another program's SQLite file is recognised and not written to."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store.open(path, NETWORK, ALICE)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello", bytes(8192)])
def test_file_that_is_no_database(path: Path, content: bytes) -> None:
    """Files with other content, including an empty file, are errors and are not changed."""
    path.write_bytes(content)
    with pytest.raises(StoreError):
        Store.open(path, NETWORK, ALICE)
    assert path.read_bytes() == content


def test_path_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing directory and a directory in the file's place give a StoreError."""
    with pytest.raises(StoreError, match="check the path"):
        Store.open(tmp_path / "missing" / "node.db", NETWORK, ALICE)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(tmp_path, NETWORK, ALICE)


def test_log_of_a_lost_database_is_not_replayed(path: Path) -> None:
    """A write-ahead log without its database is not taken over by a new database."""
    log = Path(f"{path}-wal")
    log.write_bytes(b"left")
    with pytest.raises(StoreError, match="was left by a database that is gone"):
        Store.open(path, NETWORK, ALICE)
    assert not path.exists()
    log.unlink()
    Store.open(path, NETWORK, ALICE).close()


def test_truncated_database_is_found(path: Path) -> None:
    """A truncated database is refused at opening, and not read as a shorter one."""
    trio.run(fill, path, 200)
    whole = path.read_bytes()
    sizes = [*range(0, len(whole), 4096), *(len(whole) - cut for cut in (1, 100, 511, 512, 2048, 4095))]
    for size in sizes:
        path.write_bytes(whole[:size])
        with pytest.raises(StoreError):
            Store.open(path, NETWORK, ALICE)
    path.write_bytes(whole)
    assert len(stored(path)) == 200


def test_overwritten_pages_are_found(path: Path) -> None:
    """A database with any page of garbage is refused at opening."""
    trio.run(fill, path, 200)
    whole = path.read_bytes()
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + b"\x5a" * 4096 + whole[start + 4096 :])
        with pytest.raises(StoreError):
            Store.open(path, NETWORK, ALICE)


@pytest.fixture
def appender(path: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Start processes that append to the database for ever."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        command = [sys.executable, str(APPENDER), str(path), NETWORK.hex(), ALICE.hex()]
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_kill_loses_nothing_acknowledged(path: Path, appender: Callable[[], "subprocess.Popen[bytes]"]) -> None:
    """After several rounds of kill -9, every acknowledged record is there, whole, exactly once."""
    acknowledged: dict[int, str] = {}
    for lines in (1, 2, 17, 90, 333):
        process = appender()
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()  # the records acknowledged before the signal took effect
        assert process.wait() == -9
        for line in said:
            if line.endswith(b"\n"):
                seq, digest = line.split()
                assert int(seq) not in acknowledged
                acknowledged[int(seq)] = digest.decode()
        records = stored(path)
        kept = {int.from_bytes(data[:8], "big"): hashlib.sha256(data).hexdigest() for data in records}
        assert len(kept) == len(records)
        assert acknowledged.items() <= kept.items()
    assert len(acknowledged) >= 443


def test_a_closed_database_is_one_file(path: Path) -> None:
    """The write-ahead log is merged, so a copy of the file is complete."""
    Store.open(path, NETWORK, ALICE).close()
    trio.run(fill, path, 20)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert len(stored(path)) == 20
