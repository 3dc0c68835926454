"""`passport` against a scripted API: the file that it writes, and peers that it does not find."""

from pathlib import Path

import pytest

from p2pverify.node.files.home import Home
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import run
from tests.support.documents import ALICE, PASSPORT, SCORES

ANSWERS = {"/v1/scores?view=final": body(SCORES), f"/v1/passport?peer={ALICE}": body(PASSPORT)}


@pytest.mark.parametrize("name", [ALICE, ALICE[8:16]])
def test_a_passport_is_written_to_a_file(home: Home, tmp_path: Path, name: str) -> None:
    """A short name of a table is enough. An existing file is kept."""
    target = tmp_path / "alice.passport"
    with fake_api(home, ANSWERS):
        done = run(home.path, "passport", name, "-o", str(target))
        again = run(home.path, "passport", name, "-o", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert "cdcd" in done.stdout
    assert "2 bytes" in done.stdout
    assert target.read_bytes() == bytes.fromhex(PASSPORT.passport)
    assert (again.returncode, "exists" in again.stderr) == (1, True)


def test_json_is_the_documents_text(home: Home) -> None:
    with fake_api(home, ANSWERS):
        done = run(home.path, "passport", ALICE, "--json")
    assert (done.returncode, done.stdout.strip().encode()) == (0, body(PASSPORT)[1])


def test_a_peer_that_is_in_no_view_is_said(home: Home) -> None:
    with fake_api(home, ANSWERS):
        done = run(home.path, "passport", "nobody")
    assert done.returncode == 1
    assert "no peer nobody in the newest final view" in done.stderr
