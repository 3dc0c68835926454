"""What a peer of the simulated world shares with the others, and what it can reach."""

from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.core.events import Finalised
from p2pverify.testnet.world.batches import Batches
from p2pverify.testnet.world.catchup import Catchup
from p2pverify.testnet.world.links import End, Links, SimulatedRequests
from p2pverify.testnet.world.simulation import Simulation


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`dial` connects a peer with the one of a key. `finalised` is told the number of a peer at which a cut became
    final."""

    simulation: Simulation
    links: Links
    requests: SimulatedRequests
    catchup: Catchup
    batches: Batches
    dial: Callable[[End, bytes], None]
    finalised: Callable[[int, Finalised], None]
