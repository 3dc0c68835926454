"""`identity`: next keys, rotation, recovery, and moves between homes."""

import json
from pathlib import Path

import pytest

from p2pverify.cli.identity.moving import finish_move, handover_paper, write_paper
from p2pverify.core.encoding import box, sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.records.envelope import Kind, make_record
from p2pverify.core.records.payloads.keys.handover import Keys, consent_bytes, next_digest
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.node.identity.keyfile import VARIABLE
from p2pverify.node.identity.papers import IdentityPapers
from p2pverify.node.identity.private import HomeError
from p2pverify.store.reading import own_count, owner_of, reading
from p2pverify.store.schema import create
from tests.cli import transcript
from tests.cli.transcript import run
from tests.support.networks import MANIFEST, make_network, seeds

NETWORK = make_network(seeds(2))


def said(home: Home, *args: str, code: int = 0) -> str:
    done = run(home.path, *args)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def made(home: Home, tmp_path: Path) -> bytes:
    """Make a home of a network. Returns the seed of its next key."""
    said(home, "init", "--next-key", str(tmp_path / "next.key"))
    home.network_path.write_text(dump_network(NETWORK, (MANIFEST,)))
    return bytes.fromhex((tmp_path / "next.key").read_text().strip())


def kept(home: Home, count: int) -> None:
    """A database with some own records."""
    seed = home.load_identity()
    create(home.database_path, NETWORK.id, public_key(seed))
    with reading(home.database_path) as database:
        prev = bytes(32)
        for seq in range(count):
            record = make_record(
                seed, public_key(seed), NETWORK.id, epoch=1, seq=seq, prev=prev, kind=Kind.LEAVE, payload=b"\x80"
            )
            prev = record.id
            columns = (seq, record.id, record.author, seq, record.kind, 1, record.data, 0)
            database.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", columns)
            database.execute("INSERT INTO own_log VALUES (?, ?)", (seq, record.id))


def test_the_next_key_is_shown_once_and_never_kept(home: Home, tmp_path: Path) -> None:
    shown = next(line for line in said(home, "init").splitlines() if line.startswith("next key: "))
    seed = bytes.fromhex(shown.removeprefix("next key: "))
    assert IdentityPapers(home).next_key == next_digest(public_key(seed))
    assert not any(seed.hex() in path.read_text() for path in home.path.iterdir() if path.is_file())
    assert "has a next key" in said(home, "identity", "next", code=1)
    said(home, "identity", "next", "--replace", "--write", str(tmp_path / "other"))
    assert (tmp_path / "other").stat().st_mode & 0o077 == 0
    home.unused_path.unlink()
    assert "named in the ledger" in said(home, "identity", "next", "--replace", code=1)


def test_a_rotation_signs_for_the_next_key_and_keeps_the_records(home: Home, tmp_path: Path) -> None:
    new = made(home, tmp_path)
    old = home.load_identity()
    kept(home, 3)
    stranger = tmp_path / "stranger.key"
    stranger.write_text(bytes(32).hex())
    stranger.chmod(0o600)
    assert "not the next key" in said(home, "identity", "rotate", "--key", str(stranger), code=1)
    said(home, "identity", "rotate", "--key", str(tmp_path / "next.key"), "--write", str(tmp_path / "after.key"))
    assert home.load_identity() == new
    papers = IdentityPapers(home)
    succession = papers.succession(public_key(new), NETWORK.id)
    assert succession is not None
    following = bytes.fromhex((tmp_path / "after.key").read_text().strip())
    keys = Keys(
        next_digest(public_key(following)),
        vrf.public_key(vrf.derive_seed(new)),
        box.public_key(box.derive_secret(new)),
    )
    assert papers.next_key == keys.next_key
    assert succession.consent is not None
    signed = consent_bytes(NETWORK.id, public_key(old), public_key(new), keys)
    assert sign.verify(public_key(old), signed, succession.consent)
    assert owner_of(home.database_path) == (NETWORK.id, public_key(new))
    assert own_count(home.database_path) == 0
    with reading(home.database_path) as database:
        assert database.execute("SELECT count(*) FROM records").fetchone() == (3,)
    assert not any(old.hex().encode() in path.read_bytes() for path in home.path.iterdir() if path.is_file())


