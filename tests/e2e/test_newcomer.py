"""A machine without weights joins: it fetches those that the network serves, serves them, and starts with them again.

It is no quick test, because two nodes make certified cuts. The engine is the toy, for which any file is a model.
"""

from pathlib import Path

from p2pverify.core.encoding.canon import sha256
from tests.e2e.test_version_commands import Shell
from tests.support.joined import joined

NEXT = bytes(range(256)) * 8192


def test_a_machine_without_weights_fetches_what_is_served(tmp_path: Path) -> None:
    first, second = Shell(tmp_path / "first"), Shell(tmp_path / "second")
    for shell in (first, second):
        shell.folder.mkdir()
        shell.text("init")
    settings = first.home / "config.toml"
    settings.write_text(settings.read_text() + "\n[blobs]\nserve = true\n")
    (first.folder / "base.bin").write_bytes(b"the model with which the network begins")
    (first.folder / "next.bin").write_bytes(NEXT)
    key = first.json("model", "publisher-key", "new", "a.key")["key"]
    line = ("--line", "tiny", "--publisher", key, "--notice", "1", "--overlap", "4")
    first.text("network", "new", "--engine", "toy", "--weights", "base.bin", "--epoch-ms", "600", *line)
    network, weights = first.folder / "network.toml", ("--weights", str(first.folder / "base.bin"))
    with joined(first.home, network, "--alone", *weights) as address:
        first.text("wait", "--ready")
        refused = second.text("join", str(network), "--bootstrap", address, code=1)
        assert "has no weights of the network's models" in refused
        first.text("model", "publish", "next.bin", "--how", "initial", "--key", "a.key")
        first.text("model", "publish", "--submit", "release-1.json")
        first.until(lambda found: len(found) == 2 and found[1]["status"] == "current" and found[1]["here"])
        first.text("model", "serve", "tiny@1")
        first.until(lambda found: bool(found[1]["servers"]))
        with joined(second.home, network, "--bootstrap", address, "--fetch"):
            second.until(lambda found: len(found) == 2 and len(found[1]["servers"]) == 2)
            second.text("wait", "--ready")
        kept = second.home / "blobs" / sha256(NEXT).hex()[:2] / sha256(NEXT).hex()
        assert kept.read_bytes() == NEXT
        with joined(second.home, network, "--bootstrap", address):
            found = second.until(lambda found: found[0]["status"] == "retired" and found[1]["here"])
            assert not found[0]["here"]
            second.text("wait", "--ready")
