"""`network fork`: the file of a network that goes on from a cut, with the state beside it, and joining with both."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from p2pverify.cli.errors import CliError
from p2pverify.cli.main import main
from p2pverify.cli.run.adopt import adopt_network
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.records.envelope import Record
from p2pverify.core.state.state import State
from p2pverify.core.state.weights import weighted_peers
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_network, load_start, state_path
from p2pverify.node.files.textfile import FileError
from p2pverify.store.sqlite import Store
from p2pverify.store.writes import PutRecord
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.support.worlds import make_world


@pytest.fixture(scope="module")
def world() -> World:
    """Four founders after a few certified cuts."""
    world = make_world(4, seed=3)
    world.run_epochs(6)
    assert world.peers[0].machine.fold.latest.index > 2
    return world


@pytest.fixture(scope="module")
def kept(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first founder's home, and an export of it."""
    home = Home(tmp_path_factory.mktemp("fork") / "home")
    home.init()
    home.identity_path.write_text(world.identities[0].seed.hex())
    home.network_path.write_text(dump_network(world.network, (MANIFEST,)))
    records = list(world.peers[0].machine.context.ledger.records())
    trio.run(fill, home.database_path, world.network, world.peers[0].key, records)
    done = CliRunner().invoke(main, ["--home", str(home.path), "ledger", "export", str(home.path.parent / "whole")])
    assert done.exit_code == 0, done.output
    return home.path