def test_a_rotation_that_was_killed_is_called_again(home: Home, tmp_path: Path) -> None:
    """After the paper was written, and after the key was replaced."""
    new = made(home, tmp_path)
    kept(home, 2)
    paper = handover_paper(new, sha256(b"first try"), NETWORK.id, old_seed=home.load_identity())
    write_paper(home, paper)
    with pytest.raises(HomeError, match="interrupted"):
        IdentityPapers(home).check_may_run(public_key(home.load_identity()))
    said(home, "identity", "rotate", "--key", str(tmp_path / "next.key"), "--write", str(tmp_path / "after.key"))
    assert owner_of(home.database_path) == (NETWORK.id, public_key(new))

    other = Home(tmp_path / "second")
    (tmp_path / "next.key").unlink()
    seed = made(other, tmp_path)
    kept(other, 2)
    write_paper(other, handover_paper(seed, sha256(b"after"), NETWORK.id, old_seed=other.load_identity()))
    other.write_identity(seed.hex())
    with other.lock():
        finish_move(other)
        finish_move(other)
    assert owner_of(other.database_path) == (NETWORK.id, public_key(seed))
    assert IdentityPapers(other).next_key == next_digest(public_key(sha256(b"after")))


def test_a_lost_key_is_recovered_into_a_new_home(home: Home, tmp_path: Path) -> None:
    made(home, tmp_path)
    peer = json.loads(said(home, "identity", "show", "--json"))["peer_id"]
    other = Home(tmp_path / "recovered")
    arguments = ("identity", "recover", peer, "--key", str(tmp_path / "next.key"), "--write", str(tmp_path / "after"))
    said(other, *arguments)
    own = public_key(other.load_identity())
    succession = IdentityPapers(other).succession(own, NETWORK.id)
    assert succession is not None
    assert (succession.old, succession.consent) == (public_key(home.load_identity()), None)
    assert "has an identity" in said(other, *arguments, code=1)


def test_an_exported_identity_runs_in_one_home(home: Home, tmp_path: Path) -> None:
    made(home, tmp_path)
    kept(home, 3)
    file, other = tmp_path / "identity.json", Home(tmp_path / "other")
    said(home, "identity", "export", str(file))
    assert file.stat().st_mode & 0o077 == 0
    said(other, "identity", "import", str(file))
    assert other.load_identity() == home.load_identity()
    papers = IdentityPapers(other)
    assert (papers.expected, papers.next_key) == (3, IdentityPapers(home).next_key)
    assert not other.unused_path.exists()
    own = public_key(home.load_identity())
    papers.check_may_run(own)
    with pytest.raises(HomeError, match="was exported"):
        IdentityPapers(home).check_may_run(own)
    assert "was exported" in said(home, "join", code=1)
    said(home, "identity", "import", "--take-back")
    IdentityPapers(home).check_may_run(own)
    assert "was not exported" in said(home, "identity", "import", "--take-back", code=1)
    damaged = tmp_path / "damaged.json"
    damaged.write_text(file.read_text().replace("identity/1", "identity/0"))
    damaged.chmod(0o600)
    assert "not an exported identity" in said(Home(tmp_path / "third"), "identity", "import", str(damaged), code=1)
    assert not (tmp_path / "third").exists()


def test_a_locked_key_stays_locked_through_a_rotation(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = made(home, tmp_path)
    word = tmp_path / "word"
    word.write_text("open sesame\n")
    word.chmod(0o600)
    usual = transcript.environment
    monkeypatch.setattr(transcript, "environment", lambda home: {**usual(home), VARIABLE: str(word)})
    said(home, "identity", "encrypt")
    assert home.identity_text().startswith("p2pverify/key/1 ")
    said(home, "identity", "rotate", "--key", str(tmp_path / "next.key"), "--write", str(tmp_path / "after.key"))
    assert home.identity_text().startswith(f"p2pverify/key/1 {public_key(new).hex()} ")
    said(home, "identity", "decrypt")
    assert home.load_identity() == new
