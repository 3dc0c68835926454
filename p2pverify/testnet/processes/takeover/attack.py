"""The runner's part in a takeover. It plays these steps, one after the other:

1. It waits until the cheaters have most of the weight in the final view of an honest peer.
2. It tells all cheaters to lie, by a file in the home of each.
3. It waits until the honest peers refuse a conviction and cuts have stopped.
4. It exports the ledger of an honest peer, has all decisions computed again, and reads what honest peers signed.
5. The honest peers leave with `network fork` (`leaving`), and the cheaters come along.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import trio

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.replica.verify import verified_fold
from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.engine.cheats.make import SIGNAL_FILE
from p2pverify.node.reports.documents.health import Ready
from p2pverify.store.exportfile import read_export
from p2pverify.testnet.processes.api_client import ReadError, fetch
from p2pverify.testnet.processes.takeover.leaving import Leaver, agree
from p2pverify.testnet.processes.takeover.verdict import RerunOutcome, has_stopped, is_bought, says_why, silent
from p2pverify.testnet.processes.watch import RunWatch

#: The exit code of `ledger verify` if a decision is wrong.
NOT_VERIFIED = 5
_UNREADY = 503


class Attacked(Leaver, Protocol):
    """What a takeover needs of a testnet. A `Testnet` has it."""

    watch: RunWatch

    async def move(self, files: Mapping[str, Path]) -> None: ...


class Attack:
    """One takeover. The progress is in `watch.takeover`."""

    def __init__(self, testnet: Attacked) -> None:
        self._testnet = testnet
        self._plan = testnet.plan
        self._watch = testnet.watch
        self._progress = testnet.watch.takeover

    async def run(self) -> None:
        """Play all steps. Returns at once if no cheater of the plan takes over."""
        if not self._plan.takes_over:
            return
        plan, watch = self._plan, self._watch
        await watch.wait_for(lambda _: is_bought(plan, watch.final.get(watch.reference)))
        self._lie()
        await watch.wait_for(lambda _: not silent(plan, watch.statuses) and has_stopped(plan, watch.statuses))
        faults = await self._ask_ready()
        rerun = await self._rerun()
        faults += self._judge(rerun)
        if rerun is not None:
            faults += await self._signed()
        self._progress.rerun, self._progress.faults = rerun, tuple(faults)
        watch.tell()
        if faults:
            return
        departure = await agree(self._testnet)
        epoch = watch.statuses[watch.reference].epoch
        watch.follow(departure.network, epoch)
        self._progress.fork = departure.network
        await self._testnet.move(departure.files)

    def _lie(self) -> None:
        """Tell the cheaters to lie from now on."""
        for peer in self._plan.expected(CheaterFate.CONTESTED):
            (self._testnet.home(peer.name).cheat_path / SIGNAL_FILE).touch()
        self._progress.lies_from = self._watch.statuses[self._watch.reference].epoch

    async def _ask_ready(self) -> list[str]:
        """Ask each honest peer whether it is ready. Returns a sentence for each that does not say why it is not."""
        found = []
        for peer in self._plan.honest:
            url = self._testnet.home(peer.name).read_api()
            assert url is not None  # its status was read
            try:
                ready = await trio.to_thread.run_sync(lambda url=url: fetch(url, "/readyz", Ready, status=_UNREADY))
            except ReadError as error:
                found.append(f"{peer.name} is ready, or does not answer: {error}")
                continue
            if not says_why(ready.ready, ready.reasons):
                found.append(f"{peer.name} is not ready for another reason: {'; '.join(ready.reasons)}")
        return found

    @property
    def _export(self) -> Path:
        return self._testnet.directory / "takeover.ledger"

    async def _rerun(self) -> RerunOutcome | None:
        """Export the ledger of an honest peer, and compute all its decisions again. None if that fails."""
        directory, fleet = self._testnet.directory, self._testnet.fleet
        home, log = self._testnet.home(self._watch.reference), directory / "verify.log"
        await fleet.run_once("export", ["--home", str(home.path), "ledger", "export", str(self._export)], log)
        arguments = ["ledger", "verify", str(self._export), "--network", str(directory / "network.toml")]
        code = await fleet.run_once("verify", [*arguments, "--rerun", "all", "--json"], log)
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        found = json.loads(lines[-1]).get("rerun") if lines else None
        if code != NOT_VERIFIED or found is None:
            return None
        wrong = [each["id"] for each in found["wrong"] if each["disputed"]]
        voters = frozenset(voter for each in found["wrong"] for voter in each["voters"])
        return RerunOutcome(found["agree"], tuple(wrong), voters)

    def _judge(self, rerun: RerunOutcome | None) -> list[str]:
        """What must not be among the decisions that were computed again."""
        if rerun is None:
            return ["'ledger verify --rerun all' did not find a wrong decision"]
        found = [] if rerun.wrong else ["'ledger verify --rerun all' names no wrong dispute"]
        voted = [peer.name for peer in self._plan.honest if peer.peer_id in rerun.voters]
        return found + [f"{name} is honest, and voted for a wrong decision" for name in voted]

    async def _signed(self) -> list[str]:
        """Sentences about convictions of honest peers that honest peers signed, in any cut, also one that never became
        final.
        """
        honest = {peer.key: peer.name for peer in self._plan.honest}

        def look() -> list[str]:
            with self._export.open("rb") as file:
                header, records = read_export(file)
                fold = verified_fold(header.network_id, header.network_definition, header.cut, records)
            signed = [
                (honest[record.author], fold.state(decode_cut_signature(record.payload).cut))
                for record in fold.ledger.records()
                if record.kind == Kind.CUT_SIGNATURE and record.author in honest
            ]
            return [
                f"{signer} signed a cut that convicts {honest[peer]}"
                for signer, state in signed
                if state is not None
                for peer in sorted(honest.keys() & state.convicted)
            ]

        return await trio.to_thread.run_sync(look)
