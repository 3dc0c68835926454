"""`doctor` on homes, with and without a node."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_network, manifest_of, new_network
from p2pverify.node.lines.served import ServedFile, keep_version
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import run
from tests.support.documents import STATUS

CONFIG = 'listen = ["/ip4/127.0.0.1/tcp/0"]\nhttp = "127.0.0.1:0"\n'


@pytest.fixture
def joined(home: Home) -> Home:
    """A home that has adopted a network of the toy, before its first start."""
    home.init(CONFIG)
    network, manifests = new_network("small", [public_key(bytes(32))], ToyEngine().info, genesis_ms=0)
    home.network_path.write_text(dump_network(network, manifests))
    return home


def examine(home: Home, *args: str, code: int) -> dict[str, tuple[str, str]]:
    """The health and the advice of each finding."""
    done = run(home.path, "doctor", "--json", *args)
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    assert document["healthy"] is (code == 0)
    return {found["check"]: (found["health"], found["todo"]) for found in document["findings"]}


def test_a_home_before_its_first_start(joined: Home) -> None:
    """The model answers golden questions, so the class is known before anybody waits for it."""
    found = examine(joined, code=0)
    passed = {"identity", "settings", "network", "disk", "ports", "weights", "class"}
    assert {name for name, (health, _) in found.items() if health == "ok"} == passed
    assert {name for name, (health, _) in found.items() if health == "skipped"} == {"database", "node"}
    assert "p2pverify join" in found["node"][1]
    shown = run(joined.path, "doctor", "--quick")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "class     skipped  the model was not run" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_the_version_that_is_served_is_tested(home: Home, tmp_path: Path) -> None:
    """A home that serves a fetched version needs the weights of version 0 no more. Nor does the doctor."""
    home.init(CONFIG + 'engine = "toy"\n')
    base, fetched = tmp_path / "base.bin", tmp_path / "next.bin"
    base.write_bytes(b"version 0")
    fetched.write_bytes(b"version 1")
    line = ("--line", "tiny", "--publisher", peer_id(public_key(bytes(32))), "--notice", "1", "--overlap", "4")
    made = run(
        home.path, "network", "new", "--engine", "toy", "--weights", str(base), "-o", str(home.network_path), *line
    )
    assert made.returncode == 0, made.stderr
    base.unlink()
    assert examine(home, code=1)["class"][0] == "fault"
    network, _ = load_network(home.network_path)
    digest = sha256(fetched.read_bytes())
    place = home.blobs_path / digest.hex()[:2] / digest.hex()
    place.parent.mkdir(parents=True)
    fetched.rename(place)
    info = open_engine("toy", EngineOpening(weights=place)).info
    keep_version(home.version_path, ServedFile(network.classes[0].manifest, manifest_of(info)))
    found = run(home.path, "doctor", "--json")
    findings = {each["check"]: each for each in json.loads(found.stdout)["findings"]}
    assert "of the version that this node serves" in findings["weights"]["text"]
    assert findings["class"]["health"] == "ok", findings["class"]


def test_no_home(home: Home) -> None:
    done = run(home.path, "doctor")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr


def test_a_new_home_is_told_what_comes_next(home: Home) -> None:
    home.init(CONFIG)
    found = examine(home, code=0)
    assert found["network"] == (
        "warning",
        "join one with 'p2pverify join NETWORK-FILE', or found one with 'p2pverify network new'",
    )
    assert found["class"][0] == "skipped"


def break_key(home: Home) -> None:
    home.identity_path.chmod(0o644)


def break_config(home: Home) -> None:
    home.config_path.write_text("lisen = 1\n")


def break_weights(home: Home) -> None:
    home.config_path.write_text(CONFIG + 'weights = "/no/such/file"\n')


def break_network(home: Home) -> None:
    home.network_path.write_text("[network]\n")


def break_database(home: Home) -> None:
    home.database_path.write_bytes(b"no database")


def choose_a_wrong_engine(home: Home) -> None:
    home.config_path.write_text(CONFIG + 'engine = "tabular"\n')


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (break_key, "identity"),
        (break_config, "settings"),
        (break_weights, "settings"),
        (break_network, "network"),
        (break_database, "database"),
        (choose_a_wrong_engine, "weights"),
    ],
)
def test_a_fault_of_the_home(joined: Home, damage: object, check: str) -> None:
    """Each is found, the other checks go on, and there is advice."""
    damage(joined)  # type: ignore[operator]
    found = examine(joined, code=1)
    health, todo = found[check]
    assert health == "fault"
    assert todo
    assert found["disk"][0] == "ok"
    assert {"identity", "settings", "network", "disk", "database", "ports", "weights", "class", "node"} == set(found)


def test_a_taken_port(joined: Home) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        joined.config_path.write_text(f'listen = ["/ip4/127.0.0.1/tcp/{port}"]\n')
        assert examine(joined, "--quick", code=1)["ports"][0] == "fault"


def test_a_node_that_does_not_answer(joined: Home) -> None:
    """Somebody holds the lock of the home, and nobody answers."""
    with joined.lock():
        health, todo = examine(joined, "--quick", code=1)["node"]
    assert health == "fault"
    assert "p2pverify status" in todo


def test_a_running_node(joined: Home) -> None:
    """Its status is examined too. What it uses itself is left alone."""
    with fake_api(joined, {"/v1/status": body(STATUS)}):
        found = examine(joined, code=1)
    assert (found["ports"][0], found["class"][0], found["node"][0]) == ("skipped", "skipped", "ok")
    assert found["ready"][0] == "fault"
    assert found["neighbours"][0] == "ok"


def test_it_changes_nothing(joined: Home) -> None:
    before = {path.name for path in joined.path.iterdir()}
    examine(joined, code=0)
    assert {path.name for path in joined.path.iterdir()} - before <= {joined.lock_path.name}
