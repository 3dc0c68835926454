"""A one-shot visit: one connection to one peer for one request, by a visitor that takes no part in the network.

A visitor shows that it belongs to the same network. It tells no addresses of its own, so nobody dials it later. The
caller defines the request and reads the answer. Protocol page: protocol/streams.md.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.inference.stream import AnswerReader
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.host import DialError, Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.peers.peer_list import (
    EXCHANGE_SECONDS_MAX,
    FRAME_BYTES_MAX,
    PROTOCOL,
    PeerList,
    decode_peer_list,
    encode_peer_list,
)
from p2pverify.net.protocols.requests import RequestLimits, Requests
from p2pverify.node.endpoints.address import Address
from p2pverify.node.ports import AskError, Hear, Reply, unheard

_T = TypeVar("_T")
_LISTEN = "/ip4/127.0.0.1/tcp/0"  # a host must listen; no peer is told this address


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
    requests = Requests(_serve_nobody, lambda _: False, RequestLimits(), Counters())

    async def ask(link: Link) -> Reply:
        await _introduce(link, network_id)
        await before()
        return await requests.ask(link, request, AnswerReader(tokens_max), hear)

    return await _visit(seed, network_id, address, ask)


async def ask_peer_list(seed: bytes, network_id: bytes, address: Address) -> PeerList:
    """Dial the peer at an address and get the list of its peers. Raises DialError. The caller sets the deadline."""

    async def ask(link: Link) -> PeerList:
        return await _introduce(link, network_id)

    return await _visit(seed, network_id, address, ask)


async def _visit(seed: bytes, network_id: bytes, address: Address, do: Callable[[Link], Awaitable[_T]]) -> _T:
    host = Host(seed, _LISTEN, Counters(), peers_max=1)
    host.handle(PROTOCOL, partial(_answer, network_id))
    listener = host.listen()
    failure: Exception
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.run, listener, _attend, _ended)
        try:
            return await do(await host.dial(address))
        except (DialError, AskError) as error:
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    raise failure


async def _answer(network_id: bytes, stream: Stream) -> None:
    """Answer the exchange when the peer begins it; a visitor that does not answer counts as dead within two seconds."""
    with trio.fail_after(EXCHANGE_SECONDS_MAX):
        decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
        await write_frame(stream, encode_peer_list(PeerList(network_id, None, ())))


async def _introduce(link: Link, network_id: bytes) -> PeerList:
    """Make the first exchange of /p2pverify/peers/2, which shows both sides that they belong to one network."""
    try:
        with trio.fail_after(EXCHANGE_SECONDS_MAX):
            async with await link.open_stream(PROTOCOL) as stream:
                await write_frame(stream, encode_peer_list(PeerList(network_id, None, ())))
                theirs = decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))
    except (StreamBrokenError, NotSupportedError, RemoteProtocolError, trio.TooSlowError):
        raise DialError("the peer does not speak this protocol") from None
    if theirs.network_id != network_id:
        raise DialError(f"the peer is of network {theirs.network_id.hex()}")
    return theirs


async def _serve_nobody(_request: bytes, _source: bytes, _hear: Hear) -> bytes:
    raise RemoteProtocolError("visitors answer nothing")


async def _attend(_link: Link) -> None:
    return


def _ended(_link: Link) -> None:
    return
