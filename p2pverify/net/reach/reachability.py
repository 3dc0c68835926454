"""Whether this peer can be dialled, and what follows: which addresses it tells, and whether it uses relays.

Peers that we are connected to try to dial us (`dialback`), and `verdict` decides. While nobody has tried, the listening
addresses are told as they are, because the first peers of a network know nobody who could try. Once peers have tried in
vain, addresses of that reach are no longer told, and relays take our connections (`relays`).
"""

import random
from collections.abc import Callable, Sequence

import trio

from p2pverify.core.counters import Counters
from p2pverify.net.border.connection_limits import group_of
from p2pverify.net.border.host import Host
from p2pverify.net.border.link import Link
from p2pverify.net.peers.signed_addresses import OwnAddresses, reach
from p2pverify.net.reach.dialback import Dialback
from p2pverify.net.reach.relays import RelayReservations
from p2pverify.net.reach.verdict import ASKED_MAX, is_dialled
from p2pverify.node.endpoints.address import Address
from p2pverify.node.endpoints.reach import Reach, ReachState

SETTLE_SECONDS = 3.0  # after the first connection, so that several address groups are known
AGAIN_SECONDS = 600.0
AGAIN_SOON_SECONDS = 75.0  # while undecided; a peer is asked once a minute
KINDS = ("ip4", "ip6")


class Reachability:
    """Finds out, and keeps `own` up to date. `links` are the connections to peers of our network."""

    def __init__(
        self,
        host: Host,
        own: OwnAddresses,
        dialback: Dialback,
        relays: RelayReservations,
        links: Callable[[], Sequence[Link]],
        counters: Counters,
        dice: random.Random,
        tell: Callable[[], None],
    ) -> None:
        self._host = host
        self._own = own
        self._dialback = dialback
        self._relays = relays
        self._links = links
        self._counters = counters
        self._dice = dice
        self._tell = tell
        self._answers: dict[str, dict[str, bool]] = {}  # by kind of address and by address group
        self._woken = trio.Event()
        self._due = trio.Event()

    def report(self) -> Reach:
        """What is known now."""
        told = self._relays.addresses()
        answers = [answer for found in self._answers.values() for answer in found.values()]
        listens = bool(self._told())
        state: ReachState
        if any(is_dialled(found) for found in self._answers.values()):
            state = "direct"
        elif not self._relays.are_needed:
            state = "unknown"
        else:
            state = "relayed" if told else "unreachable"
        return Reach(state, listens, len(answers), sum(answers), tuple(map(str, told)))

    @property
    def can_relay(self) -> bool:
        """Whether others may be able to dial this peer."""
        return not self._relays.are_needed

    def wake(self) -> None:
        """Connections or addresses have changed."""
        self._woken.set()
        self._relays.wake()

    def check_again(self) -> None:
        """The router forwards another port: try soon whether that helps."""
        self._due.set()
        self.wake()

    async def run(self) -> None:
        """Check now and then until cancelled."""
        self._decide()
        while True:
            await self._settle()
            await self._check()
            self._decide()
            is_settled = any(self._answers.values())
            self._due = trio.Event()
            with trio.move_on_after(AGAIN_SECONDS if is_settled else AGAIN_SOON_SECONDS):
                await self._due.wait()

    async def _settle(self) -> None:
        """Wait for a connection over which we can be dialled back, and a little for others."""
        while not any(self._asked(kind) for kind in KINDS):
            self._woken = trio.Event()
            await self._woken.wait()
        await trio.sleep(SETTLE_SECONDS)

    async def _check(self) -> None:
        for kind in KINDS:
            answers: dict[str, bool] = {}
            groups = list(self._asked(kind).items())
            self._dice.shuffle(groups)
            while groups and len(answers) < ASKED_MAX:
                batch, groups = groups[: ASKED_MAX - len(answers)], groups[ASKED_MAX - len(answers) :]
                async with trio.open_nursery() as nursery:
                    for group, links in batch:
                        nursery.start_soon(self._ask, group, self._dice.choice(links), kind, answers)
            if answers:
                self._answers[kind] = answers
                self._counters.count("dialback_rounds")

    async def _ask(self, group: str, link: Link, kind: str, answers: dict[str, bool]) -> None:
        port = next((address.port for address in self._told() if address.kind == kind), None)
        answer = None if port is None else await self._dialback.ask(link, port)
        if answer is not None:
            answers[group] = answer

    def _asked(self, kind: str) -> dict[str, list[Link]]:
        """The links whose peers see us at an address of this kind, by address group.

        Only those of the widest reach: a neighbour in the local network can dial us where others cannot.
        """
        if not any(address.kind == kind for address in self._told()):
            return {}
        remotes = [
            (link, link.remote[0])
            for link in self._links()
            if link.relay is None and link.remote is not None and (":" in link.remote[0]) is (kind == "ip6")
        ]
        widest = max((reach(host.partition("%")[0]) for _, host in remotes), default=0)
        found: dict[str, list[Link]] = {}
        for link, host in remotes:
            if reach(host.partition("%")[0]) == widest:
                found.setdefault(group_of((host, 0), loopback_counts=True), []).append(link)
        return dict(sorted(found.items()))

    def _decide(self) -> None:
        verdicts = {kind: is_dialled(answers) for kind, answers in self._answers.items()}
        hidden = {kind: self._reach_asked(kind) for kind, verdict in verdicts.items() if verdict is False}
        if self._own.hide(hidden):
            self._tell()
        told = {address.kind for address in self._told()}
        self._relays.are_needed = not told or (bool(verdicts) and not any(verdicts.values()))
        self._relays.wake()

    def _reach_asked(self, kind: str) -> int:
        return min((reach(group.partition("/")[0]) for group in self._answers[kind]), default=0)

    def _told(self) -> tuple[Address, ...]:
        """Where we listen, or what the operator or the router says instead."""
        return self._own.direct(self._host.addresses)
