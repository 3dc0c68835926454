"""Looking for another process with our key: a copy of this home that runs on another machine.

A peer that is connected with the other one hangs up on us, since it keeps one connection per key. So where an outbound
connection ends before it came to anything, a visitor under a key of its own asks that peer for its list, which names
with whom it is connected. What a list says of our key, signed by our key, is dialled: who answers there and proves
our key, without being this process, is our twin. What follows is told by `Host`; here is only where to look.
"""

import logging
import os
from collections.abc import Callable

import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.limits import BoundedDict
from p2pverify.net.border.host import DialError, Host
from p2pverify.net.peers.signed_addresses import SignedAddresses
from p2pverify.net.protocols.one_shot import ask_peer_list
from p2pverify.node.endpoints.address import Address

LOOK_SECONDS_MAX = 20.0
AGAIN_SECONDS = 60.0  # before the same address is looked at once more
QUEUE_MAX = 32
KNOWN_MAX = 256

log = logging.getLogger(__name__)


class Twins:
    """The search of one mesh. `own` gives what we say of ourselves now; `clock` Unix ms."""

    def __init__(
        self, host: Host, network_id: bytes, own: Callable[[], SignedAddresses], clock: Callable[[], int]
    ) -> None:
        self._host = host
        self._network_id = network_id
        self._own = own
        self._clock = clock
        self._send, self._receive = trio.open_memory_channel[tuple[Address, bool]](QUEUE_MAX)
        self._looked: BoundedDict[Address, float] = BoundedDict(KNOWN_MAX)

    def hung_up(self, address: Address) -> None:
        """A peer there has ended an outbound connection before it came to anything."""
        self._enqueue(address, is_ours=False)

    def hear(self, statement: SignedAddresses) -> None:
        """Somebody names a statement of our own key."""
        own = self._own()
        is_current = statement.network == self._network_id and statement.is_current(self._clock())
        if statement.peer != own.peer or not is_current or statement.addresses == own.addresses:
            return
        if statement.is_signed():
            for address in statement.addresses:
                self._enqueue(address, is_ours=True)

    def look_at(self, address: Address) -> None:
        """An address is said to be that of our own key."""
        self._enqueue(address, is_ours=True)

    def _enqueue(self, address: Address, *, is_ours: bool) -> None:
        now_s = trio.current_time()
        place = address.with_peer(self._host.peer if is_ours else None)
        if now_s - self._looked.get(place, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        self._looked[place] = now_s
        try:
            self._send.send_nowait((place, is_ours))
        except trio.WouldBlock:
            del self._looked[place]

    async def run(self) -> None:
        """Look, one address after the other, until cancelled."""
        async for address, is_ours in self._receive:
            try:
                with trio.fail_after(LOOK_SECONDS_MAX):
                    await (self._dial(address) if is_ours else self._ask(address))
            except (DialError, trio.TooSlowError) as error:
                log.debug("looked for %s at %s: %s", peer_id(self._host.peer), address, error)

    async def _dial(self, address: Address) -> None:
        await self._host.dial(address)  # which says so if our twin answers

    async def _ask(self, address: Address) -> None:
        found = await ask_peer_list(os.urandom(32), self._network_id, address)
        for statement in found.peers:
            if statement.peer == self._host.peer:
                self.hear(statement)
