"""The blobs of training rounds on this machine: updates, shown rows, and the weights and manifests that rounds made.

They lie in a folder of their own (home/rounds), because rows of others are among them, and all of them are deleted by
one rule: a blob that no counted record has named for ROUND_CUTS_KEPT final cuts goes. Shown rows go at once when their
owner has erased rows, or offers them no more (`core.state.history.datasets.must_drop`). After a restart nothing is
known of the blobs in the folder, and the same rule deletes them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import trio

from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.state.history.datasets import must_drop
from p2pverify.core.state.rounds.take import open_round
from p2pverify.core.state.state import State
from p2pverify.core.training.shown import SHOWN_BYTES_MAX
from p2pverify.node.blobs.ports import BlobKeeper, RoundBlobSource

#: Final cuts for which blobs stay that no record names any more, so that slower voters and an audit still get them.
ROUND_CUTS_KEPT = 8
#: The blobs of rounds on a machine, together; the oldest go first.
ROUND_BLOBS_BYTES_MAX = 2 * 10**9
_READ_BYTES_MAX = max(SHOWN_BYTES_MAX, MANIFEST_BYTES_MAX)


@dataclass(slots=True)
class _Named:
    """What counted records name: rows of others with their data set and root, and all else."""

    rows: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    others: set[bytes] = field(default_factory=set)


class RoundBlobs(RoundBlobSource):
    """The blobs in one folder. `lasting` gives the weights and manifests of versions that rounds made.

    Methods that block may be called in any thread, and all others in the machine's.
    """

    def __init__(self, keeper: BlobKeeper, lasting: Callable[[], Iterable[bytes]]) -> None:
        self._keeper = keeper
        self._lasting = lasting
        self._named = _Named()
        self._index = 0
        self._rows: dict[bytes, tuple[bytes, bytes]] = {}  # all that were named and are perhaps still here
        self._last: dict[bytes, int] = {}  # the newest final cut that named a blob, or with which it was first seen
        self._made: dict[bytes, RoundPlace] = {}  # by this node, and perhaps not named yet
        self._dropped: frozenset[bytes] = frozenset()

    # ------------------------------------------------------------ reading and writing

    def is_served(self, sha256: bytes) -> bool:
        """See the port."""
        if sha256 in self._dropped:
            return False
        return sha256 in self._named.rows or sha256 in self._named.others

    def read(self, sha256: bytes, offset: int, length: int) -> bytes | None:
        """See the port."""
        return self._keeper.read(sha256, offset, length)

    def get(self, digest: bytes) -> bytes | None:
        """A whole blob; None if it is not here or damaged. Blocks. Raises UserError."""
        path = None if digest in self._dropped else self._keeper.path(digest)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                data = file.read(_READ_BYTES_MAX + 1)
        except FileNotFoundError:
            return None  # it was dropped meanwhile
        if sha256(data) == digest:
            return data
        self._keeper.delete(digest)
        return None

    def has(self, digest: bytes) -> bool:
        """Whether a whole file is here, however large. Blocks."""
        return self._keeper.path(digest) is not None

    def keep(self, data: bytes) -> bytes:
        """Keep a blob on disk. Returns its SHA-256. Blocks. Raises UserError."""
        return self._keeper.keep(data)

    def note(self, digests: Iterable[bytes], place: RoundPlace) -> None:
        """Note what this node made or fetched for a round: it stays until the round is over, named or not."""
        self._made |= dict.fromkeys(digests, place)

    # ------------------------------------------------------------ what may stay

    def look(self, state: State) -> None:
        """Take a newest final state: what it names is served from now on."""
        named = _Named(others=set(self._lasting()))
        for known in state.rounds.values():
            current = known.open
            for author, opened in () if current is None else current.updates.items():
                assert current is not None
                named.others.add(opened.trained.update)
                named.rows[opened.shown] = (current.seals[author].dataset, opened.root)
        self._rows |= named.rows
        self._dropped = must_drop(state, self._rows)
        self._made = {digest: place for digest, place in self._made.items() if open_round(state, place) is not None}
        self._named, self._index = named, state.index
        for digest in (*named.rows, *named.others, *self._made):
            self._last[digest] = state.index

    async def tidy(self) -> None:
        """Delete what may not stay. Raises UserError."""
        held = {blob.sha256 for blob in await trio.to_thread.run_sync(self._keeper.held)}
        going = [
            digest
            for digest in held
            if self._index - self._last.setdefault(digest, self._index) > ROUND_CUTS_KEPT or digest in self._dropped
        ]
        stay = held | self._named.rows.keys() | self._named.others | self._made.keys()
        self._last = {digest: index for digest, index in self._last.items() if digest in stay}
        self._rows = {digest: row for digest, row in self._rows.items() if digest in stay}
        for digest in going:
            await trio.to_thread.run_sync(self._keeper.delete, digest)
