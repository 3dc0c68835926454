"""Gossip messages that were read before: a thousand peers get the same bytes, and one reading is enough."""

KEPT_MAX = 8192


class Batches:
    """Records by the bytes of the message that held them; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, ...]] = {}

    def get(self, data: bytes) -> tuple[bytes, ...] | None:
        return self._known.get(data)

    def put(self, data: bytes, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if len(self._known) >= KEPT_MAX:
            del self._known[next(iter(self._known))]
        self._known[data] = records
        return records
