"""Cases of the fold: records, a cut, and the view that the cut's two thirds have signed.

The first is a small network in virtual time, in which one peer lies and is convicted. The others are written by hand,
a few records each, for what such a network hardly ever does.
"""

from dataclasses import replace
from pathlib import Path

from p2pverify.core import draw, sign, vrf
from p2pverify.core.canon import encode
from p2pverify.core.fold import Fold
from p2pverify.core.ledger import Ledger
from p2pverify.core.network import Network
from p2pverify.core.records import NO_PREV, Conflict, Cut, CutSignature, Evidence, Join, Kind, Record, make_record
from p2pverify.core.verify import VerificationFailed, verify
from p2pverify.core.view import view_value
from tests.support.world import World, always
from vectorgen.case import Case
from vectorgen.examples import ALICE, BOB, CAROL, DAVE, MANIFEST, NETWORK, NETWORK_ID, PEERS, Peer

FALSE_ROOT = bytes(32)
LEAVE = encode([])


class Book:
    """A ledger with its fold, and authors who write into it whatever they are told to."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.ledger = Ledger()
        self.fold = Fold(network, self.ledger)

    def take(self, *records: Record) -> None:
        for each in records:
            for added in self.ledger.add(each):
                self.fold.take(added)
        self.fold.settle()

    def say(self, seed: bytes, kind: Kind, payload: bytes, epoch: int) -> Record:
        """The next record of a log."""
        key = sign.public_key(seed)
        head = self.ledger.head(key)
        seq, prev = (0, NO_PREV) if head is None else (head[1] + 1, head[2])
        made = make_record(
            seed, key, self.network.id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload
        )
        self.take(made)
        return made

    def proposal(self, seed: bytes, epoch: int, vrf_seed: bytes | None = None) -> Cut:
        """A true proposal on top of the newest certified cut: of all that is here."""
        own = vrf.derive_seed(seed) if vrf_seed is None else vrf_seed
        base = self.fold.latest
        proof = vrf.prove(own, draw.propose_alpha(self.network.id, epoch, base.beacon))
        heads = self.ledger.heads()
        empty = Cut(epoch, base.id, vrf.public_key(own), proof, heads, FALSE_ROOT, FALSE_ROOT)
        return self.fold.propose(empty, sign.public_key(seed)) or empty

    def certify(self, seed: bytes, cut: Cut, signers: tuple[bytes, ...]) -> Record:
        """A proposal, true or not, with signatures of these."""
        made = self.say(seed, Kind.CUT, cut.encode(), cut.epoch)
        for each in signers:
            self.say(each, Kind.CUT_SIGNATURE, CutSignature(made.id).encode(), cut.epoch)
        return made

    def step(self, proposer: Peer, epoch: int, signers: tuple[Peer, ...] = PEERS) -> Record:
        """A true cut of the example's network, certified."""
        made = self.certify(proposer.seed, self.proposal(proposer.seed, epoch), tuple(peer.seed for peer in signers))
        assert self.fold.latest.id == made.id
        return made

    def data(self) -> list[bytes]:
        return [record.data for record in self.ledger.records()]


def _verdict(network: Network, cut_id: bytes, records: list[bytes]) -> tuple[object, str | None]:
    try:
        found = verify(network.id, network.encode(), cut_id, records)
    except VerificationFailed as failed:
        return "fail", failed.reason
    standings = {score.peer.hex(): str(score.standing) for score in found.scores}
    return {
        "index": found.cuts,
        "records": found.records,
        "records_after": found.records_after,
        "ledger_root": found.cut.ledger_root.hex(),
        "view_root": found.cut.view_root.hex(),
        "standings": standings,
    }, None


def _case(
    comment: str,
    network: Network,
    cut_id: bytes,
    records: list[bytes],
    reason: str | None = None,
    *,
    like: str | None = None,
    shared: tuple[bytes, ...] = (),
) -> Case:
    """A case; with `like`, the records that it shares with that case are left out and named by their numbers."""
    expect, found = _verdict(network, cut_id, records)
    assert found == reason, f"{comment}: {found}"
    inputs: dict[str, object] = {"network_id": network.id.hex(), "network": network.encode().hex(), "cut": cut_id.hex()}
    if like is not None:
        kept = [data for data in shared if data in records]
        assert records[: len(kept)] == kept
        inputs["like"] = like
        inputs["without"] = [number for number, data in enumerate(shared) if data not in records]
        inputs["records"] = [data.hex() for data in records[len(kept) :]]
    else:
        inputs["records"] = [data.hex() for data in records]
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


