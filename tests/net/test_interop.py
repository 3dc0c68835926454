"""A peer of another implementation: py-libp2p's whole stack, in a process of its own."""

import subprocess
import sys

import trio

from p2pverify.core.gossip_types import records_topic
from tests.net.peers import NETWORK, assert_answers, join


async def test_a_library_peer_takes_part_in_gossip(nursery):
    """It pings us, learns our protocols by identify, and hears in its gossipsub what we publish."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        command = [sys.executable, "-m", "tests.net.library_peer", alice.address, records_topic(NETWORK)]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        lines = bytearray()

        async def publish_until_heard():
            number = 0
            while b"message" not in lines:
                alice.mesh.publish_nowait(b"number-%d" % number)
                number += 1
                with trio.move_on_after(0.2):
                    lines.extend(await process.stdout.receive_some())

        await publish_until_heard()
        async for chunk in process.stdout:
            lines.extend(chunk)
        await process.wait()
        report = dict(line.split(" ", 1) for line in lines.decode().splitlines())
        assert report["pings"] == "2"
        assert report["message"].startswith("number-")
        assert {"/meshsub/1.1.0", "/p2pverify/ask/1"} <= set(report["protocols"].split())
        await assert_answers(nursery, alice)
