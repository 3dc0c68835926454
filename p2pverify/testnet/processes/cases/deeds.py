"""What the operators of a case study do: the commands of p2pverify, each in a process of its own."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import trio

from p2pverify.core.contract.history.training import HELD_OUT, OPEN
from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.rounds.update import decode_update
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.engine.tabular.model import MAGIC
from p2pverify.node.data.documents import SignedDocument, SignedKind
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import VersionDocument, VersionsDocument
from p2pverify.node.settle.documents import ChequesDocument
from p2pverify.store.reading import reading, stored_rows
from p2pverify.testnet.cases.facts import CheckFacts, EventFacts
from p2pverify.testnet.cases.roles import FINANCE, HEALTHCARE, SPONSOR, SUPPLY_CHAIN
from p2pverify.testnet.cases.tables import money
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.api_client import ReadError, fetch, post
from p2pverify.testnet.processes.cases.making import MadeCase
from p2pverify.testnet.processes.cases.unlearning import Withdrawal
from p2pverify.testnet.processes.fleet import Fleet, ProcessError, tail
from p2pverify.testnet.processes.watch import RunWatch

DATASET = "rows"
#: The folder of a home, or of kept weights, with the blobs of rounds.
ROUNDS = "rounds"
ERASED_ROW = 3
LOT = "B-4711"
ROUTE = ("producer", "carrier", "retailer", "warehouse", "consignee")
_RECORD = re.compile(r"^record +([0-9a-f]{64})$", re.MULTILINE)
_TRIES = 40
_AGAIN_S = 0.5
_MODES = {OPEN: "open", HELD_OUT: "held-out"}

Happened = tuple[Sequence[EventFacts], Sequence[CheckFacts]]


class Deeds:
    """Runs commands in the homes of peers, as their operators would."""

    def __init__(
        self,
        fleet: Fleet,
        home: Callable[[str], Home],
        made: MadeCase,
        network: Network,
        directory: Path,
        watch: RunWatch,
    ) -> None:
        self._fleet = fleet
        self._home = home
        self.made = made
        self.network = network
        self._directory = directory
        self._watch = watch
        self._calls = 0
        self.withdrawn: Withdrawal | None = None

    @property
    def epoch(self) -> int:
        """The epoch of the newest final cut of the reference peer."""
        final = self._watch.statuses[self._watch.reference].final
        return -1 if final is None else final.epoch

    async def call(self, peer: PeerPlan, *arguments: str) -> int:
        """Run a command in a peer's home. Returns its exit code; its output is in a log beside those of the peers."""
        self._calls += 1
        name = f"{peer.name}-{self._calls}-{arguments[0]}"
        log = self._directory / f"{peer.name}-commands.log"
        return await self._fleet.run_once(name, ["--home", str(self._home(peer.name).path), *arguments], log)

    async def insist(self, peer: PeerPlan, *arguments: str) -> None:
        """Run a command until it succeeds, because a node may not sign at every moment. Raises ProcessError."""
        for _ in range(_TRIES):
            if await self.call(peer, *arguments) == 0:
                return
            await trio.sleep(_AGAIN_S)
        log = self._directory / f"{peer.name}-commands.log"
        command = " ".join(arguments[:2])
        raise ProcessError(f"'{command}' of {peer.name} failed {_TRIES} times", "its output is above", tail(log))

    async def commit(self, peer: PeerPlan, budget: int) -> None:
        """Commit a peer's rows, and offer them for the rounds of its network."""
        made = self.made
        held = made.study.held(made.rule.rounds)
        terms = ["--train", _MODES[made.rule.mode], "--held", str(held)]
        if budget:
            terms += ["--budget", str(budget)]
        told = ["--schema", str(made.schema_file), "--licence", made.data.licence, "--name", DATASET]
        if await self.call(peer, "data", "commit", str(made.table(peer)), *told, *terms) != 0:
            await self.insist(peer, "data", "publish", DATASET)  # it is kept, and could not be signed yet

    async def begin(self) -> list[EventFacts]:
        """The statements that are signed before the first round."""
        if self.made.study.bounty:
            return [await self._pledge()]
        if self.made.study.name != HEALTHCARE:
            return []
        owners = [peer for peer in self.made.plan.peers if peer.name in self.made.rows]
        async with trio.open_nursery() as nursery:
            for peer in owners:
                nursery.start_soon(self._consent, peer)
        return [EventFacts(epoch=self.epoch, what=f"{len(owners)} hospitals have signed statements of consent")]

    async def _pledge(self) -> EventFacts:
        """The sponsor pays for each round, also for those that end without a result."""
        study, last = self.made.study, 2 * self.made.rule.rounds
        sponsor = self.made.plan.peers[list(study.roles).index(SPONSOR)]
        await self.sign(sponsor, "pledge", PledgeOffer(0, study.bounty, 1, last).encode())
        unit = "" if study.tariff is None else study.tariff.unit
        what = f"{sponsor.name} pledges up to {money(study.bounty)} {unit} for each round"
        return EventFacts(epoch=self.epoch, what=what)

    async def sign(self, peer: PeerPlan, kind: SignedKind, payload: bytes) -> None:
        """Have a node sign a record, as its operator would order it. It may not sign at every moment."""
        while True:
            with suppress(ReadError):
                order = (self._home(peer.name), f"/v1/sign?kind={kind}", SignedDocument, payload)
                found = await trio.to_thread.run_sync(post, *order)
                if found.record is not None:
                    return
            await trio.sleep(_AGAIN_S)

    async def signed_to(self, peer: PeerPlan) -> int:
        """What the cheques say that a peer holds, beside the ledger or on it (millionths)."""
        url = self._home(peer.name).read_api()
        with suppress(ReadError):
            if url is not None:
                found: ChequesDocument = await trio.to_thread.run_sync(fetch, url, "/v1/cheques", ChequesDocument)
                return sum(each.cumulative for each in found.cheques)
        return 0

    async def versions(self) -> Sequence[VersionDocument]:
        """The versions in the newest final view of the reference peer."""
        url = self._home(self._watch.reference).read_api()
        path = f"/v1/lines/{self.made.study.name}/versions"
        if url is None:
            return ()
        found: VersionsDocument = await trio.to_thread.run_sync(fetch, url, path, VersionsDocument)
        return found.versions

    async def _consent(self, peer: PeerPlan) -> None:
        document = self.made.tables / f"{peer.name}-consent.txt"
        document.write_text(
            "The patients of the held-out rows consent that these rows are shown to the members of the network.\n"
        )
        target = str(self.made.tables / f"{peer.name}-consent.statement")
        sign = ("statement", "sign", str(document), "--profile", "consent/1", "--subject", f"rows of {peer.name}")
        if await self.call(peer, *sign, "-o", target) != 0:
            await self.insist(peer, "statement", "publish", target)

    def paper(self, name: str, text: str) -> Path:
        """A file with the document of a statement."""
        path = self.made.tables / f"{name}.txt"
        path.write_text(text, encoding="utf-8")
        return path

    async def state(
        self, giver: PeerPlan, paper: Path, told: Sequence[str], taker: PeerPlan | None
    ) -> tuple[str, Path]:
        """Sign and publish a hand-over, with the taker if there is one that signs. Returns its record and its file."""
        opened, signed = paper.with_suffix(".open"), paper.with_suffix(".statement")
        sign = ("statement", "sign", str(paper), "--profile", "epcis/2.0", *told)
        if taker is None:
            await self.insist(giver, *sign, "-o", str(signed), "--force")
        else:
            await self.insist(giver, *sign, "--with", taker.peer_id, "-o", str(opened), "--force")
            await self.insist(taker, "statement", "cosign", str(opened), "-o", str(signed), "--force")
            await self.insist(giver, "statement", "publish", str(signed))
        found: list[str] = _RECORD.findall((self._directory / f"{giver.name}-commands.log").read_text())
        return found[-1], signed

    def handovers(self) -> list[Path]:
        """The files of all hand-overs, in their order."""
        return sorted(self.made.tables.glob("handover-*.statement"))

    async def trace(self, peer: PeerPlan, ledger: Path) -> bool:
        """Whether the command accepts the trace of the lot in an export."""
        files = self.handovers()
        opens = [part for file in files[1:] for part in ("--open", str(file))]
        return await self.call(peer, "trace", str(files[0]), "--ledger", str(ledger), *opens) == 0

    async def export(self, peer: PeerPlan, file: Path) -> bool:
        """Export the ledger of a peer, and verify the file with the command. Returns whether it holds."""
        await self.insist(peer, "ledger", "export", str(file), "--force")
        network = str(self._directory / "network.toml")
        return await self.call(peer, "ledger", "verify", str(file), "--network", network) == 0

    def shown_by(self, peer: PeerPlan) -> list[bytes]:
        """The blobs of shown rows (SHA-256) that a peer's records name, by the reference peer's database. Blocks."""
        with reading(self._home(self._watch.reference).database_path) as connection:
            records = [decode_record(row.data) for row in stored_rows(connection)]
        return [
            decode_update(record.payload).shown
            for record in records
            if record.kind == Kind.UPDATE and record.author == peer.key
        ]

    def keep_weights(self) -> None:
        """Copy the weights of the reference peer, because peers drop those of a recalled version. Blocks."""
        self.kept.mkdir(parents=True)
        for path in (self._home(self._watch.reference).path / ROUNDS).rglob("*"):
            if path.is_file() and (data := path.read_bytes()).startswith(MAGIC):
                (self.kept / path.name).write_bytes(data)

    @property
    def kept(self) -> Path:
        """The folder of weights that would be gone."""
        return self._directory / "kept" / ROUNDS

    def holders(self, blobs: Sequence[bytes]) -> list[str]:
        """The peers in whose homes one of these blobs lies. Blocks."""
        return [
            peer.name
            for peer in self.made.plan.peers
            if any(any((self._home(peer.name).path / ROUNDS).rglob(blob.hex())) for blob in blobs)
        ]


