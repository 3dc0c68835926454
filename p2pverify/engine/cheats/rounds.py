"""The parts of a node in training rounds, which lie if the node is a cheater of a testnet."""

from p2pverify.core.machine import Machine
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.training.ports import Trainer


def open_trainer(cheat: CheatSpec | None) -> Trainer:
    """The trainer of tabular models."""
    from p2pverify.engine.trainer import TabularTrainer  # noqa: PLC0415 - numpy, which few nodes need

    honest = TabularTrainer()
    if cheat is None or cheat.place is not CheatPlace.TRAINING:
        return honest
    from p2pverify.engine.cheats.training import lying_trainer  # noqa: PLC0415 - for testnets only

    return lying_trainer(cheat, honest)


def machine_type(cheat: CheatSpec | None) -> type[Machine]:
    """The machine of a node."""
    if cheat is None or cheat.place is not CheatPlace.TRAINING:
        return Machine
    from p2pverify.engine.cheats.contributors import lying_machine  # noqa: PLC0415 - for testnets only

    return lying_machine(cheat)