async def fill(path: Path, network: Network, own: bytes, records: list[Record]) -> None:
    with closing(Store.open(path, network.id, own)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            await store.append(
                [PutRecord(r.id, r.author, r.seq, r.kind, r.epoch, r.data, received=True) for r in records]
            )
            nursery.cancel_scope.cancel()


class Scene:
    """A copy of the home, and the name of the file for the fork."""

    def __init__(self, world: World, kept: Path, directory: Path) -> None:
        shutil.copytree(kept, directory / "home")
        shutil.copyfile(kept.parent / "whole", directory / "whole")
        self.world = world
        self.home = Home(directory / "home")
        self.export = directory / "whole"
        self.file = directory / "fork.toml"
        self.own = public_key(self.home.load_identity())
        self.last = world.peers[3].key
        self.latest: State = world.peers[0].machine.fold.latest

    def call(self, *options: str, file: Path | None = None) -> Result:
        chosen = [] if file is None else [str(file)]
        given = ["--home", str(self.home.path), "network", "fork", *chosen, "-o", str(self.file), *options]
        return CliRunner().invoke(main, given)

    def fork(self, *options: str) -> Network:
        done = self.call("--without", peer_id(self.last), *options)
        assert done.exit_code == 0, done.output
        return load_network(self.file)[0]

    def adopt(self, path: Path | None) -> Network:
        return adopt_network(self.home, path, self.own)[0]


@pytest.fixture
def scene(world: World, kept: Path, tmp_path: Path) -> Scene:
    return Scene(world, kept, tmp_path)


# ---------------------------------------------------------------- the command


def test_the_network_goes_on_from_the_newest_cut_without_a_member(scene: Scene) -> None:
    done = scene.call("--without", peer_id(scene.last))
    network, manifests = load_network(scene.file)
    start = load_start(scene.file, network)
    assert network.origin is not None
    assert (network.origin.network, network.origin.cut) == (scene.world.network.id, scene.latest.id)
    assert replace(network, origin=None, founders=scene.world.network.founders) == scene.world.network
    assert manifests == (MANIFEST,)
    assert start is not None
    assert (start.epoch, start.index) == (scene.latest.epoch, scene.latest.index)
    assert weighted_peers(start) == [peer for peer in sorted(start.members) if peer != scene.last]
    for told in (network.id.hex(), network.origin.cut.hex(), peer_id(scene.last), "3 of 4 members keep it; 2 of them"):
        assert told in done.output
    assert f"join {scene.file}" in done.output


def test_a_member_that_is_away_keeps_its_place(scene: Scene) -> None:
    other = scene.world.peers[2].key
    done = scene.call("--without", peer_id(scene.last), "--away", peer_id(other), "--away", peer_id(scene.last))
    assert done.exit_code == 0, done.output
    network, _ = load_network(scene.file)
    start = load_start(scene.file, network)
    assert start is not None
    assert len(weighted_peers(start)) == 2
    assert (start.members[other].rests_from >= 0, start.members[scene.last].rests_from) == (True, -1)
    assert f"{peer_id(other)}, which rests until it comes along" in done.output


def test_the_home_and_an_export_give_the_same_bytes(scene: Scene) -> None:
    """The clock has no part in them. The manifest is among the records of the export."""
    network = scene.fork()
    before = scene.file.read_bytes(), state_path(scene.file).read_bytes()
    (scene.home.path / "network.toml").unlink()
    done = scene.call("--without", peer_id(scene.last), "--force", file=scene.export)
    assert done.exit_code == 0, done.output
    assert (scene.file.read_bytes(), state_path(scene.file).read_bytes()) == before
    assert load_network(scene.file)[0].id == network.id


def test_an_earlier_cut_can_be_chosen(scene: Scene) -> None:
    earlier = scene.latest.path[-3]
    done = scene.call("--from", earlier.hex())
    assert done.exit_code == 0, done.output
    network, _ = load_network(scene.file)
    start = load_start(scene.file, network)
    assert network.origin is not None
    assert start is not None
    assert (network.origin.cut, start.index) == (earlier, scene.latest.index - 2)
    assert len(weighted_peers(start)) == 4


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ((), 1, "no member has signed a cut with a conviction that these peers contest: 12D3KooW"),
        (("--from", "00" * 32), 1, "these records certify no cut 0000000000000000"),
        (("--from", "NETWORK"), 1, "these records certify no cut"),
        (("--from", "newest"), 2, "64 hexadecimal digits"),
        (("--without", "STRANGER"), 2, "the cut knows no 12D3KooW"),
        (("--without", "Alice"), 2, "is not a peer id"),
        (("--objector", "Alice"), 2, "is not a peer id"),
        (("-o", "-", "--without", "LAST"), 2, "name the network file"),
        (("--without", "ALL"), 1, "no network can go on from this cut: no member keeps its weight"),
        (("--network", "OTHER", "--without", "LAST"), 1, "and the records are of"),
    ],
)
def test_what_cannot_be_forked(scene: Scene, options: tuple[str, ...], code: int, told: str) -> None:
    """Nothing is written then."""
    keys = sorted(scene.latest.members)
    (scene.file.parent / "other.toml").write_text(dump_network(replace(scene.world.network, name="other"), (MANIFEST,)))
    names = {
        "NETWORK": [scene.world.network.id.hex()],
        "STRANGER": [peer_id(public_key(bytes(32)))],
        "LAST": [peer_id(scene.last)],
        "OTHER": [str(scene.file.parent / "other.toml")],
        "ALL": [peer_id(keys[0]), *(part for key in keys[1:] for part in ("--without", peer_id(key)))],
    }
    done = scene.call(*(part for option in options for part in names.get(option, [option])))
    assert (done.exit_code, told in done.output) == (code, True), done.output
    assert not scene.file.exists()
    assert not state_path(scene.file).exists()


def test_existing_files_are_not_replaced_without_force(scene: Scene) -> None:
    for file in (scene.file, state_path(scene.file)):
        file.write_text("precious")
        done = scene.call("--without", peer_id(scene.last))
        assert (done.exit_code, "exists already" in done.output) == (1, True)
        assert file.read_text() == "precious"
        file.unlink()
    scene.fork()
    scene.fork("--force")


def test_a_fork_is_shown_with_its_origin(scene: Scene) -> None:
    network = scene.fork()
    assert network.origin is not None
    shown = CliRunner().invoke(main, ["network", "show", str(scene.file)]).output
    assert "FOUNDER" not in shown
    for each in (network.origin.network, network.origin.cut, network.origin.state):
        assert each.hex() in shown


# ---------------------------------------------------------------- joining with it


