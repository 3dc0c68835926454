"""`ledger export` and `ledger verify` with the home of a stopped peer: pipes, read-only media, wrong files."""

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Record
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.store import reading, snapshot
from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutBase, PutRecord
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.cli.transcript import DEADLINE_S, PROGRAM, environment, run
from tests.support.worlds import make_world

CAN_MOUNT = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def world() -> World:
    """Three founders after a few certified cuts."""
    world = make_world(3, seed=3)
    world.run_epochs(6)
    assert world.peers[0].machine.fold.latest.index > 1
    return world


@pytest.fixture(scope="module")
def kept(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first founder's home, and an export of it."""
    home = Home(tmp_path_factory.mktemp("ledger") / "home")
    home.init()
    home.network_path.write_text(dump_network(world.network, (MANIFEST,)))
    trio.run(fill, home.database_path, world.network, list(world.peers[0].machine.context.ledger.records()))
    done = run(home.path, "ledger", "export", str(home.path.parent / "whole"))
    assert done.returncode == 0, done.stderr
    return home.path


async def fill(path: Path, network: Network, records: list[Record], *more: PutBase) -> None:
    with closing(Store.open(path, network.id, network.founders[0])) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            await store.append(
                [PutRecord(r.id, r.author, r.seq, r.kind, r.epoch, r.data, received=True) for r in records]
            )
            await store.append(more)
            nursery.cancel_scope.cancel()


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    """A copy of the home, with the export beside it."""
    shutil.copytree(kept, tmp_path / "home")
    shutil.copyfile(kept.parent / "whole", tmp_path / "whole")
    return tmp_path / "home"


def shell(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in the home's folder. "$PV" is the program."""
    variables = {**environment(home), "PV": " ".join(PROGRAM)}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=home.parent,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        "$PV ledger export - > new",
        "$PV ledger export - | cat > new",
        "$PV ledger export /dev/stdout > new",
        "$PV ledger export >(cat > new) > said; wait $!",
        "ln -s /proc/self/fd/1 link; $PV ledger export link | cat > new; test -L link",
        "mkfifo pipe; cat pipe > new & $PV ledger export pipe > said; wait $!; test -p pipe",
        "ln -s new link; $PV ledger export link; test -L link",
        "$PV ledger export /dev/fd/7 7> new",
    ],
)
def test_an_export_goes_where_it_is_sent(home: Path, command: str) -> None:
    """The bytes equal those in a file, messages go elsewhere, and no file is called '-'."""
    done = shell(home, command)
    assert done.returncode == 0, done.stderr
    assert (home.parent / "new").read_bytes() == (home.parent / "whole").read_bytes()
    assert not (home.parent / "-").exists()


@pytest.mark.parametrize(
    "command",
    ["$PV ledger verify - < whole", "cat whole | $PV ledger verify /dev/stdin", "$PV ledger verify <(cat whole)"],
)
def test_an_export_is_verified_through_a_pipe(home: Path, command: str) -> None:
    """A pipe can be read only once, from its beginning."""
    done = shell(home, command)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every signature, link, proof, opening and certificate holds" in done.stdout


def test_an_existing_file_stays_without_force(home: Path) -> None:
    """This covers the database itself, another export, and any other file."""
    thesis = home.parent / "thesis.tex"
    thesis.write_text("precious")
    for file in (thesis, home.parent / "whole", home / "node.db"):
        before = file.read_bytes()
        done = run(home, "ledger", "export", str(file))
        assert (done.returncode, "--force" in done.stderr) == (1, True)
        assert file.read_bytes() == before
    assert run(home, "ledger", "export", str(thesis), "--force").returncode == 0
    assert thesis.read_bytes() == (home.parent / "whole").read_bytes()


def test_an_export_is_not_printed_on_a_terminal(home: Path) -> None:
    """Binary data on a terminal is noise, or worse."""
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [*PROGRAM, "ledger", "export", "-"],
            env=environment(home),
            stdout=theirs,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"is a terminal" in done.stderr


@pytest.mark.parametrize("log", ["no log", "a log", "a log and its index"])
def test_a_home_on_a_read_only_medium_is_exported(home: Path, log: str) -> None:
    """It works with the write-ahead log of a killed node or without one. It needs neither lock nor identity."""
    if not CAN_MOUNT:
        pytest.skip("this user may mount nothing")
    if log != "no log":
        _leave_log(home, with_index=log.endswith("index"))
    (home / "identity.key").unlink()
    before = sorted(path.name for path in home.iterdir())
    command = f"mount --bind {home} {home} && mount -o remount,ro,bind {home} && $PV ledger export new"
    done = shell(home, f"unshare -rm bash -c '{command}'")
    assert done.returncode == 0, done.stderr
    assert (home.parent / "new").read_bytes() == (home.parent / "whole").read_bytes()
    assert sorted(path.name for path in home.iterdir()) == before


