"""`ledger export --dir`, `ledger audit`, and `ledger verify` of segments, with the home of a stopped peer."""

import json
import shutil
from pathlib import Path

import pytest
import trio

from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.cli.show.test_ledger import fill
from tests.cli.transcript import run
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
    assert "assumed: nothing, because the history begins with the network itself" in done.stdout
    for file in files[1:]:
        document = json.loads(run(kept, "ledger", "audit", str(file), "--json").stdout)
        assert document["valid"]
        assert document["assumed"]["cut"] == document["segments"][0]["first"]
