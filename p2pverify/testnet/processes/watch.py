"""Watches the peers: reads the local API of each every few seconds, for the verdict and the table.

`verdict` interprets the documents.
"""

from collections.abc import Callable, Mapping

import trio

from p2pverify.core.limits import BoundedDict
from p2pverify.node.files.home import Home
from p2pverify.node.identity.private import HomeError
from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.me import MeDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.processes.api_client import ReadError, fetch
from p2pverify.testnet.processes.cases.verdict import CaseProgress, judge_case
from p2pverify.testnet.processes.lasting.verdict import LastingProgress, judge_lasting
from p2pverify.testnet.processes.takeover.verdict import TakeoverProgress, judge_takeover
from p2pverify.testnet.processes.upgrade.verdict import UpgradeProgress, judge_upgrade
from p2pverify.testnet.processes.verdict import Judgement, judge

PERIOD_S = 1.0
#: The limit for all peers together, because an answer costs CPU that the peers need for the testnet.
READINGS_PER_S_MAX = 16.0
_CUTS_KEPT = 64
_API_PERIOD_S = 0.1


class RunWatch:
    """The newest documents by peer name. `home_of` gives a peer's home, which has its `api` file."""

    def __init__(self, plan: Plan, home_of: Callable[[str], Home]) -> None:
        self.plan = plan
        self.statuses: dict[str, StatusDocument] = {}
        self.final: dict[str, ScoresDocument] = {}
        self.own_audits: dict[str, MeDocument] = {}  # of the nodes that have clients
        self.provisional: ScoresDocument | None = None  # of one honest peer
        self.open_disputes = 0
        self.takeover = TakeoverProgress()
        self.upgrade = UpgradeProgress()
        self.case = CaseProgress()
        self.lasting = LastingProgress()
        self.from_epoch = 0  # in which the peers began with the network that is watched
        self._network: str | None = None  # the id of the only network whose documents count
        self.silent: set[str] = set()  # peers whose API did not answer at the last reading
        self._scores_at: BoundedDict[str, dict[str, ScoresDocument]] = BoundedDict(_CUTS_KEPT)
        self._home_of = home_of
        self._peer_ids = {peer.name: peer.peer_ids for peer in plan.peers}
        self._limiter = trio.CapacityLimiter(8)
        self._changed = trio.Event()
        self._readings = 0

    def follow(self, network: str, epoch: int) -> None:
        """Forget all documents. From now on only those of another network count, which the peers begin in an epoch."""
        self._network, self.from_epoch = network, epoch
        for known in (self.statuses, self.final, self.own_audits, self._scores_at):
            known.clear()
        self.provisional, self.open_disputes = None, 0
        self.silent.clear()

    @property
    def period_s(self) -> float:
        """Seconds between two readings of a peer: short enough to see each cut, unless there are too many peers."""
        return max(min(PERIOD_S, self.plan.epoch_ms / 4000), len(self.plan.peers) / READINGS_PER_S_MAX)

    @property
    def scores_at(self) -> Mapping[str, Mapping[str, ScoresDocument]]:
        return self._scores_at

    def judgement(self) -> Judgement:
        """The verdict on the readings so far."""
        if self.plan.takes_over:
            return judge_takeover(self.plan, self.statuses, self._scores_at, self.takeover)
        found = self.views()
        if self.plan.case is not None:
            return judge_case(self.plan, found, self.case)
        if self.plan.lasting is not None:
            return judge_lasting(self.plan, found, self.lasting)
        return found if self.plan.upgrade is None else judge_upgrade(self.plan, found, self.upgrade)

    def views(self) -> Judgement:
        """The verdict on the final views alone."""
        return judge(self.plan, self.statuses, self._scores_at, self.own_audits)

    def statistics(self) -> dict[str, int]:
        return {"readings": self._readings, "silent": len(self.silent)}

    async def wait_for(self, condition: Callable[["RunWatch"], bool]) -> None:
        """Wait until a condition on the readings holds."""
        while not condition(self):
            await self._changed.wait()

    def tell(self) -> None:
        """Have all that wait for a condition look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def wait_answers(self, name: str) -> None:
        """Wait until a started peer has read its records and serves its API."""
        while self._url(name) is None:  # noqa: ASYNC110 - it is another process that sets it
            await trio.sleep(_API_PERIOD_S)

    async def run(self, name: str) -> None:
        """Read one peer repeatedly until cancelled, even while it does not run."""
        while True:
            url = self._url(name)
            try:
                if url is not None:
                    await self._read(name, url)
                    self._readings += 1
                    self.silent.discard(name)
            except ReadError:
                self.silent.add(name)
            self.tell()
            await trio.sleep(self.period_s)

    def _url(self, name: str) -> str | None:
        try:
            return self._home_of(name).read_api()
        except HomeError:
            return None

    async def _read(self, name: str, url: str) -> None:
        status = await trio.to_thread.run_sync(fetch, url, "/v1/status", StatusDocument, limiter=self._limiter)
        if status.peer_id not in self._peer_ids[name]:
            raise ReadError(f"{url} belongs to another peer by now")
        if self._network not in (None, status.network):
            raise ReadError(f"{name} is still in another network")
        self.statuses[name] = status
        seen = self.final.get(name)
        if status.final is not None and (seen is None or seen.cut != status.final.cut):
            self._keep(name, await self._scores(url, "final"))
        if any(name == peer.name for peer in self.plan.askers):
            self.own_audits[name] = await trio.to_thread.run_sync(
                fetch, url, "/v1/me", MeDocument, limiter=self._limiter
            )
        if name == self.reference:
            self.provisional = await self._scores(url, "provisional")
            audits = await trio.to_thread.run_sync(
                fetch, url, "/v1/audits?limit=1", AuditsDocument, limiter=self._limiter
            )
            self.open_disputes = sum(dispute.status == "open" for dispute in audits.disputes)

    async def _scores(self, url: str, view: str) -> ScoresDocument:
        return await trio.to_thread.run_sync(
            fetch, url, f"/v1/scores?view={view}", ScoresDocument, limiter=self._limiter
        )

    @property
    def reference(self) -> str:
        """The honest peer whose view the table shows: the first that answers."""
        honest = [peer.name for peer in self.plan.honest]
        return next((name for name in honest if name in self.statuses and name not in self.silent), honest[0])

    def _keep(self, name: str, scores: ScoresDocument) -> None:
        self.final[name] = scores
        if scores.cut is not None:
            self._scores_at.setdefault(scores.cut, {})[name] = scores
