"""Locked key files: what opens them, and what is said of wrong passphrases and damaged files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pverify.core.encoding import sign
from p2pverify.node.files.home import Home
from p2pverify.node.identity import keyfile
from p2pverify.node.identity.keyfile import (
    CREDENTIAL,
    CREDENTIALS,
    VARIABLE,
    WrongPassphrase,
    find_passphrase,
    lock,
    new_passphrase,
    read_public,
    read_seed,
    unlock,
)
from p2pverify.node.identity.private import HomeError

SEED = bytes(range(32))
PATH = Path("identity.key")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No passphrase of another test, and a quick derivation."""
    monkeypatch.setattr(keyfile, "KIBIBYTES", 64)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(CREDENTIALS, raising=False)
    find_passphrase.cache_clear()
    yield
    find_passphrase.cache_clear()


def written(path: Path, text: str = "open sesame\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_locked_key_shows_its_public_key_and_opens_with_its_passphrase_alone() -> None:
    text = lock(SEED, b"open sesame")
    assert SEED.hex() not in text
    assert read_public(text, PATH) == sign.public_key(SEED)
    assert unlock(text, b"open sesame", PATH) == SEED
    with pytest.raises(WrongPassphrase, match="does not open"):
        unlock(text, b"open sesam", PATH)
    assert lock(SEED, b"open sesame") != text


def test_any_changed_character_is_found() -> None:
    text = lock(SEED, b"open sesame")
    for at in range(len(text)):
        changed = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
        with pytest.raises(HomeError):
            unlock(changed, b"open sesame", PATH)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text[:-2], "damaged"),
        (lambda text: text + " more", "damaged"),
        (lambda text: text.replace("key/1", "key/2"), "locked by a newer p2pverify"),
        (lambda text: text.replace(" 3 64 ", " 99 64 "), "damaged"),
        (lambda text: text.replace(" 3 64 ", " 3 99999999 "), "damaged"),
        (lambda text: text.replace(" 3 64 ", " three 64 "), "damaged"),
    ],
)
def test_a_damaged_file_is_told_before_anybody_is_asked_for_a_passphrase(change: object, why: str) -> None:
    with pytest.raises(HomeError, match=why):
        read_seed(change(lock(SEED, b"x")), PATH)  # type: ignore[operator]


def test_where_a_passphrase_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = lock(SEED, b"open sesame")
    monkeypatch.setenv(VARIABLE, str(written(tmp_path / "given")))
    assert read_seed(text, PATH) == SEED
    find_passphrase.cache_clear()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv(CREDENTIALS, str(tmp_path))
    with pytest.raises(HomeError, match="no terminal"):
        read_seed(text, PATH)
    written(tmp_path / CREDENTIAL, mode=0o400)
    assert read_seed(text, PATH) == SEED


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("open sesame\n", 0o640, "read or written by other users"),
        ("\n", 0o600, "1 to 1024 bytes"),
        ("x" * 1025, 0o600, "1 to 1024 bytes"),
    ],
)
def test_a_file_that_is_no_passphrase(
    text: str, mode: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(written(tmp_path / "given", text, mode)))
    with pytest.raises(HomeError, match=why):
        new_passphrase()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(HomeError, match="there is no such file"):
        new_passphrase()


def test_a_home_with_a_locked_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof of the node needs no passphrase; signing does."""
    home = Home(tmp_path / "home")
    home.init()
    seed = home.load_identity()
    home.write_identity(lock(seed, b"open sesame"))
    home.ensure_token()
    assert home.key() is not None
    with pytest.raises(HomeError, match="no terminal"):
        home.load_identity()
    monkeypatch.setenv(VARIABLE, str(written(tmp_path / "given")))
    assert home.load_identity() == seed
