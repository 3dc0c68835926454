"""Cases of the fold of training rounds: two rounds of a line, a lie in a vote, a late update, an end, and a replay.

Seven founders of one class. Five of them contribute, and all of them vote.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case

from p2pverify.core.contract.history.training import REPLAY, REPORTED
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import digest, sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.rounds.losses import LossReport, LossSeal, loss_seal
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import Trained, UpdateSeal, update_seal
from p2pverify.core.records.payloads.rounds.update import Update
from p2pverify.core.records.payloads.rounds.votes import RoundCommit, RoundVote, round_commit
from p2pverify.core.state.rounds.notes import LineRounds, OpenRound
from p2pverify.core.training.losses import LossTable, losses_count
from p2pverify.core.training.result import ResultRow, RoundResult, UpdateFinding
from p2pverify.core.training.terms import TrainingTerms
from tests.support.datasets import dataset_of
from tests.support.networks import make_network, seeds
from tests.support.rounds import TERMS, with_training

PEERS, CONTRIBUTORS = 7, 5
SALT = sha256(b"round")
SEALED = "results are sealed"
WAITING = "an erasure within a round waits until the round is over"
DISCLOSED = "losses are open, but for one owner whose losses are not those that it sealed"
TAINTED = "the versions are tainted, and the first round is repeated"


class RoundTale:
    """The founders' records, with the first cut of a case. `cuts` are all of them, by comment.

    `rule` has changes of the training rule.
    """

    def __init__(self, first: str, peers: int = PEERS, terms: TrainingTerms = TERMS, **rule: object) -> None:
        self.seeds = seeds(peers, "rounds")
        self.owners = self.seeds[:CONTRIBUTORS]
        self.network = with_training(make_network(self.seeds), map(sign.public_key, self.owners), **rule)
        self.book = Book(self.network)
        self.epoch = 1
        self.cuts: dict[str, Record] = {}
        self.data: dict[bytes, bytes] = {}
        for seed in self.seeds:
            self.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode())
        for number, seed in enumerate(self.owners):
            offered = replace(dataset_of(f"rows {number}", rows=200), terms=terms)
            self.data[seed] = self.say(seed, Kind.DATASET, offered.encode()).id
        self.cut()
        self.cut(first)

    def say(self, seed: bytes, kind: Kind, payload: bytes) -> Record:
        return self.book.say(seed, kind, payload, self.epoch + 1)

    def cut(self, comment: str = "") -> None:
        """A cut of the next epoch, which five of seven sign."""
        self.epoch += 1
        made = self.book.step(self.seeds[0], self.epoch, self.seeds[:5])
        if comment:
            self.cuts[comment] = made

    @property
    def known(self) -> LineRounds:
        return self.book.fold.latest.rounds[0]

    @property
    def open(self) -> OpenRound:
        assert self.known.open is not None
        return self.known.open

    @property
    def place(self) -> RoundPlace:
        return RoundPlace(0, self.open.number)

    def trained(self, seed: bytes) -> Trained:
        return Trained(digest(["update", sign.public_key(seed), self.open.number]), None, 60)

    def seal(self, seed: bytes) -> None:
        own = (self.book.fold.latest.id, sign.public_key(seed))
        said = (self.network.id, own[1], self.place, self.open.manifest, self.data[seed], self.trained(seed), SALT)
        made = UpdateSeal(self.place, self.open.manifest, self.data[seed], own[0], update_seal(*said))
        self.say(seed, Kind.UPDATE_SEAL, made.encode())

    def update(self, seed: bytes) -> None:
        shown = sha256(b"shown" + sign.public_key(seed))
        made = Update(self.place, self.book.fold.latest.id, self.trained(seed), shown, 900, SALT)
        self.say(seed, Kind.UPDATE, made.encode())

    def losses(self, seed: bytes) -> LossTable:
        """Those of five houses, as an owner reports them."""
        first = 600_000 + 1000 * self.owners.index(seed)
        return tuple(first - number for number in range(losses_count(CONTRIBUTORS)))

    def seal_losses(self, seed: bytes) -> None:
        sealed = loss_seal(self.network.id, self.place, sign.public_key(seed), self.losses(seed), SALT)
        self.say(seed, Kind.LOSS_SEAL, LossSeal(self.place, self.book.fold.latest.id, sealed).encode())

    def open_losses(self, seed: bytes, losses: LossTable = ()) -> None:
        made = LossReport(self.place, self.book.fold.latest.id, losses or self.losses(seed), SALT)
        self.say(seed, Kind.LOSS_REPORT, made.encode())

    def result(
        self, name: str = "right", of: Callable[[bytes], UpdateFinding] = lambda _: UpdateFinding.RIGHT
    ) -> RoundResult:
        vote, state = self.open.vote, self.book.fold.latest
        assert vote is not None
        rows = tuple(
            ResultRow(author, of(author), 700 if of(author) is UpdateFinding.RIGHT else 0)
            for author in sorted(self.open.updates)
        )
        made = (digest([part, name, self.open.number]) for part in ("weights", "manifest"))
        return RoundResult(state.path[vote.opened_index], rows, 4_000, *made)

    def commit(self, seed: bytes, result: RoundResult) -> None:
        sealed = round_commit(self.network.id, self.place, sign.public_key(seed), result.digest, SALT)
        self.say(seed, Kind.ROUND_COMMIT, RoundCommit(self.place, self.book.fold.latest.id, sealed).encode())

    def vote(self, seed: bytes, result: RoundResult) -> None:
        self.say(seed, Kind.ROUND_VOTE, RoundVote(self.place, self.book.fold.latest.id, result, SALT).encode())


def _first_round(tale: RoundTale) -> None:
    """All seal and open at once. One voter of seven lies."""
    for seed in tale.owners:
        tale.seal(seed)
    tale.cut("all have sealed: the sealing is closed")
    for seed in tale.owners:
        tale.update(seed)
    tale.cut("all updates are open: the vote begins")
    right, wrong = tale.result(), tale.result("other")
    said = {seed: wrong if seed == tale.seeds[-1] else right for seed in tale.seeds}
    for seed, result in said.items():
        tale.commit(seed, result)
    tale.cut(SEALED)
    for seed, result in said.items():
        tale.vote(seed, result)
    tale.cut("six of seven decide: version 1, a dissent, and the next round")


def _second_round(tale: RoundTale) -> None:
    """One contributor seals late, another never opens. One update is found false."""
    for seed in tale.owners[1:]:
        tale.seal(seed)
    tale.cut("one contributor is waited for")
    tale.seal(tale.owners[0])
    tale.cut()
    for seed in tale.owners:
        tale.update(seed)
    tale.cut()
    false = sign.public_key(tale.owners[1])
    result = tale.result(of=lambda author: UpdateFinding.FALSE if author == false else UpdateFinding.RIGHT)
    for seed in tale.seeds:
        tale.commit(seed, result)
    tale.cut()
    for seed in tale.seeds:
        tale.vote(seed, result)
    tale.cut("a false update is a dissent of its author, and a late seal is noted")


def _third_round(tale: RoundTale) -> None:
    """Too few seal: the round is void."""
    for seed in tale.owners[:3]:
        tale.seal(seed)
    tale.cut()
    tale.cut("too few updates: the round is void, and the next one is open")


def told() -> RoundTale:
    tale = RoundTale("a round is open: five contributors have data for it")
    _first_round(tale)
    _second_round(tale)
    _third_round(tale)
    return tale


def replayed() -> RoundTale:
    """A line that replays: an erasure within the second round, and the repetition of the first one."""
    tale = RoundTale("a round of a line that replays is open", CONTRIBUTORS, erasure_policy=REPLAY)
    _whole_round(tale, "a decided round is remembered")
    for seed in tale.owners:
        tale.seal(seed)
    owner = tale.owners[2]
    tale.say(owner, Kind.ERASURE, Erasure(tale.data[owner], sha256(b"rows that are left"), 190, 1).encode())
    tale.cut(WAITING)
    _opened_and_decided(tale, TAINTED)
    _whole_round(tale, "the first round is repeated, and the second one is open again")
    return tale


def reported() -> RoundTale:
    """A round of reported losses. One owner opens others than it sealed."""
    terms = TrainingTerms(REPORTED, 0, 0)
    tale = RoundTale("a round of mode 2 is open", CONTRIBUTORS, terms, mode=REPORTED, held_rows=0, aggregate=2, f=0)
    for seed in tale.owners:
        tale.seal(seed)
    tale.cut()
    for seed in tale.owners:
        tale.update(seed)
    tale.cut("all updates are open, and owners report losses")
    for seed in tale.owners:
        tale.seal_losses(seed)
    tale.cut("all losses are sealed")
    for seed in tale.owners[1:]:
        tale.open_losses(seed)
    tale.open_losses(tale.owners[0], tale.losses(tale.owners[1]))
    tale.cut(DISCLOSED)
    tale.cut("the time for losses is over, and the vote begins without those of one owner")
    result = tale.result()
    for seed in tale.seeds:
        tale.commit(seed, result)
    tale.cut()
    for seed in tale.seeds:
        tale.vote(seed, result)
    tale.cut("a round of reported losses is decided")
    return tale


def _whole_round(tale: RoundTale, comment: str) -> None:
    for seed in tale.owners:
        tale.seal(seed)
    tale.cut()
    _opened_and_decided(tale, comment)


def _opened_and_decided(tale: RoundTale, comment: str) -> None:
    for seed in tale.owners:
        tale.update(seed)
    tale.cut()
    result = tale.result()
    for seed in tale.seeds:
        tale.commit(seed, result)
    tale.cut()
    for seed in tale.seeds:
        tale.vote(seed, result)
    tale.cut(comment)


def cases() -> dict[Path, list[Case]]:
    tales = {"rounds": told(), "replays": replayed(), "reported": reported()}
    return {Path(f"fold/{name}.json"): _cases(tale) for name, tale in tales.items()}


def _cases(tale: RoundTale) -> list[Case]:
    (first, opened), *others = tale.cuts.items()
    later = [tale.book.case(comment, cut.id, like=(first, tale.book.order)) for comment, cut in others]
    return [tale.book.case(first, opened.id), *later]
