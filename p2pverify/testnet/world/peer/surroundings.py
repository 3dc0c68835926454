"""The parts of the simulated world that all peers share and use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pverify.core.events import Finalised, TrainingDone, TrainingJob
from p2pverify.testnet.world import items
from p2pverify.testnet.world.batches import Batches
from p2pverify.testnet.world.catchup import Catchup
from p2pverify.testnet.world.links import End, Links, SimulatedRequests
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.peer.engine import SimulatedEngine
from p2pverify.testnet.world.simulation import Simulation

if TYPE_CHECKING:
    from p2pverify.testnet.world.economy.training import SimulatedTraining  # it needs numpy


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The shared parts. `engine` makes the engine of an actor. `dial` connects a peer with the peer that has a key.
    `finalised` is called with the number of a peer when a cut becomes final there. `training` is there if the world has
    rounds."""

    simulation: Simulation
    links: Links
    requests: SimulatedRequests
    catchup: Catchup
    batches: Batches
    engine: Callable[[Actor], SimulatedEngine]
    dial: Callable[[End, bytes], None]
    finalised: Callable[[int, Finalised], None]
    training: "SimulatedTraining | None" = None

    def train(self, number: int, life: int, actor: Actor, job: TrainingJob) -> None:
        """Carry out an order of a training round for a peer. It takes as long as an answer."""
        assert self.training is not None  # orders come in worlds with rounds alone
        done = TrainingDone(job.job, self.training.outcome(actor.key, actor.trainer, job.order))
        world = self.simulation
        world.post(world.now_ms + world.plan.answer_ms, number, (items.TRAINED, life, done))
