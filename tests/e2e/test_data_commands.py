"""`data`, `statement` and `trace` against a real node: a network of one founder with the toy engine.

It is no quick test, because it runs forty commands while a node makes cuts.
"""

import json
import shutil
import time
from pathlib import Path

import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.node.data.statements import decode_open_statement
from tests.cli.transcript import Player, matches, read_steps, run

#: Records of data count in a network whose model has a line.
PUBLISHER = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
LINED = ("--line", "cells", "--publisher", PUBLISHER)
LOOK_S = 0.3
SCHEMA = """
label = "diagnosis"
labels = ["benign", "malignant"]

[[feature]]
name = "mean radius"
unit = "mm"
offset = "14.127"
scale = "3.524"
low = "7"
high = "28"
"""
TABLE = """patient,mean radius,diagnosis
Alice Example,17.99,malignant
Bob Example,20.57,malignant
Carol Example,13.54,benign
"""
FOUND = """
$ p2pverify init
new identity in HOME
peer id: 12D3KooW...
next key: ...
it is shown only now; keep it in a safe place, away from this machine: 'p2pverify identity rotate' and 'recover' need it
next: 'p2pverify network new' ...
$ p2pverify network new --name alone --engine toy --epoch-ms 300 --line cells --publisher KEY
network ... in network.toml
founders: 1. ...
weight: ...
warning: the network stops while a founder is away, ...
next: 'p2pverify join network.toml --alone', ...
$ p2pverify data list
no data sets; 'p2pverify data commit FILE' makes one
$ p2pverify join network.toml --alone --listen /ip4/127.0.0.1/tcp/0 &
{"event": "ready", "api": "http://127.0.0.1:...", "peer_id": "12D3KooW...", "addresses": ["/ip4/127.0.0.1/tcp/..."]}
$ p2pverify wait --ready --timeout 50
ready
"""
COMMIT = """
$ p2pverify data commit cells.csv --schema schema.toml --licence CC-BY-4.0,MIT
p2pverify: Invalid value for --licence: not an SPDX expression, such as CC-BY-4.0 or MIT OR 0BSD
hint: 'p2pverify data commit --help' shows how to call it
[2]
$ p2pverify data commit cells.csv --schema schema.toml --licence CC-BY-4.0 --held 2
p2pverify: Invalid value for --held: needs --train
hint: 'p2pverify data commit --help' shows how to call it
[2]
$ p2pverify data commit cells.csv --schema schema.toml --licence CC-BY-4.0 --train open --held 3
p2pverify: Invalid value for --held: the file has 3 rows; ...
hint: 'p2pverify data commit --help' shows how to call it
[2]
$ p2pverify data commit cells.csv --schema schema.toml --licence CC-BY-4.0 --parent 12
p2pverify: Invalid value for --parent: give the 64 hexadecimal digits of an id or of a root
hint: 'p2pverify data commit --help' shows how to call it
[2]
$ p2pverify data commit cells.csv --schema schema.toml --licence CC-BY-4.0 --basis consent
name    cells
rows    3
erased  0
root    ...
record  ...
$ p2pverify data commit cells.csv --schema schema.toml --licence CC-BY-4.0
p2pverify: this home has a data set cells already
hint: choose another name with --name
[1]
$ p2pverify data show cells --row 1
name                    cells
record                  ...
root                    ...
is told                 yes
rows                    3
erased                  0
first root              ...
features                mean radius
label                   diagnosis
row schema              ...
licence                 CC-BY-4.0
basis                   consent
parents                 -
recipe                  -
card                    ...
until epoch             ...
train                   -
held                    -
budget                  -
holds                   yes
row place               1
row values mean radius  7489
row label               malignant
row salt                ...
row holds               yes
$ p2pverify data erase cells --row 1
name    cells
rows    2
erased  1
root    ...
record  ...
$ p2pverify data erase cells --row 1
p2pverify: row 1 of cells is erased
hint: nothing is left of it but a commitment
[1]
$ p2pverify data erase cells --row 9
p2pverify: cells has no row 9
hint: its rows are numbered from 0 to 2
[1]
$ p2pverify data publish cells
name    cells
rows    2
erased  1
root    ...
record  ...
$ p2pverify data show other
p2pverify: this home has no data set other
hint: 'p2pverify data list' shows the data sets of this home
[1]
$ p2pverify statement sign consent.txt --profile consent/1 --subject "study 12" -o one.statement
statement  one.statement
about      study 12
profile    consent/1
author     12D3KooW...
subject    ...
record     ...
$ p2pverify statement sign consent.txt --profile Consent --subject x -o two.statement
p2pverify: Invalid value for --profile: lower-case letters, digits, '.', '-' and '/'
hint: 'p2pverify statement sign --help' shows how to call it
[2]
$ p2pverify statement sign consent.txt --profile consent/1 -o two.statement
p2pverify: say what it is about: with --subject TEXT, or with --about FILE
hint: 'p2pverify statement sign --help' shows how to call it
[2]
$ p2pverify statement sign consent.txt --profile consent/1 --subject x -o one.statement
p2pverify: one.statement exists already
hint: name another file, or replace it with --force
[1]
"""


