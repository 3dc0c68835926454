"""Plays what happens to a network that lasts, each step as operators would do it:

1. A founder proposes another rule, and the others approve it.
2. A founder stops its node, moves to its next key, and starts the node again.
3. A relay of the peer that listens nowhere ends for good.
4. Two newcomers join by the state that follows from a cut, whose id an honest peer shows. One of them is killed in the
   middle of the state, and started again.
5. All honest peers come to one certified cut, at which all of this has happened. Its state is computed here from the
   records of one home, and compared with what the cut names in each home.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.state.codec.roots import state_root
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.rules.documents import RulesDocument
from p2pverify.store.errors import StoreError
from p2pverify.testnet.lasting import LastingRoles
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.api_client import ReadError, fetch
from p2pverify.testnet.processes.fleet import Fleet
from p2pverify.testnet.processes.homes.places import Places
from p2pverify.testnet.processes.homes.reading import HomeFold
from p2pverify.testnet.processes.homes.writing import next_key_path
from p2pverify.testnet.processes.lasting.facts import LastingFacts, facts_of, named_root, stored_records
from p2pverify.testnet.processes.lasting.line import serve_slowly
from p2pverify.testnet.processes.lasting.verdict import Arrival, CommonState, RelayEnd, missing
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.verdict import Judgement
from p2pverify.testnet.processes.watch import RunWatch

#: Rules change, and a row moves, only in a network with a cut.
_FIRST_INDEX = 2
_AGAIN_S = 0.5
_LOOK_S = 0.02
#: A state of a few tens of kilobytes takes seconds then.
_SLOW_BYTES_PER_S = 16_384


class Lasted(Protocol):
    """What a network that lasts needs of a testnet. A `Testnet` has it."""

    plan: Plan
    directory: Path
    fleet: Fleet
    network: Network
    places: Places
    watch: RunWatch

    def home(self, name: str) -> Home: ...

    async def start(self, name: str, *options: str, first: tuple[str, ...] = ()) -> None: ...

    async def start_ready(self, name: str, *options: str) -> None: ...

    async def stop(self, name: str) -> int: ...

    async def kill(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Judged:
    """The verdict on the final views, and what the state at its cut says. `state_root` was computed here."""

    views: Judgement
    facts: LastingFacts
    state_root: str


class Lasting:
    """One run. The progress is in `watch.lasting`."""

    def __init__(self, testnet: Lasted, stage: Stage) -> None:
        assert testnet.plan.roles is not None
        self._testnet = testnet
        self._plan = testnet.plan
        self._roles: LastingRoles = testnet.plan.roles
        self._watch = testnet.watch
        self._stage = stage
        self._progress = testnet.watch.lasting
        self._steady = testnet.plan.honest[0]  # is there from the beginning to the end, and has no part
        self._home = HomeFold(testnet.network, testnet.home(self._steady.name).database_path)
        self._judged: _Judged | None = None

    @property
    def _facts(self) -> LastingFacts:
        return self._progress.facts

    async def run(self) -> None:
        """Play all steps."""
        async with trio.open_nursery() as looking:
            looking.start_soon(self._look)
            await self._until(lambda seen: seen.index >= _FIRST_INDEX)
            async with trio.open_nursery() as changing:
                changing.start_soon(self._amend)
                changing.start_soon(self._rotate)
                changing.start_soon(self._welcome)
            await self._end()
            looking.cancel_scope.cancel()

    async def _until(self, condition: Callable[[LastingFacts], bool]) -> None:
        await self._watch.wait_for(lambda _: condition(self._facts))

    # ------------------------------------------------------------ what is seen

    async def _look(self) -> None:
        """Read what the records and the peers say, until cancelled."""
        while True:
            with suppress(StoreError):  # the database is not made yet
                views = self._watch.views()
                self._progress.facts, self._judged = await trio.to_thread.run_sync(self._read, views)
            hidden = self._watch.statuses.get(self._roles.hidden)
            if hidden is not None:
                self._progress.relays = self._named(hidden.reach.relays)
            if self._facts.rule_from is not None:
                for peer in self._plan.witnesses:
                    with suppress(ReadError):
                        await self._read_rules(peer)
            self._watch.tell()
            await trio.sleep(self._watch.period_s)

    def _read(self, views: Judgement) -> tuple[LastingFacts, _Judged | None]:
        """The facts at the newest cut, and those at the judged one if it is known here. Blocks. Raises StoreError."""
        self._home.look()
        fold, network = self._home.fold, self._testnet.network
        newest = facts_of(self._plan, network, fold.latest)
        state = None if views.at is None else fold.state(bytes.fromhex(views.at.cut))
        if state is None:
            return newest, None
        return newest, _Judged(views, facts_of(self._plan, network, state), state_root(network.id, state).hex())

    def _named(self, relays: Iterable[str]) -> tuple[str, ...]:
        """The names of the peers in addresses through relays."""
        return tuple(
            peer.name
            for peer in self._plan.peers
            for address in relays
            if f"/p2p/{peer.peer_id}/p2p-circuit" in address
        )

    async def _read_rules(self, peer: PeerPlan) -> None:
        """Note the rules of a peer that has the new one, until all have them."""
        url = self._testnet.home(peer.name).read_api()
        if peer.name in self._progress.rules or url is None:
            return
        found = await trio.to_thread.run_sync(fetch, url, "/v1/rules", RulesDocument)
        if found.amendments_in_force:
            self._progress.rules[peer.name] = (found.root, found.since_epoch)

    # ------------------------------------------------------------ the steps

    async def _command(self, name: str, *arguments: str) -> tuple[int, str]:
        """Run a command of a peer's operator. Returns its exit code and its output."""
        log = self._testnet.directory / f"{name}-{arguments[1]}.log"
        before = log.stat().st_size if log.exists() else 0
        code = await self._testnet.fleet.run_once(
            f"{name}-{arguments[1]}", ["--home", str(self._testnet.home(name).path), *arguments], log
        )
        return code, log.read_bytes()[before:].decode(errors="replace")

    async def _insist(self, name: str, *arguments: str) -> str:
        """Run a command until it succeeds, because a node does not sign at every moment. Returns its output."""
        told = ""
        while True:
            code, output = await self._command(name, *arguments)
            if code == 0:
                return output
            said = (output.splitlines() or [""])[0]
            if said != told:
                told = said
                self._stage.tell(f"{name} has to try '{' '.join(arguments[:2])}' again: {said}")
            await trio.sleep(_AGAIN_S)

    async def _amend(self) -> None:
        lasting = self._plan.lasting
        assert lasting is not None
        told = await self._insist(self._steady.name, "network", "propose", "--set", f"{lasting.rule}={lasting.value}")
        amendment = told.split("amendment ")[-1].split()[0]
        await self._until(lambda seen: seen.is_proposed)
        async with trio.open_nursery() as nursery:
            for peer in self._plan.founders:
                if peer.is_honest and peer.name not in (self._steady.name, self._roles.rotating):
                    nursery.start_soon(self._insist, peer.name, "network", "approve", amendment)
        self._stage.tell(f"founders approve that {lasting.rule} becomes {lasting.value}")
        await self._until(lambda seen: seen.rule_from is not None)
        self._stage.tell(f"{lasting.rule} is {lasting.value} from epoch {self._facts.rule_from}")

    async def _rotate(self) -> None:
        """Move a founder to its next key. Then a relay ends, because too few could sign cuts with both away."""
        name, directory = self._roles.rotating, self._testnet.directory
        key = next_key_path(directory, self._plan.peer(name))
        await self._testnet.stop(name)
        await self._insist(name, "identity", "rotate", "--key", str(key), "--write", str(directory / f"{name}.after"))
        await self._testnet.start_ready(name)
        self._progress.rotated_epoch = self._watch.statuses[self._steady.name].epoch
        self._stage.tell(f"{name} runs with its next key from epoch {self._progress.rotated_epoch}")
        await self._until(lambda seen: seen.handovers > 0 and seen.weight > 0)
        await self._end_relay()

    async def _end_relay(self) -> None:
        relay = self._roles.relay
        await self._watch.wait_for(lambda _: relay in self._progress.relays and self._facts.rule_from is not None)
        self._progress.relays_before = self._progress.relays
        await self._testnet.stop(relay)
        self._progress.relay_end = RelayEnd(self._watch.statuses[self._steady.name].epoch, self._facts.audits)
        self._stage.tell(f"{relay}, a relay of {self._roles.hidden}, has ended")

    async def _welcome(self) -> None:
        """Let both newcomers join by the cut that an honest peer shows as its checkpoint."""
        await self._watch.wait_for(lambda _: self._checkpoint is not None)
        trusted = self._checkpoint
        assert trusted is not None
        self._stage.tell(f"newcomers join by the state that follows from cut {trusted[:16]}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._join, self._roles.newcomer, trusted)
            nursery.start_soon(self._join_twice, self._roles.killed, trusted)

    @property
    def _checkpoint(self) -> str | None:
        status = self._watch.statuses.get(self._steady.name)
        return None if status is None else status.checkpoint

    async def _join(self, name: str, trusted: str) -> None:
        began_epoch = self._watch.statuses[self._steady.name].epoch
        await self._testnet.start_ready(name, "--trust", trusted)
        home, steady = self._testnet.home(name), self._testnet.home(self._steady.name)
        await self._watch.wait_for(lambda _: self._has_caught_up(name, began_epoch))
        began = self._watch.statuses[name].began_with
        records = await trio.to_thread.run_sync(stored_records, home.database_path)
        of = await trio.to_thread.run_sync(stored_records, steady.database_path)
        if began is None:
            self._progress.faults.append(f"{name} began with the network's first record")
            return
        self._progress.arrivals[name] = Arrival(trusted, began.by, began.epoch, records, of)

    def _has_caught_up(self, name: str, epoch: int) -> bool:
        """Whether a newcomer has a final cut of an epoch after its start, so that it has fetched what it lacked."""
        status: StatusDocument | None = self._watch.statuses.get(name)
        return status is not None and status.final is not None and status.final.epoch >= epoch

    async def _join_twice(self, name: str, trusted: str) -> None:
        """Kill a newcomer in the middle of the state, which it fetches over a slow line, and start it again."""
        steady, places = self._steady, self._testnet.places
        async with trio.open_nursery() as nursery:
            serve = partial(serve_slowly, bytes_per_s=_SLOW_BYTES_PER_S)
            port = await nursery.start(serve, places.hosts[steady.name], places.ports[steady.name])
            await self._testnet.start(name, "--trust", trusted, first=(places.address_at(steady, port),))
            home = self._testnet.home(name)
            begun = home.path / "state" / "leaves"
            while not (begun.exists() and begun.stat().st_size) and home.read_api() is None:  # noqa: ASYNC110
                await trio.sleep(_LOOK_S)
            await self._testnet.kill(name)
            nursery.cancel_scope.cancel()
        if begun.exists():
            self._progress.killed_at = begun.stat().st_size
            self._stage.tell(f"{name} is killed with {self._progress.killed_at} bytes of its state, and started again")
        await self._join(name, trusted)

    # ------------------------------------------------------------ the end

    async def _end(self) -> None:
        """Wait for a cut of all at which everything has happened, and compare the roots of its state."""
        await self._watch.wait_for(lambda _: self._is_done())
        judged = self._judged
        assert judged is not None
        at = judged.views.at
        assert at is not None
        roots = {}
        for peer in self._plan.witnesses:
            database = self._testnet.home(peer.name).database_path
            roots[peer.name] = await trio.to_thread.run_sync(named_root, database, at.cut)
        self._progress.common = CommonState(at.cut, at.epoch, at.view_root, roots, judged.state_root)
        self._watch.tell()

    def _is_done(self) -> bool:
        """Whether all has happened at the judged cut."""
        judged = self._judged
        return judged is not None and judged.views.passes and not missing(self._plan, self._progress, judged.facts)
