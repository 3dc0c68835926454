"""Contributors to training rounds that cheat. Their lies are those of real peers (`engine/cheats`)."""

from collections.abc import Callable, Mapping

from p2pverify.core.machine import Machine
from p2pverify.engine.cheats.contributors import CONTRIBUTORS, lying_machine
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.cheats.training import lying_trainer
from p2pverify.node.training.ports import Trainer
from p2pverify.testnet.world.liars.earners.evaluators import LazyMachine
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs, HonestActor


class FalseContributor(HonestActor):
    """Trains falsely, and does everything else honestly."""

    def __init__(self, args: ActorArgs, spec: CheatSpec) -> None:
        super().__init__(args)
        self._spec = spec

    def trainer(self, honest: Trainer) -> Trainer:
        return lying_trainer(self._spec, honest)


class OddMachineActor(HonestActor):
    """An honest actor whose machine breaks a rule of rounds."""

    def __init__(self, args: ActorArgs, machine: type[Machine]) -> None:
        self.args = args
        self.machine = args.machine(machine)
        self.key = self.machine.key


def contributor(kind: str) -> Callable[[ActorArgs], Actor]:
    """Makes contributors of a kind of `engine/cheats`."""
    spec = CheatSpec(kind)
    if kind in CONTRIBUTORS:
        return lambda args: OddMachineActor(args, lying_machine(spec))
    return lambda args: FalseContributor(args, spec)


KINDS: Mapping[str, Callable[[ActorArgs], Actor]] = {
    **{
        kind: contributor(kind)
        for kind in (
            "poison-labels",
            "poison-sign",
            "boost",
            "free-rider",
            "short-training",
            "copy-update",
            "overspend",
        )
    },
    "lazy-evaluator": lambda args: OddMachineActor(args, LazyMachine),
}
