"""A trained line on paper, with a story of seals, updates and votes; and a world whose peers train toys."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import digest, sha256
from p2pverify.core.events import Event, TrainingDone, TrainingJob
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.data import Dataset, Erasure
from p2pverify.core.records.payloads.rounds.losses import LossReport, LossSeal, loss_seal
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import Trained, UpdateSeal, update_seal
from p2pverify.core.records.payloads.rounds.update import Update
from p2pverify.core.records.payloads.rounds.votes import RoundCommit, RoundVote, round_commit
from p2pverify.core.state.rounds.notes import NO_ROUNDS, LineRounds, OpenRound
from p2pverify.core.state.state import State
from p2pverify.core.training.losses import LossTable
from p2pverify.core.training.orders import ReportOrder, TrainedUpdate, TrainingOrder, TrainingOutcome, TrainOrder
from p2pverify.core.training.result import ResultRow, RoundResult, UpdateFinding
from p2pverify.core.training.terms import TrainingTerms
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from tests.support.datasets import SCHEMA, dataset_of
from tests.support.lines import with_line
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps
from tests.support.training import RULE
from tests.support.worlds import Handle, casting, make_world

SALT = bytes(31) + b"\x01"
TERMS = TrainingTerms(RULE.mode, 40, 0)


def with_training(network: Network, contributors: Iterable[bytes], **changes: object) -> Network:
    """The network with a trained line over its first manifest. Each contributor (key) is a house of its own."""
    listed = tuple((key, house) for house, key in enumerate(sorted(contributors)))
    rule = replace(RULE, schema=SCHEMA.id, contributors=listed, **changes)  # type: ignore[arg-type]
    lined = with_line(network)
    return replace(lined, lines=(replace(lined.lines[0], training=rule),))


class RoundStory:
    """Founders of one class with a trained line. The first `contributors` of them have data, and all of them vote."""

    def __init__(
        self,
        count: int = 7,
        contributors: int = 5,
        *,
        terms: TrainingTerms = TERMS,
        change: Callable[[Network], Network] = lambda usual: usual,
        **changes: object,
    ) -> None:
        self.keys = sorted(map(sign.public_key, seeds(count)))
        rules = {name: changes.pop(name) for name in ("dispute_epochs",) if name in changes}
        usual = make_network(seeds(count), **rules)  # type: ignore[arg-type]
        self.network = change(with_training(usual, self.keys[:contributors], **changes))
        self.rule: TrainingRule = self.network.lines[0].training or RULE
        self.steps = Steps(self.network)
        for key in self.keys:
            self.steps.join(key)
        self.datasets: dict[bytes, bytes] = {}
        self._terms = terms
        for number, key in enumerate(self.keys[:contributors]):
            self.datasets[key] = self.steps.say(key, Kind.DATASET, self.offered(f"rows {number}").encode()).id
        self.cut()
        self.cut()

    def offered(self, name: str) -> Dataset:
        """A data set of 200 rows on the terms of the story."""
        return replace(dataset_of(name, rows=200), terms=self._terms)

    def cut(self) -> State:
        """The next cut, which all members sign."""
        return self.steps.certify(self.keys[0], self.keys)

    @property
    def state(self) -> State:
        return self.steps.latest

    @property
    def known(self) -> LineRounds:
        return self.state.rounds.get(0, NO_ROUNDS)

    @property
    def open(self) -> OpenRound:
        assert self.known.open is not None
        return self.known.open

    @property
    def place(self) -> RoundPlace:
        return RoundPlace(0, self.open.number)

    @property
    def contributors(self) -> list[bytes]:
        return sorted(self.datasets)

    def refusals(self, kind: str) -> dict[str, int]:
        """The counters of records of a kind that did not count."""
        return {name.partition(": ")[2]: n for name, n in self.state.totals.items() if name.startswith(f"{kind}: ")}

    # ------------------------------------------------------------ records

    def trained(self, author: bytes, salt: str = "") -> Trained:
        return Trained(digest(["update", author, self.open.number, salt]), None, 60)

    def seal(self, author: bytes, salt: str = "", **changes: Any) -> Record:
        trained = self.trained(author, salt)
        dataset = changes.pop("dataset", self.datasets.get(author, bytes(32)))
        said = (self.network.id, author, self.place, self.open.manifest, dataset, trained, SALT)
        made = UpdateSeal(self.place, self.open.manifest, dataset, self.state.id, update_seal(*said))
        return self.steps.say(author, Kind.UPDATE_SEAL, replace(made, **changes).encode())

    def update(self, author: bytes, salt: str = "", **changes: Any) -> Record:
        made = Update(self.place, self.state.id, self.trained(author, salt), sha256(b"shown" + author), 900, SALT)
        return self.steps.say(author, Kind.UPDATE, replace(made, **changes).encode())

    def erase(self, author: bytes, count: int, root: bytes = b"\x07" * 32, code: int = 1) -> Record:
        """The erasure of so many rows of an author's data set."""
        dataset = self.datasets[author]
        known = self.state.datasets[dataset]
        left = (known.rows if known.waiting is None else known.waiting[1]) - count
        return self.steps.say(author, Kind.ERASURE, Erasure(dataset, root, left, code).encode())

    def report_seal(self, author: bytes, losses: LossTable, **changes: Any) -> Record:
        sealed = loss_seal(self.network.id, self.place, author, losses, SALT)
        made = LossSeal(self.place, self.state.id, sealed)
        return self.steps.say(author, Kind.LOSS_SEAL, replace(made, **changes).encode())

    def report(self, author: bytes, losses: LossTable, **changes: Any) -> Record:
        made = LossReport(self.place, self.state.id, losses, SALT)
        return self.steps.say(author, Kind.LOSS_REPORT, replace(made, **changes).encode())

    def result(self, name: str = "right", **findings: Any) -> RoundResult:
        """The result of the open vote. `findings` are fields of rows, by the number of the contributor: `c0=...`."""
        assert self.open.vote is not None
        rows = tuple(
            replace(ResultRow(author, UpdateFinding.RIGHT, 100), **findings.get(f"c{number}", {}))
            for number, author in enumerate(sorted(self.open.updates))
        )
        closing = self.state.at_index(self.open.vote.opened_index)
        assert closing is not None
        weights, manifest = (digest([part, name, self.open.number]) for part in ("weights", "manifest"))
        return RoundResult(closing, rows, 5000, weights, manifest)

    def commit(self, voter: bytes, result: RoundResult, **changes: Any) -> Record:
        sealed = round_commit(self.network.id, self.place, voter, result.digest, SALT)
        made = RoundCommit(self.place, self.state.id, sealed)
        return self.steps.say(voter, Kind.ROUND_COMMIT, replace(made, **changes).encode())

    def vote(self, voter: bytes, result: RoundResult, **changes: Any) -> Record:
        made = RoundVote(self.place, self.state.id, result, SALT)
        return self.steps.say(voter, Kind.ROUND_VOTE, replace(made, **changes).encode())

    # ------------------------------------------------------------ phases

    def sealed(self, authors: Iterable[bytes] | None = None) -> None:
        """Have contributors seal, and cut until the sealing is closed."""
        for author in self.contributors if authors is None else authors:
            self.seal(author)
        number = self.open.number
        while self.known.open is not None and self.open.number == number and self.open.closed_index < 0:
            self.cut()

    def opened(self, authors: Iterable[bytes] | None = None) -> None:
        """Have those who sealed open their updates, and cut until the vote opens."""
        for author in sorted(self.open.seals) if authors is None else authors:
            self.update(author)
        number = self.open.number
        while self.known.open is not None and self.open.number == number and self.open.vote is None:
            self.cut()

    def decided(self, results: Mapping[bytes, RoundResult] | None = None) -> None:
        """Have voters seal and open results; all the right one if none are given."""
        right = self.result()
        said = dict.fromkeys(self.keys, right) if results is None else results
        for voter, result in said.items():
            self.commit(voter, result)
        self.cut()
        while self.open.vote is not None and self.open.vote.closed_index < 0:
            self.cut()
        for voter, result in said.items():
            self.vote(voter, result)
        self.cut()

    def round(self, **findings: Any) -> None:
        """One whole round, in which all voters find the same."""
        self.sealed()
        self.opened()
        self.decided(dict.fromkeys(self.keys, self.result(**findings)))


