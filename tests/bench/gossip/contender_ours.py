"""Eight of our own peers in one process, each connected to all others. Prints the result as JSON.

python -m tests.bench.gossip.contender_ours MESSAGES [BATCH_MS]
"""

import dataclasses
import json
import sys

import trio

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.params import GossipParams
from tests.bench.gossip.workload import PEERS, Load, check
from tests.net.real_peers import FakeInbox, Peer, join

SHOWN = (
    "router_messages_received",
    "router_messages_duplicate",
    "router_rpcs_sent",
    "gossip_rpcs_dropped",
    "gossip_paced",
)


class Judge(FakeInbox):
    """The node's side: checks each message once and reports it."""

    load: Load

    def judge(self, message: bytes, source: bytes) -> GossipVerdict:
        if not check(message):
            return GossipVerdict.REJECT
        self.load.delivered(message)
        return GossipVerdict.ACCEPT


async def main(count: int, batch_ms: int | None) -> None:
    judge = Judge()
    options = {} if batch_ms is None else {"gossip": GossipParams(batch_ms=batch_ms, batch_at_rest=False)}
    peers: list[Peer] = []
    async with trio.open_nursery() as nursery:
        for number in range(PEERS):
            addresses = [peer.address for peer in peers]
            peers.append(await join(nursery, f"peer {number}", *addresses, inbox=judge, **options))
        for peer in peers:
            for other in peers:
                if other is not peer:
                    await peer.mesh.wait_gossiping(other.key)
        judge.load = Load(lambda place, data: peers[place].mesh.publish_nowait(data), count)
        result = await judge.load.run()
        for name in SHOWN:
            print(name, sum(peer.count(name) for peer in peers), file=sys.stderr)
        print(json.dumps(dataclasses.asdict(result)), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
