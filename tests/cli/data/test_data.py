"""`data` in a home whose node does not run."""

from pathlib import Path

from p2pverify.cli.setup.init import own_key
from p2pverify.core.data.commitments import commit_card
from p2pverify.node.data.making import Terms, new_dataset
from p2pverify.node.data.store import DataStore
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.cli.transcript import run
from tests.e2e.test_data_commands import SCHEMA, TABLE, printed
from tests.node.fakes import FakeEngine
from tests.support.datasets import SCHEMA as SHARED_SCHEMA
from tests.support.datasets import rows


def test_without_a_node(home: Home, tmp_path: Path) -> None:
    """Nothing is kept that could not be published. What is erased is gone all the same, and is published later."""
    home.init()
    (tmp_path / "schema.toml").write_text(SCHEMA, encoding="utf-8")
    (tmp_path / "cells.csv").write_text(TABLE, encoding="utf-8")
    home.network_path.write_text(dump_network(*new_network("n", [own_key(home)], FakeEngine().info, genesis_ms=1)))
    commit = ("data", "commit", "cells.csv", "--schema", "schema.toml", "--licence", "MIT")
    refused = run(home.path, *commit, cwd=tmp_path)
    assert (refused.returncode, "no node was ever started" in refused.stderr) == (3, True)
    store = DataStore(home)
    assert store.names() == []
    own = new_dataset("cells", SHARED_SCHEMA, rows(3), Terms("MIT", 0, (), None, 9), None)
    store.add(own)
    refused = run(home.path, "data", "erase", "cells", "--row", "1", "--why", "mistake", cwd=tmp_path)
    assert (refused.returncode, "then call 'p2pverify data publish cells'" in refused.stderr) == (3, True)
    left = store.get("cells")
    assert (left.rows[1].salt, left.code, left.told) == (b"", 4, b"")
    card = printed(home.path, "data", "card", "cells", "--json")
    assert commit_card(bytes.fromhex(str(card["salt"])), str(card["card"]).encode()) == own.said.card
    shown = printed(home.path, "data", "show", "cells", "--row", "2", "--json")
    assert (shown["is_told"], shown["row"]["holds"], shown["row"]["place"]) == (False, True, 2)  # type: ignore[index]
    file = home.path / "data" / "cells.rows"
    file.write_bytes(file.read_bytes().replace(own.card_salt, bytes(32)))
    broken = run(home.path, "data", "show", "cells", cwd=tmp_path)
    assert (broken.returncode, "are not those of its record" in broken.stderr) == (5, True)
