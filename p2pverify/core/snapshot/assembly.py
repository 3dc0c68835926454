"""The plan of a snapshot: what to ask for next, and whether what came is right.

Everything follows from one trusted cut id. A cut's record hashes to its id, and names its base and the root of its
state. The parts of a state hash to that root, the hashes of a section to the section's root, and each leaf has its own
hash. So whoever sends anything false is known at once. The states at the cuts before cost little, because most of their
leaves are those of the newest one, and no leaf is fetched twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.cut import Cut, decode_cut
from p2pverify.core.snapshot.messages import (
    ASKED_LEAVES_MAX,
    HASHES,
    LEAVES,
    PARTS,
    RECORD,
    SectionPart,
    StateRequest,
    decode_leaves,
    decode_parts,
    read_hashes,
)
from p2pverify.core.state.codec.sections import DOMAIN, STATE_BYTES_MAX
from p2pverify.core.state.memory import NEAR_CARRY

#: Leaves that one source is asked for at a time.
BATCH_LEAVES = 64
assert BATCH_LEAVES <= ASKED_LEAVES_MAX


@dataclass(slots=True)
class StatePiece:
    """Something to fetch from one source, with as many requests as it takes.

    `next_request` is None as soon as it is whole.
    """

    request: StateRequest
    count: int = 1  # hashes or leaves that make it whole
    got: list[bytes] = field(default_factory=list)

    @property
    def next_request(self) -> StateRequest | None:
        if len(self.got) >= self.count:
            return None
        if self.request.what == HASHES:
            return StateRequest(HASHES, self.request.cut, self.request.section, len(self.got))
        if self.request.what == LEAVES:
            return StateRequest(LEAVES, hashes=self.request.hashes[len(self.got) :])
        return self.request

    def take(self, body: bytes) -> bool:
        """Take the body of an answer to `next_request`. False if nobody honest can have sent it."""
        try:
            found = self._read(body)
        except DecodeError:
            return False
        self.got += found
        return len(self.got) <= self.count

    def _read(self, body: bytes) -> tuple[bytes, ...]:
        if self.request.what == HASHES:
            return read_hashes(body)
        if self.request.what == LEAVES:
            leaves = decode_leaves(body)
            wanted = self.request.hashes[len(self.got) : len(self.got) + len(leaves)]
            if tuple(map(merkle.leaf, leaves)) != wanted:
                raise DecodeError("leaves: not those that were asked for")
            return leaves
        return (body,)


class Assembly:
    """The states at a trusted cut and at the cuts before it, from pieces. `leaves` are those that are here already.

    `stage` is what to fetch now. When all of it was taken, there is another stage, or none: then `is_done`.
    """

    def __init__(self, network_id: bytes, cut: bytes, leaves: Mapping[bytes, bytes] | None = None) -> None:
        self._network_id = network_id
        self._leaves: dict[bytes, bytes] = dict(leaves or {})
        self._path = [cut]  # newest first
        self._cuts: dict[bytes, Cut] = {}
        self._parts: dict[bytes, tuple[SectionPart, ...]] = {}
        self._hashes: dict[bytes, tuple[bytes, ...]] = {merkle.grouped_root([]): ()}  # by the root of the section
        self._wanted: frozenset[bytes] = frozenset()  # hashes of all leaves, once they are known
        self._here = (0, 0)  # wanted leaves that are here, and their bytes

    # ------------------------------------------------------------ what to fetch

    def stage(self) -> list[StatePiece]:
        """What to fetch now: the pieces of one kind that are missing. None if all is here."""
        if not self._is_path_known():
            return [StatePiece(StateRequest(RECORD, self._path[-1]))]
        missing = [cut for cut in self.cuts if cut not in self._parts]
        if missing:
            return [StatePiece(StateRequest(PARTS, cut)) for cut in missing]
        return self._missing_hashes() or self._missing_leaves()

    def _is_path_known(self) -> bool:
        return len(self._cuts) == len(self._path) and (
            len(self._path) == NEAR_CARRY or self._cuts[self._path[-1]].base == self._network_id
        )

    def _missing_hashes(self) -> list[StatePiece]:
        found: dict[bytes, StatePiece] = {}
        for cut in self.cuts:
            for part in self._parts[cut]:
                if part.root not in self._hashes:
                    found.setdefault(part.root, StatePiece(StateRequest(HASHES, cut, part.name), part.count))
        return list(found.values())

    def _missing_leaves(self) -> list[StatePiece]:
        wanted = dict.fromkeys(self._all_hashes())
        missing = [each for each in wanted if each not in self._leaves]
        if not self._wanted:
            here = [len(self._leaves[each]) for each in wanted if each in self._leaves]
            self._wanted, self._here = frozenset(wanted), (len(here), sum(here))
        batches = [missing[at : at + BATCH_LEAVES] for at in range(0, len(missing), BATCH_LEAVES)]
        return [StatePiece(StateRequest(LEAVES, hashes=tuple(batch)), len(batch)) for batch in batches]

    def _all_hashes(self) -> Iterator[bytes]:
        for cut in self.cuts[::-1]:
            for part in self._parts[cut]:
                yield from self._hashes[part.root]

    # ------------------------------------------------------------ what came

    def take(self, piece: StatePiece) -> bool:
        """Take a whole piece. False if it is false."""
        request = piece.request
        try:
            if request.what == RECORD:
                self._take_record(request.cut, piece.got[0])
            elif request.what == PARTS:
                self._take_parts(request.cut, piece.got[0])
            elif request.what == HASHES:
                self._take_hashes(request, tuple(piece.got))
            else:
                self._leaves.update(zip(request.hashes, piece.got, strict=True))
                count, size = self._here
                self._here = count + len(piece.got), size + sum(map(len, piece.got))
        except DecodeError:
            return False
        return True

    def _take_record(self, cut_id: bytes, data: bytes) -> None:
        record = decode_record(data)
        if record.id != cut_id or record.kind != Kind.CUT or record.header.network != self._network_id:
            raise DecodeError("not the record of the cut")
        cut = self._cuts[cut_id] = decode_cut(record.payload)
        if len(self._path) < NEAR_CARRY and cut.base != self._network_id and cut.base not in self._path:
            self._path.append(cut.base)

    def _take_parts(self, cut: bytes, data: bytes) -> None:
        parts = decode_parts(data)
        if merkle.grouped_root([merkle.leaf(encode(part.to_value())) for part in parts]) != self._cuts[cut].state_root:
            raise DecodeError("not the parts of the state")
        self._parts[cut] = parts

    def _take_hashes(self, request: StateRequest, hashes: tuple[bytes, ...]) -> None:
        root = next(part.root for part in self._parts[request.cut] if part.name == request.section)
        if merkle.grouped_root(hashes) != root:
            raise DecodeError("not the hashes of the section")
        self._hashes[root] = hashes

    # ------------------------------------------------------------ what is here

    @property
    def cuts(self) -> tuple[bytes, ...]:
        """The cuts whose states are fetched, oldest first."""
        return tuple(reversed(self._path))

    @property
    def epoch(self) -> int | None:
        """The epoch of the trusted cut, once its record is here."""
        cut = self._cuts.get(self._path[0])
        return None if cut is None else cut.epoch

    @property
    def leaves(self) -> int:
        """The number of leaves that are here."""
        return len(self._leaves)

    @property
    def is_done(self) -> bool:
        return not self.stage()

    def progress(self) -> tuple[int, int]:
        """The bytes of leaves that are here, and about how many there are in all; 0 if that is not known yet."""
        count, size = self._here
        return size, size * len(self._wanted) // count if count else 0

    def states(self) -> tuple[bytes, ...]:
        """The canonical bytes of the states at `cuts`. Raises DecodeError if a state is too large."""
        return tuple(self._state(cut) for cut in self.cuts)

    def _state(self, cut: bytes) -> bytes:
        sections = [[part.name, [self._leaves[each] for each in self._hashes[part.root]]] for part in self._parts[cut]]
        written = encode([DOMAIN, sections])
        if len(written) > STATE_BYTES_MAX:
            raise DecodeError("a state that is too large")
        return written
