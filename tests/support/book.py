"""A ledger with its fold. Test peers write any record into it."""

from collections.abc import Iterable
from typing import Any

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State


class Book:
    """Authors are named by their identity seeds."""

    def __init__(self, network: Network, records: Iterable[Record] = (), *, start: State | None = None) -> None:
        self.network = network
        self.ledger = Ledger()
        self.fold = Fold(network, self.ledger, start=start)
        self.order: list[Record] = []
        for each in records:
            self.take(each)

    def take(self, record: Record) -> None:
        self.order.append(record)
        for added in self.ledger.add(record):
            self.fold.take(added)
        self.fold.settle()

    def say(self, seed: bytes, kind: Kind, payload: bytes, epoch: int) -> Record:
        """Write the next record of a log."""
        key = sign.public_key(seed)
        head = self.ledger.head(key)
        seq, prev = (0, NO_PREV) if head is None else (head[1] + 1, head[2])
        made = make_record(seed, key, self.network.id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload)
        self.take(made)
        return made

    def proposal(
        self, seed: bytes, epoch: int, *, moved: tuple[Head, ...] | None = None, vrf_seed: bytes | None = None
    ) -> Cut:
        """A proposal on the newest certified cut with all records here. It has correct roots if it is valid."""
        own = vrf_seed or vrf.derive_seed(seed)
        base = self.fold.latest
        proof = vrf.prove(own, sortition.propose_alpha(self.network.id, epoch, base.beacon))
        chosen = tuple(self.ledger.moved(base.heads)) if moved is None else moved
        empty = Cut(epoch, base.id, vrf.public_key(own), proof, chosen, bytes(32), bytes(32), bytes(32))
        return self.fold.propose(empty, sign.public_key(seed)) or empty

    def certify(self, seed: bytes, cut: Cut, signers: Iterable[bytes]) -> Record:
        """Write the proposal, valid or not, and the signatures of these signers."""
        made = self.say(seed, Kind.CUT, cut.encode(), cut.epoch)
        for each in signers:
            self.say(each, Kind.CUT_SIGNATURE, CutSignature(made.id).encode(), cut.epoch)
        return made

    def step(self, seed: bytes, epoch: int, signers: Iterable[bytes], **changes: Any) -> Record:
        """Write a valid cut and the signatures of these signers."""
        made = self.certify(seed, self.proposal(seed, epoch, **changes), signers)
        assert self.fold.latest.id == made.id
        return made
