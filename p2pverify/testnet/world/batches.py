"""Gossip messages that were read before, and the verdicts on several that were judged as one.

A thousand peers get the same bytes, and one reading is enough.
"""

from collections.abc import Iterator

from p2pverify.core.events import Judged
from p2pverify.core.gossip.types import VerdictWord
from p2pverify.core.limits import BoundedDict

KEPT_MAX = 8192


class Batches:
    """Records by the bytes of the message that held them; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._known: BoundedDict[bytes, tuple[bytes, ...]] = BoundedDict(KEPT_MAX)

    def get(self, data: bytes) -> tuple[bytes, ...] | None:
        return self._known.get(data)

    def put(self, data: bytes, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
        self._known[data] = records
        return records


def message_verdicts(
    messages: list[tuple[bytes, int]], count: int, judged: Judged | None
) -> Iterator[tuple[bytes, VerdictWord]]:
    """What each of several messages deserves, as if judged alone; `judged` is None if an actor took none of them."""
    refused, rejected = (set(), set()) if judged is None else (set(judged.refused), set(judged.rejected))
    ends = [begin for _, begin in messages[1:]] + [count]
    for (message_id, begin), end in zip(messages, ends, strict=True):
        if begin == end:
            yield message_id, "reject"
        elif judged is None:
            yield message_id, "ignore"
        elif not refused:
            yield message_id, "accept"
        elif not rejected.isdisjoint(range(begin, end)):
            yield message_id, "reject"
        else:
            yield message_id, "ignore" if refused.issuperset(range(begin, end)) else "accept"
