"""The trace of a run: one SHA-256 over everything that happened, by which two runs are compared."""

import struct
from hashlib import sha256

from p2pverify.core.gossip.types import Rpc
from p2pverify.testnet.world.items import RPC

_HEAD = struct.Struct(">QiI")
_ITEM = struct.Struct(">BII")


def item_digest(kind: int, number: int) -> bytes:
    """An item of the schedule: its kind, and which of its kind, mod 2^32."""
    return _ITEM.pack(kind, number & 0xFFFFFFFF, 0)


def rpc_digest(rpc: Rpc, link: int) -> bytes:
    """An RPC that came over a link: the beginnings of its messages' ids, and how much else it says."""
    parts = [_ITEM.pack(RPC, link, len(rpc.publish))]
    parts += [message.key[1][:8] for message in rpc.publish]
    if rpc.ihave or rpc.iwant or rpc.graft or rpc.prune or rpc.subscriptions:
        asked = len(rpc.iwant) + sum(len(ids) for _, ids in rpc.ihave)
        parts.append(_ITEM.pack(len(rpc.ihave) & 255, asked, len(rpc.graft) << 16 | len(rpc.prune)))
    return b"".join(parts)


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
