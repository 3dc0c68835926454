"""What a peer serves to newcomers: the states at the newest two cuts of each sixteenth index, and at the cuts before.

A state is written out when it is first asked for. Nothing about an asker is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2pverify.core.blobs.messages import BlobRefused, BlobStatus
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import encode
from p2pverify.core.proofs.exchange import PassportSet
from p2pverify.core.proofs.issuing import certify
from p2pverify.core.records.envelope import Kind
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.named import NamedRecords
from p2pverify.core.snapshot.checkpoints import EVERY, Checkpoints
from p2pverify.core.snapshot.messages import (
    CERTIFICATE,
    HASH_BYTES,
    HASHES,
    HASHES_MAX,
    LEAF_BYTES_MAX,
    LEAVES,
    NEWEST,
    PARTS,
    RECORD,
    SERVED_MAX,
    NewestStates,
    SectionPart,
    ServedCut,
    StateRequest,
    encode_parts,
    fitting,
)
from p2pverify.core.state.codec.sections import leaves_of
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.state import State

#: A state is served once so many cuts have followed it, because the newest cut may give way to another one.
BURIED = 4


@dataclass(frozen=True, slots=True)
class _Outline:
    """The sections of a state, and the hashes of the leaves of each."""

    parts: tuple[SectionPart, ...]
    hashes: Mapping[str, bytes]


@dataclass(slots=True)
class _Served:
    """The state at a cut, those at the cuts before, what was written out of them, and the records that it names."""

    states: tuple[State, ...]  # oldest first
    named: NamedRecords
    found: dict[bytes, bytes | None] = field(default_factory=dict)  # records that were asked for, by name
    outlines: dict[bytes, _Outline] = field(default_factory=dict)
    leaves: dict[bytes, bytes] = field(default_factory=dict)


class StateServer:
    """Serves states of one fold. `note` is to be called whenever a cut became final."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._near: dict[bytes, State] = {}  # the states of the newest cuts of the path
        self._served: list[_Served] = []  # oldest first
        self.checkpoints = Checkpoints()

    def note(self) -> bool:
        """Look at the newest cut. Returns whether another state is served now."""
        latest, before = self._fold.latest, self._near
        self._near = {}
        for cut_id in latest.path[-BURIED - NEAR_CARRY :]:
            state = before.get(cut_id) or self._fold.kept(cut_id)
            if state is not None:
                self._near[cut_id] = state
        index = (latest.index - BURIED) // EVERY * EVERY
        if index < NEAR_CARRY or index <= self._newest_index():
            return False
        ids = [latest.at_index(each) for each in range(index + 1 - NEAR_CARRY, index + 1)]
        states = tuple(state for cut_id in ids if cut_id is not None and (state := self._near.get(cut_id)) is not None)
        certificate = certify(self._fold, states[-1]) if len(states) == NEAR_CARRY else None
        if certificate is None:
            return False  # after a pause, or if weight grew at that cut
        self._served = [*self._served, _Served(states, NamedRecords(states[-1]))][-SERVED_MAX:]
        self.checkpoints.add(index, states[-1].id, PassportSet(certificate, ()).encode())
        return True

    def _newest_index(self) -> int:
        return self._served[-1].states[-1].index if self._served else -1

    def newest(self) -> NewestStates:
        tops = [each.states[-1] for each in self._served]
        return NewestStates(tuple(ServedCut(top.index, top.epoch, top.id) for top in tops), self.checkpoints.listed())

    def unwritten(self, request: StateRequest) -> bytes | None:
        """A cut whose state must be written out before a request can be answered. Ask again after each."""
        if request.what in (PARTS, HASHES):
            found = self._find(request.cut)
            return None if found is None or request.cut in found[0].outlines else request.cut
        if request.what != LEAVES or all(self._leaf(each) is not None for each in request.hashes):
            return None
        return next((s.id for each in self._served for s in each.states if s.id not in each.outlines), None)

    def write_out(self, cut: bytes) -> None:
        """Write out a served state. It takes a tenth of a second in a large network, so call it in a thread."""
        found = self._find(cut)
        if found is None:
            return
        served, state = found
        hashes, parts = {}, []
        for name, leaves in leaves_of(self._fold.network_id, state).items():
            own = [merkle.leaf(leaf) for leaf in leaves]
            served.leaves.update(zip(own, leaves, strict=True))
            hashes[name] = b"".join(own)
            parts.append(SectionPart(name, len(own), merkle.grouped_root(own)))
        served.outlines[cut] = _Outline(tuple(parts), hashes)

    def _find(self, cut: bytes) -> tuple[_Served, State] | None:
        return next(((each, state) for each in self._served[::-1] for state in each.states if state.id == cut), None)

    # ------------------------------------------------------------ answers

    def answer(self, request: StateRequest) -> bytes:
        """The body of an answer. Raises BlobRefused. States must be written out: see `unwritten`."""
        if request.what == NEWEST:
            return self.newest().encode()
        if request.what == CERTIFICATE:
            return _known(self.checkpoints.get(request.cut))
        if request.what == RECORD:
            return _known(self._record(request.cut))
        if request.what == PARTS:
            return encode_parts(self._outline(request.cut).parts)
        if request.what == HASHES:
            begin = request.begin * HASH_BYTES
            hashes = _known(self._outline(request.cut).hashes.get(request.section))
            if begin >= len(hashes):
                raise BlobRefused(BlobStatus.BEYOND)
            return hashes[begin : begin + HASHES_MAX * HASH_BYTES]
        return self._leaves(request.hashes)

    def _record(self, name: bytes) -> bytes | None:
        """The bytes of a cut's record, or of one that a served state names."""
        record = self._fold.ledger.get(name)
        if record is not None and record.kind == Kind.CUT:
            return record.data
        served = next((each for each in reversed(self._served) if name in each.named.wanted), None)
        if served is None:
            return None
        if name not in served.found:
            record = served.named.find(self._fold.ledger, name)
            served.found[name] = None if record is None else record.data
        return served.found[name]

    def _outline(self, cut: bytes) -> _Outline:
        found = self._find(cut)
        outline = None if found is None else found[0].outlines.get(cut)
        if outline is None:
            raise BlobRefused(BlobStatus.UNKNOWN)
        return outline

    def _leaves(self, hashes: tuple[bytes, ...]) -> bytes:
        leaves = [_known(self._leaf(each)) for each in hashes]
        if len(leaves[0]) > LEAF_BYTES_MAX:
            raise BlobRefused(BlobStatus.NOT_SERVED)
        return encode(fitting(leaves))

    def _leaf(self, leaf_hash: bytes) -> bytes | None:
        return next((leaf for each in self._served if (leaf := each.leaves.get(leaf_hash)) is not None), None)


def _known(data: bytes | None) -> bytes:
    if data is None:
        raise BlobRefused(BlobStatus.UNKNOWN)
    return data