# ---------------------------------------------------------------- worlds


def toy_outcome(order: TrainingOrder) -> TrainingOutcome:
    """What a toy trainer computes: digests of the order, and the same credit for all."""
    assert not isinstance(order, ReportOrder)  # toys train in other modes
    if isinstance(order, TrainOrder):
        said = [order.base, order.dataset, order.seed, order.drawn.position]
        update, shown = digest(["update", *said]), digest(["shown", *said])
        return TrainedUpdate(update, None, order.drawn.rows - order.drawn.held, shown, 1000)
    rows = tuple(ResultRow(update.author, UpdateFinding.RIGHT, 100) for update in order.updates)
    made = [order.base, order.closing, [update.update for update in order.updates]]
    return RoundResult(order.closing, rows, 5000, digest(["weights", *made]), digest(["manifest", *made]))


def round_world(
    count: int,
    contributors: int,
    *,
    seed: int = 1,
    voters_lie: Iterable[int] = (),
    machines: Mapping[int, type[Machine]] | None = None,
    helds: Mapping[int, int] = MappingProxyType({}),
    outcome: Callable[[bytes, TrainingOrder], TrainingOutcome] = lambda _, order: toy_outcome(order),
    dataset: Callable[[bytes], Dataset] = lambda key: dataset_of(key.hex(), rows=200),
    words: Mapping[bytes, list[tuple[Kind, bytes]]] = MappingProxyType({}),
    change: Callable[[Network], Network] = lambda usual: usual,
    **options: Any,
) -> World:
    """A world whose first members (by key) contribute to rounds of a toy. Voters of these numbers find their own.

    `machines` has other machines of members, and `helds` other numbers of held-out rows, by number. `outcome` computes
    an order of a member (key), and `dataset` is what a contributor offers. A member writes what is in `words` of its
    key, and takes it away. `change` changes the network.
    """
    keys = sorted(sign.public_key(each) for each in seeds(count, f"world-{seed}"))
    liars, offered = {keys[number] for number in voters_lie}, set[bytes]()
    rule = {name: options.pop(name) for name in RULE.__dataclass_fields__ if name in options}
    terms = TrainingTerms(
        rule.get("mode", TERMS.mode), options.pop("held", TERMS.held), options.pop("budget", TERMS.budget)
    )

    def around(actor: Actor, event: Event, now_ms: int, handle: Handle) -> list[Any]:
        context = actor.machine.context
        effects = handle(event, now_ms)
        is_ready = context.may_write(now_ms) and context.fold.latest.index > 0
        if is_ready and actor.key in keys[:contributors] and actor.key not in offered:
            offered.add(actor.key)
            own = replace(terms, held=helds.get(keys.index(actor.key), terms.held))
            made = replace(dataset(actor.key), terms=own)
            effects += context.write(Kind.DATASET, made.encode(), now_ms)
        while context.may_write(now_ms) and words.get(actor.key):
            effects += context.write(*words[actor.key].pop(), now_ms)
        jobs = [effect for effect in effects if isinstance(effect, TrainingJob)]
        effects = [effect for effect in effects if not isinstance(effect, TrainingJob)]
        for job in jobs:
            done = outcome(actor.key, job.order)
            if isinstance(done, RoundResult) and actor.key in liars:
                done = replace(done, gain=done.gain + 1)
            effects += around(actor, TrainingDone(job.job, done), now_ms, handle)
        return effects

    def contract(usual: Network) -> Network:
        return change(with_training(usual, keys[:contributors], **rule))

    usual_make = casting({}, around)

    def make(kind: str, args: ActorArgs) -> Actor:
        actor = usual_make(kind, args)
        number = keys.index(actor.key)
        if machines and number in machines:
            actor.machine = args.machine(machines[number])
        return actor

    return make_world(count, seed=seed, contract=contract, make=make, **options)
