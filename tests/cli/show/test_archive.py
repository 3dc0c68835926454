"""`ledger export --dir`, `ledger audit`, and `ledger verify` of segments, with the home of a stopped peer."""

import json
import shutil
from dataclasses import astuple
from pathlib import Path

import pytest
import trio

from p2pverify.core.proofs.archiving import Archiving
from p2pverify.core.replica.base import floors_of
from p2pverify.core.state.codec.sections import decode_state
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.store.writes import HorizonRow, PutBase
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.cli.show.test_ledger import fill
from tests.cli.transcript import run
from tests.support.started import base_at, folded
from tests.support.worlds import make_world

EPOCHS = "4"


@pytest.fixture(scope="module")
def world() -> World:
    """Four founders after some certified cuts."""
    world = make_world(4, seed=3)
    world.run_epochs(15)
    assert world.peers[0].machine.fold.latest.index > 12
    return world


@pytest.fixture(scope="module")
def kept(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first founder's home, and an archive of it beside it."""
    home = Home(tmp_path_factory.mktemp("archive") / "home")
    home.init()
    home.network_path.write_text(dump_network(world.network, (MANIFEST,)))
    trio.run(fill, home.database_path, world.network, list(world.peers[0].machine.context.ledger.records()))
    done = run(home.path, "ledger", "export", "--dir", str(home.path.parent / "archive"), "--epochs", EPOCHS)
    assert done.returncode == 0, done.stderr
    return home.path


@pytest.fixture
def archive(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept.parent / "archive", tmp_path / "archive")
    return tmp_path / "archive"


def segments(archive: Path) -> list[Path]:
    return sorted(archive.glob("*.segment"))


def test_all_segments_hold_alone_and_together(kept: Path, archive: Path, world: World) -> None:
    files = segments(archive)
    assert len(files) > 2
    done = run(kept, "ledger", "audit", str(archive), "--network", world.network.id.hex())
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1 : 1 + len(files)]]
    assert [(row[0], row[-1]) for row in rows] == [(file.stem, "holds") for file in files]
    assert done.stdout.endswith("assumed: nothing, because the history begins with the network itself\n")
    document = json.loads(run(kept, "ledger", "audit", str(files[1]), str(files[2]), "--json").stdout)
    assert document["valid"]
    first, second = document["segments"]
    assert document["assumed"]["cut"] == first["first"]
    assert first["last"] == second["first"]


