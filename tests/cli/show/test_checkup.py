"""`ledger check` and `ledger export` on a home whose database holds a damaged record."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.node.journal import Kept
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.cli.transcript import run
from tests.support.worlds import make_world


@pytest.fixture(scope="module")
def world() -> World:
    """Two founders with some certified cuts."""
    made = make_world(2)
    made.run_epochs(8)
    assert made.peers[0].machine.fold.latest.epoch >= 4
    return made


@pytest.fixture
def home(world: World, tmp_path: Path) -> Home:
    """The home of the first founder."""
    made = Home(tmp_path / "home")
    made.path.mkdir()
    made.identity_path.write_text(world.identities[0].seed.hex() + "\n")
    made.identity_path.chmod(0o600)
    made.network_path.write_text(dump_network(world.network, [MANIFEST]))
    own = world.peers[0].key

    async def fill() -> None:
        with closing(Store.open(made.database_path, world.network.id, own)) as store:
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                kept = [Kept(decode_record(data), received=True) for data in world.peers[0].disk.read()[0]]
                await StoreJournal(store, own).persist(kept, [])
                nursery.cancel_scope.cancel()

    trio.run(fill)
    return made


def damage(home: Home, record: Record) -> str:
    """Flip a bit of a record. Returns the record's id."""
    with closing(sqlite3.connect(home.database_path, isolation_level=None)) as database:
        find = "SELECT sql FROM sqlite_master WHERE name = 'records_no_update'"
        (trigger,) = database.execute(find).fetchone()
        database.execute("DROP TRIGGER records_no_update")
        changed = record.data[:-3] + bytes([record.data[-3] ^ 1]) + record.data[-2:]
        database.execute("UPDATE records SET bytes = ? WHERE id = ?", (changed, record.id))
        database.execute(trigger)
    return record.id.hex()


def test_a_whole_home(home: Home, world: World) -> None:
    """No damage is reported, and nothing is changed."""
    before = home.database_path.read_bytes()
    done = run(home.path, "ledger", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "no damage found"
    document = json.loads(run(home.path, "ledger", "check", "--json").stdout)
    assert (document["whole"], document["records"]) == (True, len(world.peers[0].disk.read()[0]))
    assert 0 < document["own_records"] < document["records"]
    assert home.database_path.read_bytes() == before
    assert run(home.path, "ledger", "export", str(home.path.parent / "export")).returncode == 0


def test_a_damaged_record_is_named_by_both(home: Home, world: World) -> None:
    """The exit code is 5. The export holds the other records and verifies."""
    machine = world.peers[0].machine
    number = len(list(machine.context.ledger.chain(machine.key))) * 3 // 4
    record = machine.context.ledger.at(machine.key, number)
    assert record is not None
    name = damage(home, record)
    done = run(home.path, "ledger", "check")
    assert done.returncode == 5
    assert f"record: {name[:16]}, number {number} of this peer" in done.stdout
    asked = run(home.path, "ledger", "check", "--json")
    document = json.loads(asked.stdout)
    assert asked.returncode == 5
    assert [(fault["kind"], fault["record"], fault["number"]) for fault in document["faults"]] == [
        ("record", name, number)
    ]
    file = home.path.parent / "export"
    done = run(home.path, "ledger", "export", str(file))
    assert done.returncode == 5
    assert 0 < int(done.stdout.split()[0]) < len(world.peers[0].disk.read()[0])
    assert f"record {name[:16]} (number {number} of this peer) is damaged on disk" in done.stderr
    assert run(home.path, "ledger", "verify", str(file)).returncode == 0


def test_if_nothing_final_is_left_it_says_why(home: Home, world: World) -> None:
    """A damaged first record makes all later records useless."""
    machine = world.peers[0].machine
    name = damage(home, next(machine.context.ledger.chain(machine.key)))
    file = home.path.parent / "export"
    done = run(home.path, "ledger", "export", str(file))
    assert done.returncode == 1
    assert f"nothing final is left: record {name[:16]}" in done.stderr
    assert "ledger check" in done.stderr
    assert not file.exists()


def test_a_home_without_a_database(home: Home) -> None:
    """Before the first start there is nothing to check."""
    home.database_path.unlink()
    done = run(home.path, "ledger", "check")
    assert done.returncode == 1
    assert "no database in" in done.stderr