def test_joining_puts_the_old_network_aside(scene: Scene) -> None:
    """The folder can be read like a home. Joining once more changes nothing."""
    network = scene.fork()
    (scene.home.path / "leaving").write_text("this peer left the old network")
    assert scene.adopt(scene.file).id == network.id
    assert not scene.home.database_path.exists()
    assert not scene.home.wants_leave()
    assert load_start(scene.home.network_path, network) is not None
    left = scene.home.path / f"left-{scene.world.network.id.hex()[:16]}"
    assert load_network(left / "network.toml")[0].id == scene.world.network.id
    done = CliRunner().invoke(main, ["--home", str(left), "ledger", "verify"])
    assert (done.exit_code, scene.latest.id.hex() in done.output) == (0, True), done.output
    Store.open(scene.home.database_path, network.id, scene.own).close()
    assert scene.adopt(scene.file).id == scene.adopt(None).id == network.id
    assert sorted(each.name for each in left.iterdir()) == ["leaving", "network.toml", "node.db"]


def test_a_move_that_ended_early_is_finished(scene: Scene) -> None:
    """The network file may still be there, or the database."""
    network = scene.fork()
    left = scene.home.path / f"left-{scene.world.network.id.hex()[:16]}"
    left.mkdir()
    scene.home.database_path.rename(left / "node.db")
    assert scene.adopt(scene.file).id == network.id
    assert sorted(each.name for each in left.iterdir()) == ["network.toml", "node.db"]


def test_nothing_that_was_put_aside_is_replaced(scene: Scene) -> None:
    network = scene.fork()
    left = scene.home.path / f"left-{scene.world.network.id.hex()[:16]}"
    left.mkdir()
    (left / "node.db").write_text("precious")
    scene.adopt(scene.file)
    assert (left / "node.db").read_text() == "precious"
    assert (left.with_name(f"{left.name}-2") / "node.db").exists()
    assert load_network(scene.home.network_path)[0].id == network.id


@pytest.mark.parametrize("change", ["missing", "another", "cut short", "not a state"])
def test_without_the_right_state_nothing_is_changed(scene: Scene, change: str) -> None:
    scene.fork()
    beside = state_path(scene.file)
    data = beside.read_bytes()
    beside.unlink()
    if change == "another":
        other = scene.file.with_name("other.toml")
        done = scene.call("--from", scene.latest.id.hex(), "-o", str(other))
        assert done.exit_code == 0, done.output
        beside.write_bytes(state_path(other).read_bytes())
    elif change != "missing":
        beside.write_bytes(data[:-1] if change == "cut short" else b"\x80")
    before = {each.name: each.read_bytes() for each in scene.home.path.iterdir()}
    with pytest.raises(FileError) as refused:
        scene.adopt(scene.file)
    assert str(beside) in refused.value.reason
    assert "beside the network file" in refused.value.hint
    reasons = {"missing": "no such file", "another": "not the state that the network definition names"}
    assert reasons.get(change, "") in refused.value.reason
    assert {each.name: each.read_bytes() for each in scene.home.path.iterdir()} == before


def test_a_home_that_lost_its_state_gets_it_again(scene: Scene) -> None:
    network = scene.fork()
    scene.adopt(scene.file)
    kept = state_path(scene.home.network_path)
    data = kept.read_bytes()
    for damage in (b"", data[:-1]):
        kept.write_bytes(damage)
        with pytest.raises(FileError):
            load_start(scene.home.network_path, network)
        scene.adopt(scene.file)
        assert kept.read_bytes() == data


def test_a_fork_of_another_network_is_refused(scene: Scene) -> None:
    """Only the network of the home is left, and only for a network that goes on from it."""
    network = scene.fork()
    assert network.origin is not None
    other = replace(network, origin=replace(network.origin, network=bytes(32)))
    scene.file.write_text(dump_network(other, (MANIFEST,)))
    with pytest.raises(FileError, match="not the state"):
        scene.adopt(scene.file)
    assert scene.home.database_path.exists()
    home = Home(scene.home.path.with_name("stranger"))
    home.init()
    Store.open(home.database_path, bytes(32), public_key(home.load_identity())).close()
    scene.fork("--force")
    with pytest.raises(CliError, match="and the records in"):
        adopt_network(home, scene.file, public_key(home.load_identity()))
    assert home.database_path.exists()
