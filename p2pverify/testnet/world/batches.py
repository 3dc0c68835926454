"""A cache of decoded gossip messages, and the verdicts on messages that were judged together.

A thousand peers receive the same bytes, so the bytes are decoded only once.
"""

from collections.abc import Iterator

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import Judged
from p2pverify.core.limits import BoundedDict

KEPT_MAX = 8192


class Batches:
    """A cache from a message's bytes to its records. The oldest entries are removed first."""

    def __init__(self) -> None:
        self._known: BoundedDict[bytes, tuple[bytes, ...]] = BoundedDict(KEPT_MAX)

    def get(self, data: bytes) -> tuple[bytes, ...] | None:
        return self._known.get(data)

    def put(self, data: bytes, records: tuple[bytes, ...]) -> tuple[bytes, ...]:
        self._known[data] = records
        return records


def message_verdicts(
    messages: list[tuple[bytes, int]], count: int, judged: Judged | None
) -> Iterator[tuple[bytes, GossipVerdict]]:
    """The verdict on each message, as if it had been judged alone.

    `messages` are ids and the index of the first record; `count` is the number of all records. `judged` is None if an
    actor took none of the messages.
    """
    refused, rejected = (set(), set()) if judged is None else (set(judged.refused), set(judged.rejected))
    ends = [begin for _, begin in messages[1:]] + [count]
    for (message_id, begin), end in zip(messages, ends, strict=True):
        if begin == end:
            yield message_id, GossipVerdict.REJECT
        elif judged is None:
            yield message_id, GossipVerdict.IGNORE
        elif not refused:
            yield message_id, GossipVerdict.ACCEPT
        elif not rejected.isdisjoint(range(begin, end)):
            yield message_id, GossipVerdict.REJECT
        else:
            yield message_id, GossipVerdict.IGNORE if refused.issuperset(range(begin, end)) else GossipVerdict.ACCEPT
