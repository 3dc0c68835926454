"""The trace of a run: one SHA-256 over everything that happened, by which two runs are compared."""

import struct
from hashlib import sha256

_HEAD = struct.Struct(">QiI")


class Trace:
    """Equal runs have equal digests; the first event that differs changes it."""

    def __init__(self) -> None:
        self._hash = sha256()
        self.events = 0

    def add(self, now_ms: int, peer: int, events: list[bytes]) -> None:
        """What one peer took in one slot: of each event its kind and a digest."""
        self.events += len(events)
        self._hash.update(_HEAD.pack(now_ms, peer, len(events)))
        self._hash.update(b"".join(events))

    @property
    def digest(self) -> bytes:
        return self._hash.copy().digest()
