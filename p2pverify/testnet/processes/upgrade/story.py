"""Plays the upgrade of a plan: release, overlap, recall.

1. Peers certify a first cut. The publisher's node signs the release, which two of three publishers have signed.
2. The peers fetch the file from each other. Those that follow the current version serve it as soon as it is current.
3. The operators of the late peers move towards the end of the overlap, once there are enough audits of version 0.
4. Once there are enough audits of version 1 and everybody that is stale is convicted, the publishers recall it.
5. All go back to version 0. The run goes on until audits show who is drawn after the recall time.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.node.data.documents import SignedDocument, SignedKind
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.blobs import BlobsDocument
from p2pverify.store.errors import StoreError
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.api_client import ReadError, events, fetch, post
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.upgrade.facts import UpgradeFacts, VersionReader
from p2pverify.testnet.processes.upgrade.making import MadeVersion, is_exact
from p2pverify.testnet.processes.upgrade.verdict import UpgradeProgress, holders, stale
from p2pverify.testnet.processes.watch import RunWatch
from p2pverify.testnet.publishers import TestPublishers

DOMAIN = "p2pverify/testnet/1"
LINE = "testnet"
#: Before the end of the overlap the late peers need this many epochs to move.
MOVE_EPOCHS = 3
#: Audits of each honest peer after the recall time, on average, that the run waits for.
AFTER_EACH = 1
_AGAIN_S = 0.5


class Upgrading(Protocol):
    """What an upgrade needs of a testnet. A `Testnet` has it."""

    plan: Plan
    network: Network
    watch: RunWatch

    def home(self, name: str) -> Home: ...


class Upgrade:
    """One upgrade. The progress is in `watch.upgrade`."""

    def __init__(self, testnet: Upgrading, made: MadeVersion, stage: Stage) -> None:
        self._testnet = testnet
        self._plan = testnet.plan
        self._watch = testnet.watch
        self._made = made
        self._stage = stage
        self._publishers = TestPublishers(DOMAIN, testnet.plan.seed)
        self._progress: UpgradeProgress = testnet.watch.upgrade
        self._progress.size, self._progress.recipe = made.entry.size, _recipe_of(testnet.plan, made)
        database = testnet.home(testnet.plan.publisher.name).database_path
        self._reader = VersionReader(testnet.network, database, [peer.key for peer in testnet.plan.honest])

    @property
    def _facts(self) -> UpgradeFacts:
        return self._progress.facts

    async def run(self) -> None:
        """Play all steps."""
        async with trio.open_nursery() as looking:
            looking.start_soon(self._look)
            await self._play()
            looking.cancel_scope.cancel()

    async def _play(self) -> None:
        plan, network = self._plan, self._testnet.network
        assert plan.upgrade is not None
        wanted, genesis = plan.upgrade.audits, network.lines[0].genesis
        await self._until(lambda seen: seen.epoch >= 0)
        release = self._publishers.release(network, self._made.release(genesis))
        await self._sign((plan.publisher,), "release", release)
        await self._until(lambda seen: seen.announced is not None)
        self._stage.tell(f"version 1 is announced in epoch {self._facts.announced}, current from {self._facts.starts}")
        await self._until(lambda seen: seen.overlap[0] >= wanted or _is_late(seen))
        await self._sign(plan.late, "serve", Serve(self._made.manifest.digest).encode())
        await self._until(self._may_recall)
        await self._sign((plan.publisher,), "recall", self._publishers.recall(network, 1))
        await self._until(lambda seen: seen.recalled is not None)
        self._stage.tell(f"version 1 is recalled in epoch {self._facts.recalled}")
        await self._sign(plan.late, "serve", Serve(genesis).encode())
        async with trio.open_nursery() as checking:
            checking.start_soon(self._check_files)
            await self._until(self._is_over)
        self._progress.is_back = True
        self._watch.tell()

    def _may_recall(self, seen: UpgradeFacts) -> bool:
        plan = self._plan
        assert plan.upgrade is not None
        convicted = self._watch.judgement().convicted
        return (
            seen.overlap[1] >= plan.upgrade.audits
            and all(seen.serving.get(peer.key) == 1 for peer in plan.upright)
            and all(peer.name in convicted for peer in stale(plan).values())
        )

    def _is_over(self, seen: UpgradeFacts) -> bool:
        upright = self._plan.upright
        return (
            seen.recalled is not None
            and all(seen.serving.get(peer.key) == 0 for peer in upright)
            and seen.after.total() >= AFTER_EACH * len(self._plan.honest)
        )

    async def _until(self, condition: Callable[[UpgradeFacts], bool]) -> None:
        await self._watch.wait_for(lambda _: condition(self._facts))

    async def _look(self) -> None:
        """Read what the records and the peers say of the versions, until cancelled."""
        while True:
            with suppress(StoreError):  # the database is not made yet
                self._progress.facts = await trio.to_thread.run_sync(self._reader.look)
            if self._facts.announced is not None:
                for peer in holders(self._plan):
                    if self._progress.fetched.get(peer.name, 0) < self._made.entry.size:
                        with suppress(ReadError):
                            await self._read(peer)
            self._watch.tell()
            await trio.sleep(self._watch.period_s)

    async def _read(self, peer: PeerPlan) -> None:
        """Note how much of the file a peer has and, once it is whole, how often the peer refused false bytes of it."""
        url = self._testnet.home(peer.name).read_api()
        if url is None:
            return
        held = await trio.to_thread.run_sync(fetch, url, "/v1/blobs", BlobsDocument)
        wanted, size = self._made.entry.sha256.hex(), self._made.entry.size
        found = [size if one.whole else min(one.bytes, size - 1) for one in held.blobs if one.sha256 == wanted]
        if size in found:
            counted = await trio.to_thread.run_sync(events, url, "blobs")
            self._progress.false[peer.name] = counted.get("blobs_false", 0)
        self._progress.fetched[peer.name] = max(found, default=0)

    async def _sign(self, peers: Iterable[PeerPlan], kind: SignedKind, payload: bytes) -> None:
        """Have peers sign a record, each as its operator would order it. They may not sign at every moment."""
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(self._sign_one, peer, kind, payload)

    async def _sign_one(self, peer: PeerPlan, kind: SignedKind, payload: bytes) -> None:
        home, told = self._testnet.home(peer.name), ""
        while True:
            with suppress(ReadError):
                path = f"/v1/sign?kind={kind}"
                document = await trio.to_thread.run_sync(post, home, path, SignedDocument, payload)
                if document.record is not None:
                    return
                if (document.reason or "") != told:
                    told = document.reason or ""
                    self._stage.tell(f"{peer.name} does not sign the {kind} yet: {told}")
            await trio.sleep(_AGAIN_S)

    async def _check_files(self) -> None:
        """Hash the file of version 1 in the home of each peer that must have it."""
        exact: list[str] = []
        for peer in holders(self._plan):
            folder: Path = self._testnet.home(peer.name).blobs_path
            if await trio.to_thread.run_sync(is_exact, self._made.entry, folder):
                exact.append(peer.name)
        self._progress.exact = tuple(exact)


def _is_late(seen: UpgradeFacts) -> bool:
    """Whether the overlap is about to end."""
    return seen.ends is not None and seen.epoch >= seen.ends - MOVE_EPOCHS


def _recipe_of(plan: Plan, made: MadeVersion) -> str:
    assert plan.upgrade is not None
    return plan.upgrade.recipe if made.recipe is not None else "another toy"
