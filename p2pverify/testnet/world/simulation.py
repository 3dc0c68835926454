"""The state that all parts of a simulated world share: plan, network, virtual time and random numbers."""

from dataclasses import dataclass
from zlib import crc32

from p2pverify.core.contract.network import Network
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import records_topic
from p2pverify.testnet.world.plan import WorldPlan
from p2pverify.testnet.world.schedule import Chance, Item, Schedule


@dataclass(slots=True)
class Simulation:
    """One run. While it rests, the clocks of its peers stop at `rested_ms`, and only messages travel."""

    plan: WorldPlan
    network: Network
    schedule: Schedule
    chance: Chance
    gossip_params: GossipParams
    is_resting: bool = False
    rested_ms: int = 0
    topic: str = ""

    def __post_init__(self) -> None:
        self.topic = records_topic(self.network.id)

    @property
    def now_ms(self) -> int:
        return self.schedule.now_ms

    @property
    def clock_ms(self) -> int:
        """The time on a peer's clock without skew, in virtual Unix milliseconds."""
        return self.rested_ms if self.is_resting else self.schedule.now_ms

    @property
    def epoch(self) -> int:
        return self.network.params.epoch_at(self.clock_ms)

    def rest(self) -> None:
        """Stop the clocks of all peers."""
        self.rested_ms = self.now_ms
        self.is_resting = True

    def post(self, at_ms: int, peer: int, item: Item) -> None:
        """Schedule an item for a peer, or for the world (-1)."""
        self.schedule.post(at_ms, peer, item)

    def slot_of(self, at_ms: int) -> int:
        """The time of the slot that handles items of the time `at_ms`."""
        quantum = self.plan.quantum_ms
        return -(-at_ms // quantum) * quantum

    def latency_ms(self, one: int, two: int) -> int:
        """The latency between two peers without jitter; equal in both directions."""
        low, high = self.plan.latency_ms
        pair = crc32(b"%d/%d/%d" % (self.plan.seed, min(one, two), max(one, two)))
        return low + pair % (high - low + 1)
