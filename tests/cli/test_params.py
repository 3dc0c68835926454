"""Files, addresses, ports and homes in options are checked before anything is loaded or made."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from p2pverify.cli.main import COMMANDS, main
from p2pverify.cli.params import InputFile
from p2pverify.cli.run.adopt import adopt_network
from p2pverify.cli.run.join import _tell_of_bootstraps
from p2pverify.cli.setup.init import own_key
from p2pverify.core.encoding.peerid import key_of
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_network, new_network
from tests.cli.transcript import run
from tests.node.fakes import FakeEngine

PEER = "12D3KooWSP57aGZQFeT62guhLo4JtDYJdYxtewsz9NaJaCuCz2YY"
#: Options and arguments with paths that the command writes or makes.
WRITTEN = {
    ("testnet", "keep"), ("testnet", "page_file"), ("model selftest", "manifest_file"),
    ("model calibrate", "manifest_file"),
    ("model canary new", "secrets_file"), ("model canary new", "manifest_file"), ("model canary show", "output"),
    ("model canary ask", "output"), ("ledger export", "file"), ("ledger export", "folder"), ("model add", "output"),
    ("model derive", "output"), ("model export", "output"), ("model import", "output"), ("model publish", "output"),
    ("init", "next_file"), ("identity next", "file"), ("identity rotate", "file"), ("identity recover", "file"),
    ("identity export", "file"),
    ("model recall", "output"), ("model publishers", "output"), ("model publisher-key new", "file"),
}  # fmt: skip
OPERATORS = ["--listen", "--announce", "--bootstrap", "--http"]


def _leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for sub, child in command.commands.items():
        yield from _leaves(child, f"{name} {sub}")


def _all() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        yield from _leaves(command, name)


READ = [(name, p) for name, command in _all() for p in command.params if isinstance(p.type, InputFile)]


def test_every_path_is_read_or_written() -> None:
    """An option with a path is checked when it is parsed, unless the command writes there."""
    paths = {
        (name, param.name)
        for name, command in _all()
        for param in command.params
        if isinstance(param.type, click.Path) and not isinstance(param.type, InputFile) and param.name != "home"
    }
    assert paths <= WRITTEN
    assert {("join", "weights"), ("join", "network_file"), ("network show", "file")} <= {(n, p.name) for n, p in READ}


@pytest.mark.parametrize(("name", "param"), READ, ids=[f"{name} {param.name}" for name, param in READ])
def test_a_file_that_is_not_there(name: str, param: click.Parameter, tmp_path: Path) -> None:
    """Every command ends with 2, names the file with advice, and makes nothing."""
    (tmp_path / "there").touch()
    command = dict(_all())[name]
    args = name.split()
    for other in command.params:
        value = "absent" if other is param else "there"
        if isinstance(other, click.Argument) and (other.required or other is param):
            args.append(value)
        elif other is param or other.required:
            args += [other.opts[0], value]
    done = run(tmp_path / "home", *args, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "absent: there is no such file\nhint: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    done = run(tmp_path / "home", *(str(tmp_path) if arg == "absent" else arg for arg in args), cwd=tmp_path)
    assert (done.returncode, "is a directory" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "args",
    [["ledger", "verify", "absent"], ["ledger", "verify", "there", "--network", "absent"], ["testnet", "absent"],
     ["testnet", "--simulate", "absent"], ["model", "canary", "new", "absent", "--manifest", "m", "--merge"]],
    ids=" ".join,
)  # fmt: skip
def test_a_file_that_need_not_be_one(args: list[str], tmp_path: Path) -> None:
    """A value that may also be an id, a scenario's name or standard input is checked like other files."""
    (tmp_path / "there").touch()
    done = run(tmp_path / "home", *args, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "absent" in done.stderr
    assert "no such file" in done.stderr.lower()


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "n.toml"
    path.write_text(dump_network(*new_network("n", [key_of(PEER)], FakeEngine().info, genesis_ms=1)))
    return path


@pytest.mark.parametrize(
    "args",
    [
        ["join"], ["join", "FILE"], ["network", "new", "--engine", "toy"], ["network", "show", "FILE"], ["status"],
        ["peers"], ["scores"], ["audits"], ["audits", "show", "x"], ["wait", "--timeout", "0"], ["leave", "--yes"],
        ["config", "show"], ["ledger", "export", "out"], ["model", "canary", "check", "FILE"],
        ["model", "canary", "ask", "FILE", f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}", "-o", "out", "--own-identity"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mistyped_home_is_not_made(args: list[str], network_file: Path, tmp_path: Path) -> None:
    """Only `init` makes a home and an identity."""
    done = run(tmp_path / "typo", *(str(network_file) if arg == "FILE" else arg for arg in args), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
    if args[0] == "join" or args[:2] == ["network", "new"]:
        assert (done.returncode, "does not exist" in done.stderr, "init'" in done.stderr) == (2, True, True)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_an_empty_home_is_refused(place: str, tmp_path: Path) -> None:
    """`--home "$UNSET"` is a mistake, and must not use the default home."""
    args = ["--home", "", "init"] if place == "before" else ["init", "--home", ""]
    done = run(tmp_path / "home", *args)
    assert (done.returncode, "--home" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", OPERATORS)
@pytest.mark.parametrize("value", ["8080", "", "/ip4/224.0.0.1/tcp/4747", f"/ip4/192.0.2.1/udp/4747/p2p/{PEER}"])
def test_an_address_of_no_use(option: str, value: str, tmp_path: Path) -> None:
    """It is reported with its option before the network file or any model is loaded."""
    home = Home(tmp_path / "home")
    home.init()
    done = run(home.path, "join", option, value)
    assert done.returncode == 2, done.stderr
    assert f"Invalid value for {option}: {value!r}" in done.stderr
    assert sorted(path.name for path in home.path.iterdir()) == ["identity.key", "unused"]


@pytest.mark.parametrize("option", ["--listen", "--announce"])
def test_an_address_of_another_peer(option: str, tmp_path: Path) -> None:
    """No other peer listens where this node listens."""
    home = Home(tmp_path / "home")
    home.init()
    text = f"/ip4/127.0.0.1/tcp/4747/p2p/{PEER}"
    done = run(home.path, "join", option, text)
    assert (done.returncode, f"{text!r} names another peer" in done.stderr) == (2, True)
    key = option.removeprefix("--")
    home.config_path.write_text(f'{key} = "{text}"' if key == "listen" else f'{key} = ["{text}"]')
    done = run(home.path, "join")
    assert (done.returncode, f"key '{key}' of config.toml: {text!r} names another peer" in done.stderr) == (2, True)


def test_too_many_announced_addresses(tmp_path: Path) -> None:
    """Addresses above the limit of the protocol are refused, and not silently dropped."""
    home = Home(tmp_path / "home")
    home.init()
    many = [part for n in range(5) for part in ("--announce", f"/ip4/192.0.2.{n + 1}/tcp/1")]
    done = run(home.path, "join", *many)
    assert (done.returncode, "at most 4" in done.stderr) == (2, True)


@pytest.mark.parametrize("key", ["weights", "llama_variants", "corpus", "replay"])
def test_a_file_of_the_settings_that_is_not_there(key: str, network_file: Path, tmp_path: Path) -> None:
    """It is reported with its key, and nothing starts."""
    home = Home(tmp_path / "home")
    home.init()
    home.config_path.write_text(f'{key} = "{tmp_path}/absent"\ncover_per_epoch = 1.0\n')
    done = run(home.path, "join", str(network_file))
    assert (done.returncode, "no such file" in done.stderr, f"'{key}' in config.toml" in done.stderr) == (2, True, True)
    assert not home.network_path.exists()


@pytest.mark.parametrize("option", ["--listen", "--http"])
def test_a_port_in_use_is_found_before_the_model_is_loaded(option: str, network_file: Path, tmp_path: Path) -> None:
    """Invalid weights would be found later."""
    home, weights = Home(tmp_path / "home"), tmp_path / "w.gguf"
    home.init()
    weights.write_bytes(b"none")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        places = {"--listen": "/ip4/127.0.0.1/tcp/0", "--http": "127.0.0.1:0"}
        places[option] = f"/ip4/127.0.0.1/tcp/{port}" if option == "--listen" else f"127.0.0.1:{port}"
        args = [part for item in places.items() for part in item]
        done = run(home.path, "join", str(network_file), "--engine", "llama", "--weights", str(weights), *args)
    assert done.returncode == 1
    assert f"127.0.0.1 port {port}" in done.stderr
    assert option in done.stderr


def test_one_port_for_both_is_found_at_once(network_file: Path, tmp_path: Path) -> None:
    """Peers and the local API cannot share a port."""
    home, weights = Home(tmp_path / "home"), tmp_path / "w.gguf"
    home.init()
    weights.write_bytes(b"none")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = ("--listen", f"/ip4/0.0.0.0/tcp/{port}", "--http", f"127.0.0.1:{port}")
    done = run(home.path, "join", str(network_file), "--engine", "llama", "--weights", str(weights), *place)
    assert (done.returncode, f"127.0.0.1 port {port}" in done.stderr) == (1, True)


def test_a_network_file_may_come_through_a_pipe(network_file: Path, tmp_path: Path) -> None:
    """It is read once, and the home keeps its content."""
    home, pipe = Home(tmp_path / "home"), tmp_path / "pipe"
    home.init()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(network_file.read_bytes(),))
    writer.start()
    adopted = adopt_network(home, pipe, own_key(home))
    writer.join()
    assert adopted == load_network(network_file) == load_network(home.network_path)


def test_odd_bootstraps_leave_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """The own address and an address without a peer are logged at the default level. An ordinary one is not."""
    other = "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust"
    own, nameless = f"/ip4/192.0.2.2/tcp/1/p2p/{PEER}", "/dns4/a.example/tcp/1"
    with caplog.at_level(logging.INFO):
        _tell_of_bootstraps([other, own, nameless], key_of(PEER))
    assert len(caplog.messages) == 2
    assert own in caplog.messages[0]
    assert "itself" in caplog.messages[0]
    assert nameless in caplog.messages[1]
