"""A path of states, step by step, from records without signatures. So thousands of cuts take seconds.

Only the fold is under test: what a cut must fulfil (`States`, `Cutter`) is not checked.
"""

from collections.abc import Iterable

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.records.envelope import NO_PREV, Header, Kind, Record, body_of
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.fork import first_state
from p2pverify.core.state.process import advance
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Frame

#: The states that a step may be asked for.
KEPT = 512
VRF_KEY = vrf.public_key(bytes(32))
BOX_KEY = bytes(31) + b"\x09"  # any point, of which nobody holds the secret


def key(name: str) -> bytes:
    return sha256(name.encode())


class Steps:
    """`latest` is the newest state. Each step takes the records that were said since the one before."""

    def __init__(self, network: Network, start: State | None = None) -> None:
        self.network = network
        self.latest = first_state(network, start)
        self.states = {self.latest.id: self.latest}
        self.waiting: list[Record] = []
        self._heads: dict[bytes, Head] = {}

    def say(self, author: bytes, kind: Kind, payload: bytes, *, epoch: int | None = None) -> Record:
        before = self._heads.get(author, (author, -1, NO_PREV))
        at = self.latest.epoch + 1 if epoch is None else epoch
        header = Header(self.network.id, author, at, before[1] + 1, before[2], int(kind), body_of(kind, payload))
        made = Record(header, bytes(64), payload, sha256(header.encode()), b"")
        self._heads[author] = (author, made.seq, made.id)
        self.waiting.append(made)
        return made

    def join(self, author: bytes, *, hardware: str = "") -> None:
        self.say(author, Kind.JOIN, Join(0, VRF_KEY, hardware, BOX_KEY).encode())

    def leave(self, author: bytes) -> None:
        self.say(author, Kind.LEAVE, encode([]))

    def propose(self, author: bytes, *, moved: tuple[Head, ...] = (), salt: int = 0, base: bytes = b"") -> Record:
        at = self.latest.epoch + 1
        roots = sha256(b"%d" % salt), bytes(32)
        cut = Cut(at, base or self.latest.id, VRF_KEY, bytes(80), moved, *roots, bytes(32))
        return self.say(author, Kind.CUT, cut.encode())

    def sign(self, author: bytes, cut_id: bytes) -> None:
        self.say(author, Kind.CUT_SIGNATURE, CutSignature(cut_id).encode())

    def certify(self, author: bytes, signers: Iterable[bytes], **changes: int) -> State:
        """A step whose cut is proposed and signed by members; the records of its certificate come with the next one."""
        records, self.waiting = self.waiting, []
        moved = tuple(sorted({record.author: self._heads[record.author] for record in records}.values()))
        proposed = self.propose(author, moved=moved)
        for signer in signers:
            self.sign(signer, proposed.id)
        late, self.waiting = self.waiting, records
        state = self.step(cut_id=proposed.id, **changes)
        self.waiting = late
        return state

    def step(self, *, epoch: int | None = None, cut_id: bytes = b"") -> State:
        """The next state, one epoch later if no epoch is given."""
        base, records, self.waiting = self.latest, self.waiting, []
        at = base.epoch + 1 if epoch is None else epoch
        heads = {**base.heads}
        for record in records:
            heads[record.author] = (record.author, record.seq, record.id)
        self.latest = advance(
            self.network,
            self.network.id,
            base,
            records,
            Frame(lambda cuts: [None] * len(cuts)),
            cut_id=cut_id or sha256(b"cut" + base.id),
            epoch=at,
            heads=heads,
            beacon=sha256(base.beacon),
        )
        self.states[self.latest.id] = self.latest
        if len(self.states) > KEPT:
            del self.states[next(iter(self.states))]
        return self.latest

    def run(self, cuts: int) -> State:
        for _ in range(cuts):
            self.step()
        return self.latest
