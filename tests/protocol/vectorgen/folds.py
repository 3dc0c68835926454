"""Cases of the fold: records, a cut, and the view that two thirds of the weight have signed.

They come from a small network in virtual time, in which one peer lies and is convicted. The cases of `handmade` are
added.
"""

import json
from dataclasses import replace
from pathlib import Path

from vectorgen import handmade
from vectorgen.book import Book
from vectorgen.case import Case, forged

from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind, Record, decode_record
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head
from p2pverify.core.state.state import State
from tests.support.networks import seeds
from tests.support.worlds import convicted, final, make_world

STORY = Path(__file__).parents[3] / "protocol" / "vectors" / "fold" / "valid.json"
PEERS, SEED, LIAR = 4, 1, 1
CHEATER = "four peers, one of which lies and is convicted"
NO_CERTIFICATE = "the last cut has no certificate of two thirds of the weight"
WRONG_PROPOSER = "the last cut does not hold: the proposer has no weight or another VRF key"


class Story:
    """The simulated network's records in its newest certified cut, followed by this cut and its signatures."""

    def __init__(self) -> None:
        self.network, self.records = _kept() if STORY.exists() else _played()
        self.book = Book(self.network, self.records)
        self.state = self.book.fold.latest
        self.base = [each for each in self.records if _is_in(each, self.state)]
        self.tail = self.records[len(self.base) :]
        identities = seeds(PEERS, f"world-{SEED}")
        self.cheater = identities.pop(LIAR)
        self.honest = tuple(identities)

    def case(self, comment: str, reason: str | None, cut_id: bytes | None = None, *records: Record) -> Case:
        """A case without the story's records. If no records are given, it has all of them."""
        chosen = list(records) or self.records
        return self.book.case(comment, cut_id or self.state.id, reason, records=chosen, like=(CHEATER, self.records))


def _kept() -> tuple[Network, list[Record]]:
    """The story of the present vectors, so that they stay as they are. For a new story, delete their file."""
    (case,) = (each for each in json.loads(STORY.read_text(encoding="utf-8")) if each["comment"] == CHEATER)
    records = [decode_record(bytes.fromhex(data)) for data in case["input"]["records"]]
    return decode_network(bytes.fromhex(case["input"]["network"])), records


def _played() -> tuple[Network, list[Record]]:
    """A new story."""
    world = make_world(PEERS, seed=SEED, kinds={LIAR: "always-wrong"}, conviction_odds=1000, spot_check_permille=100)
    world.run_epochs(7)
    assert convicted(world) == {LIAR}
    state, held = final(world), list(world.peers[0].machine.context.ledger.records())
    ends = {each.author: each.seq for each in held if each.id == state.id or _signs(each, state.id)}
    base = [each for each in held if _is_in(each, state)]
    return world.network, [
        *base,
        *(each for each in held if each not in base and each.seq <= ends.get(each.author, -1)),
    ]


def _is_in(record: Record, state: State) -> bool:
    head = state.heads.get(record.author)
    return head is not None and record.seq <= head[1]


def _signs(record: Record, cut_id: bytes) -> bool:
    return record.kind == Kind.CUT_SIGNATURE and record.payload == CutSignature(cut_id).encode()


def told(story: Story) -> list[Case]:
    return [
        story.book.case(CHEATER, story.state.id, records=story.records),
        story.case("two cuts before it, in a file that goes on", None, story.state.path[-3]),
    ]


def wrong_files(story: Story) -> list[Case]:
    signatures = [each for each in story.tail if _signs(each, story.state.id)]
    unsigned = [each for each in story.records if each not in signatures[1:]]
    middle = story.base[len(story.base) // 2]
    rest = [each for each in story.records if each is not middle]
    other = replace(story.network, name="another")
    return [
        story.case("a record left out", "a record before it is missing", None, *rest),
        story.case("one signature is no certificate", NO_CERTIFICATE, None, *unsigned),
        story.case("a cut that is not there", "the last cut is not in the file", bytes(31) + b"\1"),
        story.case("a record that is no cut", "the last cut is not in the file", middle.id),
        story.case("a record twice", "known", None, *story.records, middle),
        story.case("a record with a forged signature", "bad signature", None, *rest, decode_record(forged(middle))),
        story.book.case(
            "the id of another network",
            story.state.id,
            "the network definition is not that of the network id",
            records=story.records,
            like=(CHEATER, story.records),
            network_id=other.id,
        ),
    ]


def false_cuts(story: Story) -> list[Case]:
    """Cuts that honest members would not sign, signed by three of four."""
    epoch, seed = story.state.epoch, story.honest[0]
    base = story.state.heads
    book = Book(story.network, story.records)
    true = book.proposal(seed, epoch + 1)
    later = book.proposal(seed, epoch + 2)
    shorter = tuple(_shorter(book, base[author]) for author in sorted(base))
    unmoved = tuple(sorted([*true.moved[1:], base[true.moved[0][0]]]))
    beside = tuple(head for head in true.moved if head[0] == sign.public_key(seed))
    rows: list[tuple[str, Cut, str]] = [
        ("another view root", replace(true, view_root=bytes(32)), "the view root is not what the records give"),
        ("another state root", replace(true, state_root=bytes(32)), "the state root is not what the records give"),
        ("another ledger root", replace(true, ledger_root=bytes(32)), "the ledger root is not that of the heads"),
        ("the proof of another epoch", replace(true, proof=later.proof), "VRF proof does not hold"),
        (
            "of the epoch of its base",
            book.proposal(seed, epoch),
            "the cut is not of a later epoch than its base",
        ),
        (
            "a head that is the base's",
            book.proposal(seed, epoch + 1, moved=unmoved),
            "a head of the cut has not moved",
        ),
        (
            "less than its base holds",
            book.proposal(seed, epoch + 1, moved=shorter),
            "the cut does not contain its base",
        ),
        (
            "without the certificate of its base",
            book.proposal(seed, epoch + 1, moved=beside),
            "the base has no certificate inside the cut",
        ),
    ]
    cases = [
        _signed(story, comment, seed, cut, f"the last cut does not hold: {reason}") for comment, cut, reason in rows
    ]
    chosen_key = book.proposal(seed, epoch + 1, vrf_seed=vrf.derive_seed(story.cheater))
    convicted = book.proposal(story.cheater, epoch + 1)
    return [
        *cases,
        _signed(story, "a proposer with a VRF key that is not its own", seed, chosen_key, WRONG_PROPOSER),
        _signed(story, "a proposer whose weight was taken", story.cheater, convicted, WRONG_PROPOSER),
    ]


def _shorter(book: Book, head: Head) -> Head:
    return head[0], head[1] - 1, book.ledger.ancestor(head, head[1] - 1)


def _signed(story: Story, comment: str, seed: bytes, cut: Cut, reason: str) -> Case:
    book = Book(story.network, story.records)
    made = book.certify(seed, cut, story.honest)
    return book.case(comment, made.id, reason, like=(CHEATER, story.records))


def cases() -> dict[Path, list[Case]]:
    story = Story()
    return {
        Path("fold"): [*told(story), *handmade.valid_and_invalid(), *wrong_files(story), *false_cuts(story)],
        Path("fold/disputes.json"): handmade.disputes(),
        Path("fold/forks.json"): handmade.forks_and_missed(),
    }