def printed(home: Path, *args: str) -> dict[str, object]:
    """The JSON that a command prints."""
    done = run(home, *args, cwd=home.parent)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def wait_final(home: Path, statements: int) -> None:
    """Wait until a certified cut holds the statements, by the counters of the recomputed view."""
    for _ in range(100):
        if printed(home, "ledger", "verify", "--json")["totals"].get("statements") == statements:  # type: ignore[attr-defined]
            return
        time.sleep(LOOK_S)  # each look recomputes the whole view
    raise AssertionError("no cut holds the statements")


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture
def player(tmp_path: Path) -> Player:
    for name, text in (("schema.toml", SCHEMA), ("cells.csv", TABLE), ("consent.txt", "Alice Example consents.\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return Player(tmp_path)


def test_from_a_table_to_a_trace(player: Player) -> None:
    """A node commits to rows, erases one, signs statements alone and with another home, and traces them."""
    home, folder = player.home, player.directory
    try:
        _play(player, FOUND.replace("KEY", PUBLISHER) + COMMIT)
        salt = bytes.fromhex(str(printed(home, "data", "show", "cells", "--row", "2", "--json")["row"]["salt"]))  # type: ignore[index]
        _cosign(home, folder)
        wait_final(home, 2)
        _trace(home, folder)
        offered = printed(home, "data", "list", "--all", "--json")["datasets"]
        assert [(one["rows"], one["erased"]) for one in offered] == [(2, 1)]  # type: ignore[attr-defined]
        database = b"".join((home / name).read_bytes() for name in ("node.db", "node.db-wal") if (home / name).exists())
        for secret in (b"Alice Example", b"mean radius", b"study 12", salt, sha256(b"study 12")):
            assert secret not in database
        assert salt in bytes_below(home / "data")
        assert player.background is not None
        assert player.background.poll() is None
    finally:
        if player.background is not None:
            player.background.kill()
            player.background.communicate()


def _play(player: Player, text: str) -> None:
    """Play a transcript whose node goes on in the background."""
    for step in read_steps(text):
        code, said = player._run(step.command)
        shown = said.replace(str(player.home), "HOME")
        assert matches(step.expected, shown), f"$ {step.command}\n{shown}"
        assert code == step.exit_code, f"$ {step.command}\n{shown}[{code}]"


def _cosign(home: Path, folder: Path) -> None:
    """The other party is a home without a node."""
    other = folder / "other"
    assert run(other, "init", cwd=folder).returncode == 0
    shutil.copy(home / "network.toml", other / "network.toml")
    peer = run(other, "init", cwd=folder).stdout.split("peer id: ")[1].split()[0]
    record = str(printed(home, "data", "list", "--json")["datasets"][0]["record"])  # type: ignore[index]
    asked = printed(
        home, "statement", "sign", "consent.txt", "--profile", "dua/1", "--about", "one.statement", "--parent", record,
        "--with", peer, "-o", "asked.statement", "--json",
    )  # fmt: skip
    assert (asked["record"], asked["is_signed_by_both"]) == (None, False)
    assert (folder / "asked.statement").stat().st_mode & 0o777 == 0o600
    for args in (("publish", "asked.statement"), ("verify", "asked.statement")):
        refused = run(home, "statement", *args, cwd=folder)
        assert (refused.returncode, "has not signed" in refused.stderr) == (5, True)
    refused = run(home, "statement", "cosign", "asked.statement", "-o", "x", cwd=folder)
    assert (refused.returncode, "names another party" in refused.stderr) == (1, True)
    shown = run(other, "statement", "verify", "asked.statement", "--document", cwd=folder)
    assert shown.stdout == "Alice Example consents.\n"
    signed = printed(other, "statement", "cosign", "asked.statement", "-o", "both.statement", "--json")
    assert signed["is_signed_by_both"] is True
    assert printed(home, "statement", "publish", "both.statement", "--json")["record"] is not None
    data = bytearray((folder / "both.statement").read_bytes())
    data[-1] ^= 1
    (folder / "forged.statement").write_bytes(bytes(data))
    assert decode_open_statement(bytes(data)).signature
    refused = run(home, "statement", "publish", "forged.statement", cwd=folder)
    assert (refused.returncode, "signature does not hold" in refused.stderr) == (5, True)


def _trace(home: Path, folder: Path) -> None:
    """From the home and from an export, with and without the statements' files."""
    assert run(home, "ledger", "export", "a.ledger", cwd=folder).returncode == 0
    text = run(home, "trace", "one.statement", "--ledger", "a.ledger", "--open", "both.statement", cwd=folder)
    assert text.returncode == 0, text.stderr
    lines = text.stdout.splitlines()
    assert lines[1].split() == ["RECORD", "BY", "WITH", "EPOCH", "WHAT"]
    rows = [line for line in lines[2:] if not line.startswith("  ")]
    assert [row.split()[-1] for row in rows] == ["consent/1", "dua/1", "consent"]
    own = run(home, "init", cwd=folder).stdout.split("peer id: ")[1][8:16]
    assert {row.index(own) for row in rows} == {lines[1].index("BY")}
    assert rows[2].startswith("└─ ")
    assert "  about study 12" in lines
    assert any(line.startswith("  erased: 2 rows left from epoch ") for line in lines)
    subject = str(printed(home, "statement", "verify", "one.statement", "--json")["subject_commitment"])
    found = printed(home, "trace", subject, "--json")
    assert (found["schema"], found["faults"]) == ("p2pverify/trace/1", [])
    nodes: list[dict[str, object]] = found["nodes"]  # type: ignore[assignment]
    assert [node["opened"] for node in nodes] == [None] * 3
    assert all(node["epoch"] is not None for node in nodes)
    held = printed(home, "statement", "verify", "both.statement", "--ledger", "a.ledger", "--json")
    assert held["certified_epoch"] == nodes[1]["epoch"]
    for name, said in (("forged.statement", "signature does not hold"), ("asked.statement", "does not hold")):
        refused = run(home, "trace", subject, "--open", name, cwd=folder)
        assert (refused.returncode, said in refused.stderr) == (5, True), refused.stderr
    nothing = run(home, "trace", "00" * 32, "--ledger", "a.ledger", cwd=folder)
    assert (nothing.returncode, "the ledger knows nothing of it" in nothing.stdout) == (0, True)
    broken = bytearray((folder / "a.ledger").read_bytes())
    broken[-100] ^= 1
    (folder / "b.ledger").write_bytes(bytes(broken))
    assert run(home, "trace", subject, "--ledger", "b.ledger", cwd=folder).returncode == 5
    lost = run(home, "trace", "nowhere", cwd=folder)
    assert (lost.returncode, "nowhere: there is no such file" in lost.stderr) == (2, True)