async def withdraw(deeds: Deeds, plan: Plan) -> Happened:
    """A patient withdraws: the hospital erases the row, and all peers delete the rows that it has shown."""
    peer = next(peer for peer in plan.honest if peer.name in deeds.made.rows)
    blobs = await trio.to_thread.run_sync(deeds.shown_by, peer)
    before = await trio.to_thread.run_sync(deeds.holders, blobs)
    started = deeds.epoch
    if await deeds.call(peer, "data", "erase", DATASET, "--row", str(ERASED_ROW), "--why", "consent-withdrawn") != 0:
        await deeds.insist(peer, "data", "publish", DATASET)  # the row is gone, and could not be reported yet
    deeds.withdrawn = Withdrawal(peer.name, ERASED_ROW)
    after = before
    while after:
        after = await trio.to_thread.run_sync(deeds.holders, blobs)
        await trio.sleep(_AGAIN_S)
    event = EventFacts(
        epoch=deeds.epoch,
        what=f"a patient of {peer.name} withdrew in epoch {started}: the row is erased, and the rows that {peer.name} "
        f"had shown are gone from {len(before)} homes",
    )
    check = CheckFacts(
        what="rows shown before an erasure are gone from all homes",
        found=f"in {len(before)} homes before, in {len(after)} after {deeds.epoch - started} epochs",
        holds=bool(before) and not after,
    )
    return [event], [check]