def _leave_log(home: Path, *, with_index: bool) -> None:
    """Bring the database into the state after a kill: only the log has the last record."""
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('PRAGMA journal_mode = WAL')\n"
        "database.execute('INSERT INTO evidence VALUES (1, 0, ?, ?)', (bytes(32), b'x'))\n"
        "os._exit(0)\n"
    )
    subprocess.run([PROGRAM[0], "-c", code, str(home / "node.db")], check=True)
    assert (home / "node.db-wal").stat().st_size > 0
    if not with_index:
        (home / "node.db-shm").unlink()


def test_the_network_can_be_pinned(home: Path, world: World) -> None:
    """The network is given by its file or its id. Another network ends with 5, and anything else with 2."""
    whole, own = str(home.parent / "whole"), str(home / "network.toml")
    for pin in (own, world.network.id.hex(), world.network.id.hex().upper()):
        done = run(home, "ledger", "verify", whole, "--network", pin)
        assert done.returncode == 0, done.stderr
        assert "the network is the one that --network names" in done.stdout
    other = home.parent / "other.toml"
    other.write_text((home / "network.toml").read_text().replace('name = "world"', 'name = "another"', 1))
    for pin in (str(other), "00" * 32):
        done = run(home, "ledger", "verify", whole, "--network", pin)
        assert (done.returncode, "it is of network" in done.stderr) == (5, True), done.stderr
    for pin in (whole, "absent.toml", world.network.id.hex()[:16], ""):
        done = run(home, "ledger", "verify", whole, "--network", pin)
        assert (done.returncode, "--network" in done.stderr) == (2, True), done.stderr


def test_what_was_verified_is_named(home: Path, world: World) -> None:
    """The output has the network, its founders, the time of its newest cut, and the source of the network
    definition."""
    done = run(home, "ledger", "verify", str(home.parent / "whole"))
    assert "the network is the file's own claim" in done.stdout
    assert all(peer in done.stdout for peer in (world.network.name, world.network.id.hex()))
    document = json.loads(run(home, "ledger", "verify", str(home.parent / "whole"), "--json").stdout)
    latest = world.peers[0].machine.fold.latest
    assert (document["cut"], document["newest_epoch"]) == (latest.id.hex(), latest.epoch)
    assert len(document["founders"]) == 3
    assert document["network_is_pinned"] is False
    assert document["epoch_began"].startswith("1970-01-01T00:")  # the world's clock begins there
    assert document["age_s"] > 50 * 365 * 86_400
    assert "days ago" in done.stdout


def test_an_older_view_is_told_as_such(home: Path, world: World) -> None:
    """If the cut is not the newest in the file, the output says so, because newer records could be hidden."""
    older = world.peers[0].machine.fold.latest.path[-2].hex()
    assert run(home, "ledger", "export", str(home.parent / "older"), "--cut", older).returncode == 0
    done = run(home, "ledger", "verify", str(home.parent / "older"))
    assert done.returncode == 0
    assert "this is an older view" in done.stdout


@pytest.mark.parametrize(
    ("name", "kind"),
    [("home/network.toml", "a network file"), ("home/node.db", "a database"), ("empty", "an empty file")],
)
def test_another_file_is_told_apart_from_a_false_export(home: Path, name: str, kind: str) -> None:
    """The exit code is 2 with the kind of the file, also for a directory and an absent file. A damaged export ends with
    5."""
    (home.parent / "empty").touch()
    done = run(home, "ledger", "verify", str(home.parent / name), "--json")
    assert (done.returncode, json.loads(done.stdout)["valid"]) == (2, False)
    assert f"is {kind}" in done.stderr
    for other in (home, home / "absent"):
        assert run(home, "ledger", "verify", str(other)).returncode == 2
    whole = (home.parent / "whole").read_bytes()
    for damaged in (whole[:-1], whole[:5], bytes([whole[0] ^ 1]) + whole[1:]):
        (home.parent / "damaged").write_bytes(damaged)
        assert run(home, "ledger", "verify", str(home.parent / "damaged")).returncode == 5


def test_a_database_that_sqlite_cannot_share_is_read(home: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same without a mount: the log and the file are read together."""
    whole = snapshot.take_snapshot(home / "node.db", world.network, None)
    _leave_log(home, with_index=False)
    monkeypatch.setattr(snapshot, "reading", reading._reading_unshared)
    assert snapshot.take_snapshot(home / "node.db", world.network, None) == whole
    assert (whole.header.network_id, whole.own) == (world.network.id, world.network.founders[0])
