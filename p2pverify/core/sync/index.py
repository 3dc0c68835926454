"""The ids of a set of records in the order of (epoch, id), for comparing sets.

Additions are noted at once and sorted in at the next read, so that a busy ledger pays next to nothing. The ids are in
small chunks of one epoch each, and every chunk keeps the sum of its ids. So the fingerprint of a range needs only two
chunks and the running totals between them. The ledger decides which ids are in the set.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from p2pverify.core.encoding.canon import sha256

CHUNK_IDS_MAX = 128
KNOWN_MAX = 4096
STEP_IDS = 16
_HALF = CHUNK_IDS_MAX // 2
_MASK = (1 << 256) - 1

Key = tuple[int, bytes]  # epoch and id, or epoch and the beginning of an id


class _Chunk:
    """Sorted ids of one epoch, at most CHUNK_IDS_MAX, and their sum as little-endian numbers."""

    __slots__ = ("_steps", "epoch", "ids", "total")

    def __init__(self, epoch: int, ids: list[bytes]) -> None:
        self.epoch = epoch
        self.ids = ids
        self.total = _sum(ids)
        self._steps: list[int] | None = None  # the sums before every STEP_IDS-th id, computed on demand

    def changed(self, by: int) -> None:
        """Ids were added or removed; the sum changes by `by`."""
        self.total += by
        self._steps = None

    def before(self, count: int) -> int:
        """The sum of the first `count` ids."""
        steps = self._steps
        if steps is None:
            steps = self._steps = [0]
            for at in range(0, len(self.ids) - STEP_IDS + 1, STEP_IDS):
                steps.append(steps[-1] + _sum(self.ids[at : at + STEP_IDS]))
        step = min((count + STEP_IDS // 2) // STEP_IDS, len(steps) - 1)
        at = step * STEP_IDS
        return steps[step] + (_sum(self.ids[at:count]) if at <= count else -_sum(self.ids[count:at]))


def _sum(ids: list[bytes]) -> int:
    return sum([int.from_bytes(each, "little") for each in ids])


def _first_key(chunk: _Chunk) -> Key:
    return (chunk.epoch, chunk.ids[0])


class RecordIndex:
    """A set of (epoch, id); ids are 32 bytes. Positions count from 0 and hold until the next change."""

    __slots__ = ("_chunks", "_counted", "_counts", "_firsts", "_fresh", "_known", "_size", "_sums")

    def __init__(self) -> None:
        self._fresh: list[Key] = []
        self._chunks: list[_Chunk] = []
        self._size = 0
        # First key of each chunk, number and sum of the ids before it, and for how many chunks they are up to date.
        self._firsts: list[Key] = []
        self._counts: list[int] = []
        self._sums: list[int] = []
        self._counted = 0
        self._known: dict[int, int] = {}  # sums before positions; cached, because ranges of a message share ends

    def __len__(self) -> int:
        return self._size + len(self._fresh)

    # ------------------------------------------------------------ changing

    def add(self, epoch: int, record_id: bytes) -> None:
        """Add a record that is not in the set yet."""
        self._fresh.append((epoch, record_id))

    def remove(self, keys: Iterable[Key]) -> None:
        """Remove records that are in the set."""
        self.settle()
        for epoch, record_id in keys:
            self._remove(epoch, record_id)

    def discard(self, keys: Iterable[Key]) -> None:
        """Remove those of some records that are in the set."""
        self.remove([key for key in keys if self.has(*key)])

    def has(self, epoch: int, record_id: bytes) -> bool:
        """Whether a record is in the set."""
        self.settle()
        chunk = self._chunks[self._chunk_of((epoch, record_id))] if self._chunks else None
        if chunk is None or chunk.epoch != epoch:
            return False
        place = bisect_left(chunk.ids, record_id)
        return place < len(chunk.ids) and chunk.ids[place] == record_id

    def _remove(self, epoch: int, record_id: bytes) -> None:
        at = self._chunk_of((epoch, record_id))
        chunk = self._chunks[at]
        place = bisect_left(chunk.ids, record_id)
        assert chunk.epoch == epoch
        assert chunk.ids[place] == record_id
        del chunk.ids[place]
        chunk.changed(-int.from_bytes(record_id, "little"))
        self._size -= 1
        self._counted = min(self._counted, at)
        if not chunk.ids:
            del self._chunks[at]

    def settle(self) -> None:
        """Sort in new ids. After very many additions, call this where it may take long."""
        if not self._fresh:
            return
        fresh, self._fresh = sorted(self._fresh), []
        at = 0
        while at < len(fresh):
            epoch = fresh[at][0]
            if self._chunks and self._chunks[-1].epoch >= epoch:
                self._insert(*fresh[at])
                at += 1
                continue
            end = bisect_left(fresh, (epoch + 1, b""), at)
            self._counted = min(self._counted, len(self._chunks))
            for begin in range(at, end, _HALF):
                ids = [key[1] for key in fresh[begin : min(end, begin + _HALF)]]
                self._chunks.append(_Chunk(epoch, ids))
            at = end
        self._size += len(fresh)

    def _insert(self, epoch: int, record_id: bytes) -> None:
        at = self._chunk_of((epoch, record_id))
        chunk = self._chunks[at]
        if chunk.epoch != epoch:
            at += (chunk.epoch, chunk.ids[0]) < (epoch, record_id)
            following = self._chunks[at] if at < len(self._chunks) else None
            if following is None or following.epoch != epoch:
                self._chunks.insert(at, _Chunk(epoch, [record_id]))
                self._counted = min(self._counted, at)
                return
            chunk = following
        insort(chunk.ids, record_id)
        chunk.changed(int.from_bytes(record_id, "little"))
        if len(chunk.ids) > CHUNK_IDS_MAX:
            self._chunks.insert(at + 1, _Chunk(epoch, chunk.ids[_HALF:]))
            chunk.ids = chunk.ids[:_HALF]
            chunk.changed(-self._chunks[at + 1].total)
        self._counted = min(self._counted, at)

    def _chunk_of(self, key: Key) -> int:
        """The number of the last chunk that begins at or before a key; 0 if none does."""
        return max(0, bisect_right(self._chunks, key, key=_first_key) - 1)

    def _count(self) -> None:
        """Bring the running totals up to date."""
        if self._fresh:
            self.settle()
        if self._counted == len(self._chunks) == len(self._counts):
            return
        self._known.clear()
        begin = self._counted
        count, total = 0, 0
        if begin:
            before = self._chunks[begin - 1]
            count = self._counts[begin - 1] + len(before.ids)
            total = self._sums[begin - 1] + before.total
        del self._firsts[begin:], self._counts[begin:], self._sums[begin:]
        for chunk in self._chunks[begin:]:
            self._firsts.append((chunk.epoch, chunk.ids[0]))
            self._counts.append(count)
            self._sums.append(total)
            count += len(chunk.ids)
            total += chunk.total
        self._counted = len(self._chunks)

    # ------------------------------------------------------------ reading

    def place(self, key: Key) -> int:
        """The position of the first record at or after a key."""
        self._count()
        if not self._chunks:
            return 0
        at = max(0, bisect_right(self._firsts, key) - 1)
        chunk = self._chunks[at]
        if chunk.epoch == key[0]:
            return self._counts[at] + bisect_left(chunk.ids, key[1])
        return self._counts[at] + (len(chunk.ids) if chunk.epoch < key[0] else 0)

    def key(self, position: int) -> Key:
        """The epoch and id at a position."""
        self._count()
        at = bisect_right(self._counts, position) - 1
        chunk = self._chunks[at]
        return (chunk.epoch, chunk.ids[position - self._counts[at]])

    def keys(self, begin: int, end: int) -> Iterator[Key]:
        """Epochs and ids from one position up to another, in order."""
        self._count()
        at = bisect_right(self._counts, begin) - 1
        while begin < end:
            chunk = self._chunks[at]
            first = self._counts[at]
            ids = chunk.ids[begin - first : end - first]
            for record_id in ids:
                yield (chunk.epoch, record_id)
            begin += len(ids)
            at += 1

    def total(self, begin: int, end: int) -> int:
        """The sum of the ids from one position up to another, as little-endian numbers, mod 2^256."""
        self._count()
        return (self._before(end) - self._before(begin)) & _MASK

    def _before(self, position: int) -> int:
        """The sum of all ids before a position."""
        if position == 0:
            return 0
        found = self._known.get(position)
        if found is None:
            at = bisect_left(self._counts, position) - 1
            chunk = self._chunks[at]
            found = self._sums[at] + chunk.before(position - self._counts[at])
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[position] = found
        return found

    # ------------------------------------------------------------ by epoch

    def epochs(self, begin: int) -> Iterator[int]:
        """The epochs with records, from `begin` on, in order."""
        self._count()
        last = -1
        for at in range(bisect_left(self._chunks, begin, key=lambda chunk: chunk.epoch), len(self._chunks)):
            epoch = self._chunks[at].epoch
            if epoch != last:
                yield epoch
                last = epoch

    def epoch_size(self, epoch: int) -> int:
        """The number of records of one epoch."""
        return sum(len(chunk.ids) for chunk in self._epoch_chunks(epoch))

    def epoch_ids(self, epoch: int, after: bytes, count_max: int) -> list[bytes]:
        """The first ids of one epoch that are greater than `after`, in order."""
        found: list[bytes] = []
        for chunk in self._epoch_chunks(epoch):
            if chunk.ids[-1] > after and len(found) < count_max:
                found += chunk.ids[bisect_right(chunk.ids, after) :]
        return found[:count_max]

    def epoch_digest(self, epoch: int) -> bytes:
        """SHA-256 over the sorted ids of one epoch. Nobody can forge it, unlike a sum."""
        return sha256(b"".join([b"".join(chunk.ids) for chunk in self._epoch_chunks(epoch)]))

    def _epoch_chunks(self, epoch: int) -> list[_Chunk]:
        self.settle()
        begin, end = (bisect_left(self._chunks, each, key=lambda chunk: chunk.epoch) for each in (epoch, epoch + 1))
        return self._chunks[begin:end]
