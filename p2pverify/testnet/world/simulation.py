"""What the parts of a simulated world share: its plan, its network, virtual time, and the chances of the run."""

from dataclasses import dataclass
from zlib import crc32

from p2pverify.core.contract.network import Network
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import records_topic
from p2pverify.testnet.world.plan import WorldPlan
from p2pverify.testnet.world.schedule import Chance, Item, Schedule


@dataclass(slots=True)
class Simulation:
    """One run. While it rests, the clocks of its peers stand still at `rested_ms` and only messages travel."""

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
        """The time on an exact clock of a peer."""
        return self.rested_ms if self.is_resting else self.schedule.now_ms

    @property
    def epoch(self) -> int:
        return self.network.params.epoch_at(self.clock_ms)

    def rest(self) -> None:
        """Stop the clocks of all peers."""
        self.rested_ms = self.now_ms
        self.is_resting = True

    def post(self, at_ms: int, peer: int, item: Item) -> None:
        """Have an item handled at a peer, or by the world (-1), at a time."""
        self.schedule.post(at_ms, peer, item)

    def slot_of(self, at_ms: int) -> int:
        """The time of the slot in which something of a time is handled."""
        quantum = self.plan.quantum_ms
        return -(-at_ms // quantum) * quantum

    def latency_ms(self, one: int, two: int) -> int:
        """Between two peers, without jitter; the same both ways."""
        low, high = self.plan.latency_ms
        pair = crc32(b"%d/%d/%d" % (self.plan.seed, min(one, two), max(one, two)))
        return low + pair % (high - low + 1)