# ---------------------------------------------------------------- a network in virtual time

CHEATER = "four peers, one of which lies and is convicted"


class Story:
    """The records of the simulated network up to its newest certified cut, and that cut's certificate."""

    def __init__(self) -> None:
        world = World(4, seed=1, cores=4, conviction_odds=1000, spot_check_permille=100)
        world.peers[1].lie = always
        world.run_epochs(7)
        assert world.convicted(0) == {1}
        machine = world.peers[0].machine
        self.seeds = world.identities
        self.network = world.network
        self.state = machine.fold.latest
        ledger = machine.context.ledger
        self.base = list(ledger.between({}, self.state.heads.values()))
        inside = {record.id for record in self.base}
        ends = {}
        for record in ledger.records():
            is_cut = record.id == self.state.id
            is_signature = record.kind == Kind.CUT_SIGNATURE and record.payload == CutSignature(self.state.id).encode()
            if is_cut or is_signature:
                ends[record.author] = record.seq
        between = {author: head[1] for author, head in self.state.heads.items()}
        self.tail = [
            record
            for record in ledger.records()
            if record.id not in inside and between.get(record.author, -1) < record.seq <= ends.get(record.author, -1)
        ]
        self.records = [record.data for record in [*self.base, *self.tail]]

    def case(
        self, comment: str, cut_id: bytes, records: list[bytes] | list[Record], reason: str | None = None
    ) -> Case:
        found = [each.data if isinstance(each, Record) else each for each in records]
        return _case(comment, self.network, cut_id, found, reason, like=CHEATER, shared=tuple(self.records))

    def next_cut(self) -> tuple[Book, Cut, bytes, tuple[bytes, ...]]:
        """All records, a true proposal on top of them, its proposer, and who signs."""
        book = Book(self.network)
        book.take(*self.base, *self.tail)
        assert book.fold.latest.id == self.state.id
        honest = tuple(seed for number, seed in enumerate(self.seeds) if number != 1)
        return book, book.proposal(honest[0], self.state.epoch + 1), honest[0], honest


def _story() -> tuple[list[Case], list[Case]]:
    story = Story()
    before = story.state.path[-2]
    valid = [
        _case(CHEATER, story.network, story.state.id, story.records),
        story.case("the cut before it, and a file that goes on", before, story.records),
    ]
    signatures = [record for record in story.tail if record.kind == Kind.CUT_SIGNATURE]
    unsigned = [each for each in [*story.base, *story.tail] if each not in signatures[1:]]
    middle = story.base[len(story.base) // 2]
    forged = bytearray(middle.data)
    forged[-1] ^= 1
    network, state = story.network, story.state
    other = replace(network, name="another")
    elsewhere = verify_case_of_another(other, network, state.id, story.records)
    rest = [each for each in story.records if each != middle.data]
    invalid = [
        story.case("a record left out", state.id, rest, "a record before it is missing"),
        story.case(
            "one signature of four: no certificate",
            state.id,
            unsigned,
            "the last cut has no certificate of two thirds of the weight",
        ),
        story.case("a cut that is not there", bytes(32), story.records, "the last cut is not in the file"),
        story.case("a record that is no cut", middle.id, story.records, "the last cut is not in the file"),
        story.case("a record twice", state.id, [*story.records, middle.data], "known"),
        elsewhere,
        _changed_payload(story, middle, bytes(forged), rest),
    ]
    return valid, invalid + _false_cuts(story)


def verify_case_of_another(other: Network, network: Network, cut_id: bytes, records: list[bytes]) -> Case:
    reason = "the network definition is not that of the network id"
    with_other = _with_id(other.id, network, cut_id, records, reason)
    return with_other


def _with_id(network_id: bytes, network: Network, cut_id: bytes, records: list[bytes], reason: str) -> Case:
    try:
        verify(network_id, network.encode(), cut_id, records)
    except VerificationFailed as failed:
        assert failed.reason == reason
    inputs: dict[str, object] = {
        "network_id": network_id.hex(),
        "network": network.encode().hex(),
        "cut": cut_id.hex(),
        "like": CHEATER,
        "without": [],
        "records": [],
    }
    return {"comment": "the definition of another network", "input": inputs, "expect": "fail", "reason": reason}
