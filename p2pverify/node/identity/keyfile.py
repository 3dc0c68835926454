"""The text of `identity.key`: a seed in hex, or a seed that is locked with a passphrase.

    seed in hex:  64 hex digits
    locked:       p2pverify/key/1 PUBLIC PASSES KIBIBYTES SALT BOX

A locked seed is in a secretbox (XSalsa20-Poly1305), whose key Argon2id (RFC 9106) derives from the passphrase. The
public key is readable, so that only what signs needs the passphrase.
"""

import os
import sys
from functools import lru_cache
from getpass import getpass
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from p2pverify.core.encoding import sign
from p2pverify.node.identity.private import HomeError, read_private

MARK = "p2pverify/key/1"
SEED_BYTES = 32
#: RFC 9106, section 4: three passes over 64 MiB.
PASSES, KIBIBYTES = 3, 65_536
_PASSES_MAX, _KIBIBYTES_MAX = 16, 1_048_576
_BOX_BYTES = 24 + 16 + SEED_BYTES
PASSPHRASE_BYTES_MAX = 1024
#: Where a passphrase is read from: the file that this variable names, or a credential of systemd with this name.
VARIABLE, CREDENTIALS, CREDENTIAL = "P2PVERIFY_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY", "p2pverify-passphrase"
_DAMAGED = "restore it from a copy of this home, or move it away to begin as a new peer"


class WrongPassphrase(HomeError):
    """The passphrase does not open the key file."""


def is_locked(text: str) -> bool:
    return text.startswith("p2pverify/key/")


def read_seed(text: str, path: Path) -> bytes:
    """The seed (32 B) in the text of a key file. Asks for the passphrase if it is locked. Raises HomeError."""
    if is_locked(text):
        _parts(text, path)  # damage is told before anybody is asked
        return unlock(text, find_passphrase(path), path)
    if len(text) == 2 * SEED_BYTES and all(c in "0123456789abcdef" for c in text):
        return bytes.fromhex(text)
    raise HomeError(f"{path} is not {2 * SEED_BYTES} hex digits", _DAMAGED)


def read_public(text: str, path: Path) -> bytes:
    """The public key (32 B) of a key file, without its passphrase. Raises HomeError."""
    return _parts(text, path)[0] if is_locked(text) else sign.public_key(read_seed(text, path))


def lock(seed: bytes, passphrase: bytes) -> str:
    """The text of a key file that the passphrase locks."""
    salt = os.urandom(16)
    box = bytes(SecretBox(_derive(passphrase, salt, PASSES, KIBIBYTES)).encrypt(seed))
    return f"{MARK} {sign.public_key(seed).hex()} {PASSES} {KIBIBYTES} {salt.hex()} {box.hex()}"


def unlock(text: str, passphrase: bytes, path: Path) -> bytes:
    """The seed of a locked key file. Raises WrongPassphrase, and HomeError if the file is damaged."""
    public, passes, kibibytes, salt, box = _parts(text, path)
    try:
        seed = SecretBox(_derive(passphrase, salt, passes, kibibytes)).decrypt(box)
    except CryptoError:
        raise WrongPassphrase(
            f"the passphrase does not open {path}", "try again; without it the key is lost, or the file is damaged"
        ) from None
    if sign.public_key(seed) != public:
        raise HomeError(f"{path} is damaged: its public key is another one", _DAMAGED)
    return seed


def _parts(text: str, path: Path) -> tuple[bytes, int, int, bytes, bytes]:
    """Public key, passes, KiB, salt and box of a locked key file."""
    damaged = HomeError(f"{path} is damaged: not a locked key", _DAMAGED)
    words = text.split(" ")
    if len(words) != 6:
        raise damaged
    if words[0] != MARK:
        raise HomeError(f"{path} was locked by a newer p2pverify ({words[0][:32]})", "install that version")
    try:
        public, salt, box = (bytes.fromhex(words[at]) for at in (1, 4, 5))
        passes, kibibytes = int(words[2]), int(words[3])
    except ValueError:
        raise damaged from None
    if (len(public), len(salt), len(box)) != (32, 16, _BOX_BYTES):
        raise damaged
    if not (1 <= passes <= _PASSES_MAX and 8 <= kibibytes <= _KIBIBYTES_MAX):
        raise damaged
    return public, passes, kibibytes, salt, box


@lru_cache(maxsize=4)  # a process reads its key file more than once
def _derive(passphrase: bytes, salt: bytes, passes: int, kibibytes: int) -> bytes:
    return argon2id.kdf(32, passphrase, salt, opslimit=passes, memlimit=1024 * kibibytes)


# ---------------------------------------------------------------- passphrases


@lru_cache(maxsize=1)
def find_passphrase(path: Path) -> bytes:
    """The passphrase of a key file: from a file, a credential of systemd, or the terminal. Raises HomeError."""
    found = _written()
    if found is not None:
        return found
    if not sys.stdin.isatty():
        raise HomeError(
            f"{path} is locked with a passphrase, and there is no terminal to ask for it",
            f"name a file that holds it in {VARIABLE}, or pass it as the systemd credential {CREDENTIAL}",
        )
    return checked(getpass(f"passphrase of {path}: "))


def new_passphrase() -> bytes:
    """A passphrase for a key file that is about to be locked, asked twice at the terminal. Raises HomeError."""
    found = _written()
    if found is not None:
        return found
    if not sys.stdin.isatty():
        raise HomeError("there is no terminal to ask for a passphrase", f"name a file that holds it in {VARIABLE}")
    first = checked(getpass("new passphrase: "))
    if first != checked(getpass("once more: ")):
        raise HomeError("the two passphrases differ", "try again; nothing was changed")
    return first


def _written() -> bytes | None:
    """The passphrase in the file that the environment names."""
    named, directory = os.environ.get(VARIABLE), os.environ.get(CREDENTIALS)
    if named:
        return read_passphrase(Path(named))
    if directory and (Path(directory) / CREDENTIAL).exists():
        return read_passphrase(Path(directory) / CREDENTIAL)
    return None


def read_passphrase(path: Path) -> bytes:
    """The first line of a file that only its owner may read. Raises HomeError."""
    text = read_private(path, "write the passphrase into it as one line of text")
    if text is None:
        raise HomeError(f"{path}: there is no such file", f"it should hold the passphrase ({VARIABLE})")
    return checked(text.split("\n", 1)[0].rstrip("\r"))


def checked(text: str) -> bytes:
    """A passphrase in bytes. Raises HomeError if it is empty or too long."""
    found = text.encode("utf-8", "surrogateescape")
    if not 0 < len(found) <= PASSPHRASE_BYTES_MAX:
        raise HomeError(f"a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes", "choose another one")
    return found
