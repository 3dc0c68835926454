"""The trace of a run: one SHA-256 over all events, for comparing two runs."""

import struct
from hashlib import sha256

from p2pverify.core.gossip.types import Rpc
from p2pverify.testnet.world.items import RPC

_HEAD = struct.Struct(">QiI")
_ITEM = struct.Struct(">BII")


def item_digest(kind: int, number: int) -> bytes:
    """The digest of an item of the schedule: its kind, and its number mod 2^32."""
    return _ITEM.pack(kind, number & 0xFFFFFFFF, 0)


def rpc_digest(rpc: Rpc, link: int) -> bytes:
    """The digest of an RPC from a link: the first 8 bytes of its messages' ids, and the sizes of its other parts."""
    parts = [_ITEM.pack(RPC, link, len(rpc.publish))]
    parts += [message.key[1][:8] for message in rpc.publish]
    if rpc.ihave or rpc.iwant or rpc.graft or rpc.prune or rpc.subscriptions:
        asked = len(rpc.iwant) + sum(len(ids) for _, ids in rpc.ihave)
        parts.append(_ITEM.pack(len(rpc.ihave) & 255, asked, len(rpc.graft) << 16 | len(rpc.prune)))
    return b"".join(parts)


class Trace:
    """Equal runs have equal digests. Any different event changes the digest."""

    def __init__(self) -> None:
        self._hash = sha256()
        self.events = 0

    def add(self, now_ms: int, peer: int, events: list[bytes]) -> None:
        """Add the events that one peer took in one slot, each with its kind and a digest."""
        self.events += len(events)
        self._hash.update(_HEAD.pack(now_ms, peer, len(events)))
        self._hash.update(b"".join(events))

    @property
    def digest(self) -> bytes:
        return self._hash.copy().digest()
