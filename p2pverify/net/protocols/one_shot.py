"""A one-shot visit: one connection to one peer for one request, by a visitor that takes no part in the network.

The caller defines the request and reads the answer. Protocol page: protocol/streams.md.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from p2pverify.net.border.host import DialError
from p2pverify.net.peers.peer_list import PeerList
from p2pverify.net.protocols.visitor import Visitor
from p2pverify.node.endpoints.address import Address
from p2pverify.node.ports import AskError, Hear, Reply, unheard

_T = TypeVar("_T")


async def ask_peer(
    seed: bytes,
    network_id: bytes,
    address: Address,
    request: bytes,
    *,
    before: Callable[[], Awaitable[None]],
    tokens_max: int = 0,
    hear: Hear = unheard,
) -> Reply:
    """Dial the peer at an address and ask it one request. `seed` is the visitor's identity (32 B).

    `before` is awaited right before the request is sent, when the peer is confirmed. An answer has at most `tokens_max`
    tokens, and `hear` gets them as they come. Raises DialError if the peer cannot be reached or confirmed, and AskError
    if there is no answer. The caller sets the deadline.
    """

    async def ask(visitor: Visitor) -> Reply:
        peer, _ = await visitor.meet(address)
        await before()
        return await visitor.ask(peer, request, tokens_max=tokens_max, hear=hear)

    return await _visit(seed, network_id, ask)


async def ask_peer_list(seed: bytes, network_id: bytes, address: Address) -> PeerList:
    """Dial the peer at an address and get the list of its peers. Raises DialError. The caller sets the deadline."""

    async def ask(visitor: Visitor) -> PeerList:
        return (await visitor.meet(address))[1]

    return await _visit(seed, network_id, ask)


async def _visit(seed: bytes, network_id: bytes, do: Callable[[Visitor], Awaitable[_T]]) -> _T:
    visitor = Visitor(seed, network_id)
    failure: Exception
    async with trio.open_nursery() as nursery:
        await nursery.start(visitor.run)
        try:
            return await do(visitor)
        except (DialError, AskError) as error:
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    raise failure
