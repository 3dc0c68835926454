"""Gossip messages that were read before. A thousand peers get the same bytes, and one reading is enough."""

from p2pverify.core.errors import DecodeError
from p2pverify.core.limits import BoundedDict
from p2pverify.node.messages import decode_batch

KEPT_MAX = 8192


class Batches:
    """A cache from a message's bytes to its records. The oldest entries are removed first."""

    def __init__(self) -> None:
        self._known: BoundedDict[bytes, tuple[bytes, ...]] = BoundedDict(KEPT_MAX)

    def read(self, data: bytes) -> tuple[bytes, ...]:
        """The records of a message; none if it is no batch."""
        records = self._known.get(data)
        if records is not None:
            return records
        try:
            records = decode_batch(data)
        except DecodeError:
            return ()
        self._known[data] = records
        return records
