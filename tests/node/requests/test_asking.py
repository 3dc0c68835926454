"""Asking with patience: a peer that has begun to answer must go on."""

from collections.abc import Sequence

import pytest
import trio

from p2pverify.node.ports import AskError, Hear, Reply, unheard
from p2pverify.node.requests.asking import STALL_SECONDS_MAX, ask_streaming
from tests.node.fakes import FakeNetwork

PEER = b"p" * 32


class Slow(FakeNetwork):
    """A peer that takes these times, in seconds, before each token and before the response."""

    def __init__(self, *times: float) -> None:
        super().__init__()
        self.times = times
        self.tokens_max = 0

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        self.tokens_max = tokens_max
        for token, time_s in enumerate(self.times[:-1]):
            await trio.sleep(time_s)
            hear((token,))
        await trio.sleep(self.times[-1])
        return Reply(request, 1)


async def _ask(network: FakeNetwork) -> tuple[bytes, list[int]]:
    heard: list[int] = []
    reply = await ask_streaming(network, PEER, b"?", tokens_max=9, hear=heard.extend)
    return reply.data, heard


async def test_patience_is_for_each_step(autojump_clock: None) -> None:
    """The first token may take any time, because questions wait for an engine. Then each frame has its own time."""
    network = Slow(100 * STALL_SECONDS_MAX, *[STALL_SECONDS_MAX - 1] * 5)
    assert await _ask(network) == (b"?", [0, 1, 2, 3, 4])
    assert network.tokens_max == 9


@pytest.mark.parametrize("times", [(1, STALL_SECONDS_MAX + 1), (1, 1, STALL_SECONDS_MAX + 1, 1)])
async def test_a_peer_that_stops_is_given_up(autojump_clock: None, times: Sequence[float]) -> None:
    """That a stream has begun binds its asker to nothing."""
    with pytest.raises(AskError) as caught:
        await _ask(Slow(*times))
    assert caught.value.reason == "stalled"


async def test_the_deadline_of_the_caller_goes_first(autojump_clock: None) -> None:
    """It is over the whole, before the first token too."""
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(5):
            await _ask(Slow(1, 6))
