"""The plan of one download: which chunk to ask of which source next, and which sources to drop.

At most SOURCES_MAX sources are asked at a time, each for one chunk. Other ones take the places of those that are
dropped. At the end a source without work asks for a chunk that another source has had for long, so that one slow source
does not hold up the rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

SOURCES_MAX = 4
FAILURES_MAX = 3
BUSY_MAX = 8
_COPIES_MAX = 2
_SLOW_MS = 2000
_REST_MS = 500
_REST_MS_MAX = 8000


class SourceFault(StrEnum):
    """Why a source did not deliver a chunk."""

    FALSE = "false"  # it sent other bytes
    MISSING = "missing"  # it has no such blob
    BUSY = "busy"
    FAILED = "failed"  # it did not answer, or not in time


@dataclass(slots=True)
class _Source:
    failures: int = 0
    busy: int = 0
    rest_until_ms: int = 0
    ended: SourceFault | None = None


@dataclass(slots=True)
class _Asked:
    """A chunk that was asked for: when last, and which sources work on it."""

    since_ms: int
    sources: list[bytes] = field(default_factory=list)


class ChunkPlan:
    """The chunks that are missing, in order, and the sources in the order in which they are tried (keys)."""

    def __init__(self, missing: Iterable[int], sources: Sequence[bytes]) -> None:
        self._todo = sorted(set(missing), reverse=True)
        self._asked: dict[int, _Asked] = {}
        self._sources = {source: _Source() for source in sources}

    @property
    def is_done(self) -> bool:
        return not self._todo and not self._asked

    @property
    def left(self) -> int:
        """The chunks that are missing."""
        return len(self._todo) + len(self._asked)

    def active(self) -> tuple[bytes, ...]:
        """The sources that are asked now. None if all were dropped."""
        usable = [source for source, known in self._sources.items() if known.ended is None]
        return tuple(usable[:SOURCES_MAX])

    def ended(self) -> dict[bytes, SourceFault]:
        """The sources that were dropped, and why."""
        return {source: known.ended for source, known in self._sources.items() if known.ended is not None}

    def next(self, source: bytes, now_ms: int) -> int | None:
        """The chunk to ask of an active source now. None if there is none, or not yet: see `wait_ms`."""
        known = self._sources[source]
        if known.ended is not None or known.rest_until_ms > now_ms:
            return None
        if self._todo:
            chunk = self._todo.pop()
            self._asked[chunk] = _Asked(now_ms, [source])
            return chunk
        slowest = self._slowest(source)
        if slowest is None or self._asked[slowest].since_ms + _SLOW_MS > now_ms:
            return None
        asked = self._asked[slowest]
        asked.sources.append(source)
        asked.since_ms = now_ms
        return slowest

    def wait_ms(self, source: bytes, now_ms: int) -> int | None:
        """How long a source without work waits for the next chunk. None: until something changes."""
        rest = self._sources[source].rest_until_ms - now_ms
        if rest > 0:
            return rest
        slowest = self._slowest(source)
        return None if slowest is None else max(1, self._asked[slowest].since_ms + _SLOW_MS - now_ms)

    def delivered(self, source: bytes, chunk: int) -> tuple[bytes, ...]:
        """Note that a source has delivered a chunk. Returns other sources that still work on it, which may stop."""
        known = self._sources[source]
        known.failures = known.busy = 0
        asked = self._asked.pop(chunk, None)
        return () if asked is None else tuple(other for other in asked.sources if other != source)

    def dropped(self, source: bytes, chunk: int, fault: SourceFault, now_ms: int) -> None:
        """Note that a source has not delivered a chunk. Another source is asked for it."""
        self.forgone(source, chunk)
        self.note(source, fault, now_ms)

    def forgone(self, source: bytes, chunk: int) -> None:
        """Note that a source was told to stop."""
        asked = self._asked.get(chunk)
        if asked is None or source not in asked.sources:
            return
        asked.sources.remove(source)
        if not asked.sources:
            del self._asked[chunk]
            self._todo.append(chunk)

    def note(self, source: bytes, fault: SourceFault, now_ms: int) -> None:
        """Note the fault of a source, and drop it if that is enough."""
        known = self._sources[source]
        match fault:
            case SourceFault.FALSE | SourceFault.MISSING:
                known.ended = fault
            case SourceFault.BUSY:
                known.busy += 1
                known.rest_until_ms = now_ms + min(_REST_MS_MAX, _REST_MS << (known.busy - 1))
                known.ended = fault if known.busy >= BUSY_MAX else None
            case SourceFault.FAILED:
                known.failures += 1
                known.rest_until_ms = now_ms + _REST_MS
                known.ended = fault if known.failures >= FAILURES_MAX else None

    def _slowest(self, source: bytes) -> int | None:
        """The chunk that others have worked on for longest, if this source may ask for it too."""
        open_to = [
            chunk
            for chunk, asked in self._asked.items()
            if source not in asked.sources and len(asked.sources) < _COPIES_MAX
        ]
        return min(open_to, key=lambda chunk: self._asked[chunk].since_ms, default=None)
