"""`key`: it is shown once, listed without itself, and revoked."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from p2pverify.cli.main import main
from p2pverify.store.clients.keys import StoredKeys


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert CliRunner().invoke(main, ["--home", str(tmp_path / "home"), "init"]).exit_code == 0
    return tmp_path / "home"


def key(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), "key", *arguments])


async def test_a_key_from_its_beginning_to_its_end(home: Path) -> None:
    """Standard output has the key alone, so that a script can keep it."""
    assert "no keys" in key(home, "list").stdout
    secret = key(home, "add", "alice", "--per-minute", "7", "--at-once", "2").stdout.strip()
    ring = StoredKeys(home / "clients.db")
    client = await ring.find(secret)
    assert client is not None
    assert (client.name, client.per_minute, client.at_once) == ("alice", 7, 2)
    made = json.loads(key(home, "add", "bob", "--json").stdout)
    assert await ring.find(made["key"]) is not None
    listed = json.loads(key(home, "list", "--json").stdout)["keys"]
    assert {one["name"] for one in listed} == {"alice", "bob"}
    assert secret not in key(home, "list").stdout
    assert "alice" in key(home, "list").stdout
    assert key(home, "revoke", client.id).exit_code == 0
    assert await ring.find(secret) is None
    again = key(home, "revoke", client.id)
    assert (again.exit_code, "there is no key" in again.output) == (1, True)


@pytest.mark.parametrize(
    "wrong", [("add",), ("add", ""), ("add", "x" * 65), ("add", "a\nb"), ("add", "a", "--per-minute", "0"), ("revoke",)]
)
def test_wrong_calls_say_so(home: Path, wrong: tuple[str, ...]) -> None:
    assert key(home, *wrong).exit_code == 2


def test_without_a_home_it_says_what_to_do(tmp_path: Path) -> None:
    found = key(tmp_path / "nothing", "add", "alice")
    assert found.exit_code != 0
    assert not (tmp_path / "nothing").exists()
