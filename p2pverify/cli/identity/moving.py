"""Moves of a home to another key. Each step can be repeated, so a command that was killed is called again."""

import json
from pathlib import Path

from p2pverify.core.encoding import box, sign, vrf
from p2pverify.core.records.payloads.keys.handover import Keys, next_digest, sign_consent
from p2pverify.node.files.home import Home
from p2pverify.node.identity.papers import HandoverPaper, IdentityPapers


def handover_paper(new: bytes, following: bytes, network: bytes, *, old_seed: bytes) -> HandoverPaper:
    """The paper of a handover to the key with the seed `new`, whose next key has the seed `following`; signed."""
    found = unsigned_paper(new, following, network, sign.public_key(old_seed))
    keys = Keys(
        found.next_key,
        vrf.public_key(vrf.derive_seed(new)),
        box.public_key(box.derive_secret(new)),
    )
    consent = sign_consent(old_seed, network, found.new, keys)
    return HandoverPaper(found.old, found.new, found.next_key, network, consent)


def unsigned_paper(new: bytes, following: bytes, network: bytes | None, old: bytes) -> HandoverPaper:
    """The same without the signature of the old key, which is lost."""
    return HandoverPaper(old, sign.public_key(new), next_digest(sign.public_key(following)), network, None)


def finish_move(home: Home) -> None:
    """Bring a home whose key file is that of the new key into order: its next key, and a database of its own.

    Call it under the lock of the home. Raises StoreError. The old database is put aside.
    """
    from p2pverify.node.identity.keyfile import read_public
    from p2pverify.store.reading import owner_of
    from p2pverify.store.rehome import copy_records

    papers = IdentityPapers(home)
    paper, own = papers.handover, read_public(home.identity_text(), home.identity_path)
    if paper is None or paper.new != own:
        return
    papers.write("next", paper.next_key.hex())
    database = home.database_path
    owner = owner_of(database)
    unfinished = database.with_name("node.db.moved")
    if owner is not None and owner[1] != own:
        _remove(unfinished)
        copy_records(database, unfinished, owner[0], own)
        aside = database.with_name(f"node.db.{owner[1].hex()[:16]}")
        for suffix in ("-wal", "-shm", ""):
            part = Path(f"{database}{suffix}")
            if part.exists():
                part.rename(f"{aside}{suffix}")
    if unfinished.exists() and not database.exists():
        unfinished.rename(database)


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def write_paper(home: Home, paper: HandoverPaper) -> None:
    IdentityPapers(home).write("handover", json.dumps(paper.to_json()))
