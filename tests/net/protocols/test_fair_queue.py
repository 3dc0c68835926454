"""The fair queue: which request is served next if there is not room for all."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.net.protocols.fair_queue import CrowdedError, Turns

A, B = b"a", b"b"


class _Crowd:
    """Requests that run until they are told to end, and the order in which they began."""

    def __init__(self, nursery, turns):
        self._nursery = nursery
        self._turns = turns
        self._ends = {}
        self.began = []
        self.refused = []

    async def come(self, name, *, is_member=False):
        """A request of the peer named by the first letter. Returns when it runs, waits, or was refused."""
        self._ends[name] = trio.Event()
        self._nursery.start_soon(self._work, name, is_member)
        await wait_all_tasks_blocked()

    async def _work(self, name, is_member):
        try:
            async with self._turns.place(name[:1].encode(), is_member=is_member):
                self.began.append(name)
                await self._ends[name].wait()
        except CrowdedError:
            self.refused.append(name)

    async def end(self, name):
        self._ends[name].set()
        await wait_all_tasks_blocked()

    async def end_all(self):
        while [name for name in self.began if not self._ends[name].is_set()]:
            await self.end(next(name for name in self.began if not self._ends[name].is_set()))


async def test_peers_take_turns(nursery):
    """A peer with many requests is served as often as a peer with few, and not before it."""
    turns = Turns(1, 1, 64)
    crowd = _Crowd(nursery, turns)
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        await crowd.come(name)
    await crowd.end_all()
    assert crowd.began == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert (turns.working, turns.waiting) == (0, 0)


async def test_a_peer_has_so_many_places(nursery):
    """Above its own places a peer waits, even if places are free for others."""
    crowd = _Crowd(nursery, Turns(3, 1, 64))
    for name in ("a1", "a2", "b1"):
        await crowd.come(name)
    assert crowd.began == ["a1", "b1"]
    await crowd.end("a1")
    assert crowd.began == ["a1", "b1", "a2"]
    await crowd.end_all()


async def test_members_come_before_strangers_but_not_for_ever(nursery):
    """A hundred non-members do not delay a member. Every fourth turn goes to non-members."""
    crowd = _Crowd(nursery, Turns(1, 1, 200))
    for number in range(100):
        await crowd.come(f"{chr(0x100 + number)}")
    for number in range(6):
        await crowd.come(f"m{number}", is_member=True)
    for _ in range(9):
        await crowd.end(crowd.began[-1])
    assert [name[0] == "m" for name in crowd.began] == [False, *[True] * 3, False, *[True] * 3, False, False]
    await crowd.end_all()


async def test_a_full_waiting_room(nursery):
    """A non-member is refused. A member takes the place of the non-member with the longest queue."""
    crowd = _Crowd(nursery, Turns(1, 1, 3))
    for name in ("a1", "a2", "b1", "b2", "c1"):
        await crowd.come(name)
    assert crowd.refused == ["c1"]
    await crowd.come("m1", is_member=True)
    assert crowd.refused == ["c1", "b2"]
    for name in ("m2", "m3", "m4"):
        await crowd.come(name, is_member=True)
    assert crowd.refused == ["c1", "b2", "a2", "b1", "m4"]
    await crowd.end_all()
    assert crowd.began == ["a1", "m1", "m2", "m3"]


async def test_who_gives_up_leaves_its_place_to_the_next(nursery):
    """A request that is cancelled while it waits or runs is removed."""
    turns = Turns(1, 1, 8)
    crowd = _Crowd(nursery, turns)
    with trio.CancelScope() as working:
        async with trio.open_nursery() as inner:

            async def hold():
                async with turns.place(A, is_member=False):
                    await trio.sleep_forever()

            inner.start_soon(hold)
            await wait_all_tasks_blocked()
            with trio.move_on_after(0):
                async with turns.place(B, is_member=False):
                    pytest.fail("there was no place")
            assert turns.waiting == 0
            await crowd.come("c1")
            assert crowd.began == []
            working.cancel()
    await wait_all_tasks_blocked()
    assert crowd.began == ["c1"]
    await crowd.end_all()
    assert (turns.working, turns.waiting) == (0, 0)
