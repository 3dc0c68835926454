"""A process with one peer that prints its address, for tests that kill it.

Usage: python -m tests.net.lonely LISTEN [BOOTSTRAP].
"""

import sys

import trio

from tests.net.real_peers import join


async def main(listen: str, *bootstrap: str) -> None:
    async with trio.open_nursery() as nursery:
        peer = await join(nursery, "lonely", *bootstrap, listen=listen)
        print(peer.address, flush=True)


trio.run(main, *sys.argv[1:])