def test_a_false_segment_is_named(kept: Path, archive: Path) -> None:
    """The others are audited all the same."""
    files = segments(archive)
    data = files[1].read_bytes()
    files[1].write_bytes(data[: len(data) // 2])
    files[2].unlink()
    done = run(kept, "ledger", "audit", str(archive / "index.json"), "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["valid"]) == (5, False)
    assert [each["valid"] for each in document["segments"]] == [True, False, False]
    assert document["segments"][1]["reason"].startswith("the file ends too early")
    assert "cannot be read" in document["segments"][2]["reason"]
    assert f"2 segments are false; the first is {files[1]}" in done.stderr
    done = run(kept, "ledger", "audit", str(files[0]), str(files[0]))
    assert done.returncode == 5
    assert "the segment before it ends with another one" in done.stderr


def test_files_that_are_no_segments(kept: Path, archive: Path) -> None:
    whole = archive.parent / "whole"
    assert run(kept, "ledger", "export", str(whole)).returncode == 0
    for file, reason in ((whole, "a ledger export"), (kept / "network.toml", "a network file")):
        done = run(kept, "ledger", "audit", str(file))
        assert (done.returncode, f"is {reason}, not a segment" in done.stderr) == (2, True), done.stderr
    done = run(kept, "ledger", "audit", str(archive), "--network", "00" * 32)
    assert (done.returncode, "it is of network" in done.stderr) == (5, True)


def test_a_segment_is_verified_from_a_cut_that_is_assumed(kept: Path, archive: Path) -> None:
    """The view of its last cut is printed. The exit code is 0 only if the user names the cut that it rests on."""
    index = json.loads((archive / "index.json").read_text())
    one = index["segments"][-1]
    file = str(archive / one["file"])
    done = run(kept, "ledger", "verify", file)
    assert done.returncode == 5
    assert f"assumed: cut {one['first']} of epoch {one['first_epoch']}, state root " in done.stdout
    assert f"say --assume {one['first']}" in done.stderr
    assert run(kept, "ledger", "verify", file, "--assume", one["last"]).returncode == 5
    done = run(kept, "ledger", "verify", file, "--assume", one["first"], "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["valid"], document["cut"]) == (0, True, one["last"])
    assert document["assumed"]["cut"] == one["first"]
    whole = json.loads(run(kept, "ledger", "verify", str(archive / "index.json"), "--json").stdout)
    assert (whole["valid"], whole["assumed"]) == (True, None)
    assert {**document, "assumed": None, "age_s": whole["age_s"]} == whole
    assert document["records_after"] > 0
    done = run(kept, "ledger", "verify", str(archive / "index.json"), "--from", one["first"], "--assume", one["first"])
    assert done.returncode == 0, done.stderr
    done = run(kept, "ledger", "verify", str(archive / "index.json"), "--from", "00" * 32)
    assert (done.returncode, "no segment that begins with cut" in done.stderr) == (2, True)


def test_an_archive_grows(kept: Path, archive: Path, world: World) -> None:
    """Segments are added to the end, and one that is not complete only on demand."""
    before = {file.name: file.read_bytes() for file in archive.iterdir()}
    arguments = ("ledger", "export", "--dir", str(archive), "--epochs", EPOCHS)
    done = run(kept, *arguments)
    assert (done.returncode, "no further segment of 4 epochs is complete" in done.stderr) == (1, True), done.stderr
    path = world.peers[0].machine.fold.latest.path
    done = run(kept, *arguments, "--to", path[-1].hex())
    assert (done.returncode, "the newest cut has no other on top of it" in done.stderr) == (1, True), done.stderr
    assert {file.name: file.read_bytes() for file in archive.iterdir()} == before
    done = run(kept, *arguments, "--to", path[-2].hex())
    assert done.returncode == 0, done.stderr
    assert len(segments(archive)) == len(before)  # one of them was the index
    assert run(kept, "ledger", "audit", str(archive)).returncode == 0
    done = run(kept, "ledger", "export", "--dir", str(archive.parent / "new"), "--from", path[2].hex())
    assert (done.returncode, "no segment can begin with cut" in done.stderr) == (1, True), done.stderr


def test_a_pruned_home_exports_what_it_has(kept: Path, archive: Path, world: World, tmp_path: Path) -> None:
    """It says with which cut its first segment begins. From there on its records are those of an archive."""
    records = list(world.peers[0].machine.context.ledger.records())
    full = folded(world.network, records)
    base = base_at(full, Archiving(full).path[:7])
    floors = floors_of(decode_state(base.states[0]).state)
    horizon = tuple(HorizonRow(author, *astuple(floor)) for author, floor in sorted(floors.items()))
    home = Home(tmp_path / "pruned")
    home.init()
    shutil.copyfile(kept / "network.toml", home.network_path)
    pruned = PutBase(base.cuts, base.states, horizon, 0)
    trio.run(fill, home.database_path, world.network, records, pruned)
    done = run(home.path, "ledger", "export", str(tmp_path / "whole"))
    assert "nobody can verify them; --dir writes segments" in done.stdout, done.stderr
    arguments = ("ledger", "export", "--dir", str(tmp_path / "left"), "--epochs", EPOCHS)
    done = run(home.path, *arguments)
    assert done.returncode == 1
    assert f"the oldest cut to begin with is --from {base.newest.hex()}" in done.stderr
    assert run(home.path, *arguments, "--from", base.newest.hex()).returncode == 0
    left = segments(tmp_path / "left")
    assert left[-1].name == segments(archive)[-1].name
    assert run(kept, "ledger", "audit", *map(str, left)).returncode == 0
    assert run(home.path, "ledger", "export", "--dir", str(archive), "--epochs", EPOCHS).returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("export",),
        ("export", "file", "--dir", "new"),
        ("export", "file", "--to", "00" * 32),
        ("export", "--dir", "new", "--cut", "00" * 32),
        ("export", "--dir", "new", "--from", "x"),
        ("export", "--dir", "new", "--epochs", "0"),
        ("verify", "whole", "--assume", "00" * 32),
        ("verify", "first", "--rerun", "1"),
        ("audit",),
        ("audit", "absent"),
    ],
)
def test_wrong_calls(kept: Path, archive: Path, arguments: tuple[str, ...]) -> None:
    shutil.copyfile(segments(archive)[0], archive.parent / "first")
    (archive.parent / "whole").touch()
    done = run(kept, "ledger", *arguments, cwd=archive.parent)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert not (archive.parent / "new").exists()
