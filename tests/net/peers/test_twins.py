"""A second process with the same key is found through any neighbour, and a peer is not its own twin."""

import pytest
import trio

from p2pverify.net.border.host import DialError
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import FakeInbox, join

PATIENCE_S = 30


async def twins_of(inbox: FakeInbox) -> list[str]:
    while not inbox.twins:
        await inbox.changed.wait()
    return inbox.twins


async def test_a_copy_is_found_behind_a_common_neighbour(nursery):
    """The neighbour keeps its connection with the first and closes the second, which then finds out the reason."""
    with trio.fail_after(PATIENCE_S):
        common = await join(nursery, "common")
        first = await join(nursery, "twin", common.address)
        await first.mesh.wait_connected(common.mesh.peer)
        second = await join(nursery, "twin", common.address)
        (where,) = await twins_of(second.inbox)
        assert where == f"at {parse_address(first.address).without_peer_text()}"
        assert "127.0.0.1" in (await twins_of(first.inbox))[0]
        assert common.inbox.twins == []


async def test_a_copy_is_found_at_a_bootstrap_address(nursery):
    """The address is dialled, whether it names the peer or not."""
    with trio.fail_after(PATIENCE_S):
        first = await join(nursery, "twin")
        for address in (first.address, parse_address(first.address).without_peer_text()):
            second = await join(nursery, "twin", address)
            assert (await twins_of(second.inbox))[0].startswith("at /ip4/127.0.0.1/tcp/")


async def test_we_are_not_our_own_twin(nursery):
    """A list of bootstrap addresses that all peers share also names each of them, with its id or without."""
    with trio.fail_after(PATIENCE_S):
        common = await join(nursery, "common")
        one = await join(nursery, "one", common.address)
        await one.mesh.wait_connected(common.mesh.peer)
        for address in (parse_address(one.address), parse_address(one.address).with_peer(None)):
            with pytest.raises(DialError, match="our own address"):
                await one.mesh._host.dial(address)
        assert one.inbox.twins == []


async def test_an_own_address_of_an_earlier_run_is_no_twin(nursery):
    """A neighbour still names the old listening address, where no process answers."""
    with trio.fail_after(PATIENCE_S):
        common = await join(nursery, "common")
        async with trio.open_nursery() as earlier:
            gone = await join(earlier, "one", common.address)
            await gone.mesh.wait_connected(common.mesh.peer)
            statement = gone.mesh._own.statement(gone.mesh._host.addresses)
            earlier.cancel_scope.cancel()
        one = await join(nursery, "one", common.address)
        await one.mesh.wait_connected(common.mesh.peer)
        with pytest.raises(DialError):
            await one.mesh._peers._twins._dial(statement.addresses[0].with_peer(one.mesh.peer))
        assert one.inbox.twins == []
