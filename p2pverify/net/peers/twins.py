"""The search for a twin: another process with our key, as when a copy of this home runs on another machine.

A peer that is connected with the twin closes our connection, because it keeps one connection per key. So when an
outbound connection ends early, we connect again under a fresh key and ask that peer for its list, which names its
connected peers. If the list has a statement signed by our key, we dial its addresses. A process that answers there and
proves our key, but is not this process, is the twin. `Host` reports it; this module only decides where to look.
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
AGAIN_SECONDS = 60.0  # before the same address is looked at again
QUEUE_MAX = 32
KNOWN_MAX = 256

log = logging.getLogger(__name__)


class Twins:
    """The search for the twin of one identity. `own` returns our own statement; `clock` gives Unix milliseconds."""

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
        """A peer at this address has ended an outbound connection before it was confirmed."""
        self._enqueue(address, is_ours=False)

    def hear(self, statement: SignedAddresses) -> None:
        """Another peer has passed on a statement of our own key."""
        own = self._own()
        is_current = statement.network == self._network_id and statement.is_current(self._clock())
        if statement.peer != own.peer or not is_current or statement.addresses == own.addresses:
            return
        if statement.is_signed():
            for address in statement.addresses:
                self._enqueue(address, is_ours=True)

    def look_at(self, address: Address) -> None:
        """An address is said to belong to our own key."""
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
        """Look at one address after the other, until cancelled."""
        async for address, is_ours in self._receive:
            try:
                with trio.fail_after(LOOK_SECONDS_MAX):
                    await (self._dial(address) if is_ours else self._ask(address))
            except (DialError, trio.TooSlowError) as error:
                log.debug("looked for %s at %s: %s", peer_id(self._host.peer), address, error)

    async def _dial(self, address: Address) -> None:
        await self._host.dial(address)  # the host reports our twin if it answers

    async def _ask(self, address: Address) -> None:
        found = await ask_peer_list(os.urandom(32), self._network_id, address)
        for statement in found.peers:
            if statement.peer == self._host.peer:
                self.hear(statement)