async def hand_over(deeds: Deeds, plan: Plan) -> Happened:
    """A lot goes from hand to hand. Each taker signs with the giver, but for the last: it got another lot."""
    route = [
        next(peer for peer, role in zip(plan.peers, deeds.made.study.roles, strict=True) if role == name)
        for name in ROUTE
    ]
    swapper = plan.peers[next(iter(deeds.made.study.deceits))]
    first: Path | None = None
    parent = ""
    for step, (giver, taker) in enumerate(pairwise(route)):
        paper = deeds.paper(f"handover-{step}", f"lot {LOT} from {giver.name} to {taker.name}\n")
        told = [] if first is None else ["--parent", parent]
        about = ["--subject", f"lot {LOT}"] if first is None else ["--about", str(first)]
        parent, file = await deeds.state(giver, paper, [*about, *told], None if giver is swapper else taker)
        first = first or file
    return [], []  # the ledger tells it, and the trace


async def recall(deeds: Deeds, plan: Plan) -> Happened:
    """The publishers recall the newest version, and everybody goes back to the one before."""
    newest = max(version.number for version in await deeds.versions())
    await trio.to_thread.run_sync(deeds.keep_weights)
    payload = deeds.made.publishers.recall(deeds.network, newest)
    await deeds.sign(plan.publisher, "recall", payload)
    while True:
        with suppress(ReadError):
            found = {version.number: version for version in await deeds.versions()}
            if newest in found and found[newest].recalled is not None:
                break
        await trio.sleep(_AGAIN_S)
    what = f"the publishers recall version {newest}, so rounds go on from version {newest - 1}"
    checks = [
        CheckFacts(what="the recalled version is recalled in a final view", found=f"version {newest}", holds=True)
    ]
    return [EventFacts(epoch=deeds.epoch, what=what)], checks


#: What happens in each case after its first round.
EVENTS: Mapping[str, Callable[[Deeds, Plan], Awaitable[Happened]]] = {
    HEALTHCARE: withdraw,
    FINANCE: recall,
    SUPPLY_CHAIN: hand_over,
}
