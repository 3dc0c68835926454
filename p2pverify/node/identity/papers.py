"""What a home keeps beside its key about changes of keys. No secret is in it.

| file | what |
|---|---|
| `next` | the digest of the next key, whose seed is kept elsewhere |
| `handover` | the row that this identity takes over: old and new key, network, next digest, signature of the old key |
| `exported` | a mark: this identity was exported, so it must not run here |
| `expected` | how many own records were signed before the export |
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2pverify.core.encoding import sign
from p2pverify.core.records.payloads.keys.handover import next_digest
from p2pverify.core.roles.keys.successor import Succession
from p2pverify.node.files.home import Home, atomic_file
from p2pverify.node.identity.private import HomeError, read_private

_HINT = "restore it from a copy of this home, or delete it if you know what it was"


@dataclass(frozen=True, slots=True)
class HandoverPaper:
    """A handover that this home has begun or finished. `consent` is None if the old key did not sign."""

    old: bytes
    new: bytes
    next_key: bytes
    network: bytes | None
    consent: bytes | None

    def to_json(self) -> dict[str, str | None]:
        return {
            "old": self.old.hex(),
            "new": self.new.hex(),
            "next": self.next_key.hex(),
            "network": None if self.network is None else self.network.hex(),
            "consent": None if self.consent is None else self.consent.hex(),
        }


def read_handover(value: Any, path: Path) -> HandoverPaper:
    """Read the content of a `handover` file. Raises HomeError."""
    try:
        old, new, following = (bytes.fromhex(value[name]) for name in ("old", "new", "next"))
        network, consent = (
            None if value[name] is None else bytes.fromhex(value[name]) for name in ("network", "consent")
        )
    except (KeyError, TypeError, ValueError):
        raise HomeError(f"{path} is damaged", _HINT) from None
    sizes = (len(old), len(new), len(following), len(network or bytes(32)), len(consent or bytes(64)))
    if sizes != (32, 32, 32, 32, 64):
        raise HomeError(f"{path} is damaged", _HINT)
    return HandoverPaper(old, new, following, network, consent)


class IdentityPapers:
    """The papers of one home."""

    def __init__(self, home: Home) -> None:
        self._path = home.path

    def path(self, name: str) -> Path:
        return self._path / name

    def write(self, name: str, text: str) -> None:
        """Replace a paper."""
        with atomic_file(self.path(name), mode=0o600) as file:
            file.write(f"{text}\n".encode())

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def _read(self, name: str) -> str | None:
        return read_private(self.path(name), _HINT)

    @property
    def next_key(self) -> bytes | None:
        """The digest of the next key (32 B), or None."""
        text = self._read("next")
        if text is None:
            return None
        if len(text) != 64 or not all(c in "0123456789abcdef" for c in text):
            raise HomeError(f"{self.path('next')} is not 64 hex digits", _HINT)
        return bytes.fromhex(text)

    @property
    def handover(self) -> HandoverPaper | None:
        text = self._read("handover")
        if text is None:
            return None
        try:
            return read_handover(json.loads(text), self.path("handover"))
        except (ValueError, RecursionError):
            raise HomeError(f"{self.path('handover')} is damaged", _HINT) from None

    @property
    def expected(self) -> int:
        """Own records with lower numbers were signed before this identity came here."""
        text = self._read("expected") or "0"
        if not (text.isdecimal() and len(text) < 16):
            raise HomeError(f"{self.path('expected')} is not a number", _HINT)
        return int(text)

    @property
    def is_exported(self) -> bool:
        return self.path("exported").exists()

    def keep_next(self, seed: bytes) -> None:
        """Remember the digest of the next key, whose seed is kept elsewhere."""
        self.write("next", next_digest(sign.public_key(seed)).hex())

    def succession(self, own: bytes, network_id: bytes) -> Succession | None:
        """The row that this identity takes over in a network; None if it takes over none there. Raises HomeError."""
        found = self.handover
        if found is None or found.new != own or found.network not in (None, network_id):
            return None
        return Succession(found.old, found.consent)

    def check_may_run(self, own: bytes) -> None:
        """Raise HomeError if a node must not run with this identity here."""
        if self.is_exported:
            raise HomeError(
                "this identity was exported, and may run in another home",
                "run it there; if it never ran there, call 'p2pverify identity import --take-back'",
            )
        found = self.handover
        if found is not None and found.old == own:
            raise HomeError("a rotation of this identity was interrupted", "call 'p2pverify identity rotate' again")
