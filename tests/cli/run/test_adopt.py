"""A home belongs to the network of its records. A file of another network is refused and changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.cli.errors import CliError
from p2pverify.cli.run.adopt import adopt_network
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_network, new_network
from p2pverify.node.identity.private import HomeError
from p2pverify.store.errors import StoreError
from p2pverify.store.sqlite import Store
from tests.cli.transcript import run
from tests.support.golden import beside_another_model


class Scene:
    """A home, and the files of two networks."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home")
        self.home.init()
        self.own = public_key(self.home.load_identity())
        self.right, self.manifests = new_network("right", [self.own], ToyEngine().info, genesis_ms=1)
        self.wrong = replace(self.right, name="wrong")
        self.files = {network.name: directory / f"{network.name}.toml" for network in (self.right, self.wrong)}
        for network in (self.right, self.wrong):
            self.files[network.name].write_text(dump_network(network, self.manifests))

    def adopt(self, name: str | None) -> Network:
        return adopt_network(self.home, None if name is None else self.files[name], self.own)[0]

    def begin(self) -> None:
        """Give the home records of the right network."""
        Store.open(self.home.database_path, self.right.id, self.own).close()

    def content(self) -> dict[str, bytes]:
        found = {each.name: each.read_bytes() for each in self.home.path.iterdir()}
        found.pop("node.lock", None)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("kept", [None, "right", "wrong", "", "not TOML ["])
def test_the_records_decide(scene: Scene, kept: str | None) -> None:
    """For every network.toml, the wrong file changes nothing, and the right one is accepted and kept."""
    scene.begin()
    if kept is not None:
        scene.home.network_path.write_text(scene.files[kept].read_text() if kept in scene.files else kept)
    before = scene.content()
    with pytest.raises(
        CliError, match=f"is network wrong .*, and the records in .* are of {scene.right.id.hex()[:16]}"
    ):
        scene.adopt("wrong")
    assert scene.content() == before
    assert scene.adopt("right").id == scene.right.id
    assert load_network(scene.home.network_path)[0].id == scene.right.id
    assert scene.adopt(None).id == scene.right.id


def test_without_a_file_the_kept_one_must_be_of_the_records(scene: Scene) -> None:
    """A network file that is missing or of another network is reported, with the right network."""
    with pytest.raises(CliError, match="belongs to no network yet"):
        scene.adopt(None)
    scene.begin()
    with pytest.raises(CliError, match=f"is missing; the records .* of network {scene.right.id.hex()[:16]}"):
        scene.adopt(None)
    scene.home.network_path.write_text(scene.files["wrong"].read_text())
    with pytest.raises(CliError, match=f"is network wrong .* records in this home are of {scene.right.id.hex()[:16]}"):
        scene.adopt(None)


def test_before_there_are_records_the_first_file_decides(scene: Scene) -> None:
    """A home that has joined stays with its network, even before its first record."""
    assert scene.adopt("wrong").id == scene.wrong.id
    with pytest.raises(CliError, match=r"belongs to network wrong .*, not to right"):
        scene.adopt("right")
    assert scene.adopt(None).id == scene.wrong.id


def test_another_identity_beside_the_records_is_named(scene: Scene) -> None:
    """The records of one peer are useless to another, so nothing is written for it."""
    scene.begin()
    scene.home.identity_path.unlink()
    scene.home.identity_path.write_text("5" * 64 + "\n")
    scene.home.identity_path.chmod(0o600)
    scene.own = public_key(scene.home.load_identity())
    before = scene.content()
    for name in ("right", "wrong", None):
        with pytest.raises(CliError, match=r"identity in .* is not the one that wrote the records"):
            scene.adopt(name)
    assert scene.content() == before


@pytest.mark.parametrize("content", [b"", b"hello", bytes(8192)])
def test_a_database_that_is_none_is_named_before_anything_is_written(scene: Scene, content: bytes) -> None:
    """It could have been of another network."""
    scene.home.database_path.write_bytes(content)
    before = scene.content()
    with pytest.raises(StoreError):
        scene.adopt("right")
    assert scene.content() == before


def test_a_home_in_use_is_not_written_to(scene: Scene) -> None:
    """Two first joins with different files run one after the other, and the second finds the file that the first
    kept."""
    with scene.home.lock():
        with pytest.raises(HomeError, match="in use"):
            scene.adopt("right")
        assert not scene.home.network_path.exists()
        scene.begin()
        with pytest.raises(CliError, match="is network wrong"):
            scene.adopt("wrong")


def test_manifests_of_both_files_are_kept(scene: Scene) -> None:
    """The network id covers the digests of manifests. A file with more inline manifests is the same network."""
    network, manifests = beside_another_model(scene.right, scene.manifests)
    assert len(manifests) == 2
    for number, held in enumerate((manifests[:1], manifests[1:], manifests[:1])):
        path = scene.files["right"]
        path.write_text(dump_network(network, held))
        adopted = adopt_network(scene.home, path, scene.own)
        assert set(adopted[1]) == set(manifests[:1] if number == 0 else manifests)
        assert load_network(scene.home.network_path) == (network, adopted[1])


def test_join_says_it(scene: Scene) -> None:
    """The command ends with two lines and exit code 1 before an engine is loaded."""
    scene.begin()
    done = run(scene.home.path, "join", str(scene.files["wrong"]), "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns")
    assert done.returncode == 1
    assert "records in" in done.stderr
    assert "nothing was changed" in done.stderr.splitlines()[-1]
    assert not scene.home.network_path.exists()
