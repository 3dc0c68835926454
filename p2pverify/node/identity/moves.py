"""Moves of an identity between homes, such that it does not run in both."""

import json
from pathlib import Path
from typing import Any

from p2pverify.node.files.config import TEMPLATE
from p2pverify.node.files.home import Home
from p2pverify.node.identity.keyfile import is_locked, read_public
from p2pverify.node.identity.papers import IdentityPapers, read_handover
from p2pverify.node.identity.private import HomeError, read_private
from p2pverify.node.lines.papers import write_key

FORMAT = "p2pverify/identity/1"
_AGAIN = "export the identity again"


def export_identity(home: Home, file: Path, own_records: int) -> None:
    """Write the identity of a home to a new file, which only its owner may read, and mark the home.

    `own_records` is the number of records that the identity has signed. Call it under the lock of the home.
    """
    papers = IdentityPapers(home)
    if papers.is_exported:
        raise HomeError("this identity was exported", "'p2pverify identity import --take-back' undoes that")
    digest, paper = papers.next_key, papers.handover
    content = {
        "format": FORMAT,
        "key": home.identity_text(),
        "next": None if digest is None else digest.hex(),
        "handover": None if paper is None else paper.to_json(),
        "expected": max(own_records, papers.expected),
    }
    papers.write("exported", "This identity was exported, so no node runs with it here.")
    write_key(file, json.dumps(content).encode() + b"\n")


def import_identity(home: Home, file: Path) -> None:
    """Make a home with an exported identity. Raises HomeError."""
    if home.is_initialised() or home.database_path.exists():
        raise HomeError(f"{home.path} has an identity", "name a new home with --home")
    text = read_private(file, _AGAIN) or ""
    try:
        found: Any = json.loads(text)
        key, digest, paper, expected = (found[name] for name in ("key", "next", "handover", "expected"))
        is_whole = (
            found["format"] == FORMAT and isinstance(key, str) and type(expected) is int and 0 <= expected < 2**40
        )
        following = None if digest is None else bytes.fromhex(digest)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_whole = False
    if not is_whole or (following is not None and len(following) != 32):
        raise HomeError(f"{file} is not an exported identity", _AGAIN)
    read_public(key, file)
    moved = None if paper is None else read_handover(paper, file)
    home.init(TEMPLATE, bytes.fromhex(key) if not is_locked(key) else None)
    if is_locked(key):
        home.write_identity(key)
    home.unused_path.unlink(missing_ok=True)
    papers = IdentityPapers(home)
    papers.write("expected", str(expected))
    if following is not None:
        papers.write("next", following.hex())
    if moved is not None:
        papers.write("handover", json.dumps(moved.to_json()))


def take_back(home: Home) -> None:
    """Let an exported identity run in its old home again. The usual silence after a start holds."""
    papers = IdentityPapers(home)
    if not papers.is_exported:
        raise HomeError("this identity was not exported", "start it with 'p2pverify join'")
    papers.remove("exported")
