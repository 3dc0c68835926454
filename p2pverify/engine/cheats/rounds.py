"""The parts of a node in training rounds, which lie if the node is a cheater of a testnet."""

from collections.abc import Callable
from pathlib import Path

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.machine import Machine
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.training.ports import Trainer


def open_trainer(cheat: CheatSpec | None, rule: TrainingRule | None, find: Callable[[bytes], Path | None]) -> Trainer:
    """The trainer for a rule. `find` finds a file of weights on this machine by its SHA-256 (32 B)."""
    honest = _honest(rule, find)
    if cheat is None or cheat.place is not CheatPlace.TRAINING:
        return honest
    from p2pverify.engine.cheats.training import lying_trainer  # noqa: PLC0415 - for testnets only

    return lying_trainer(cheat, honest)


def _honest(rule: TrainingRule | None, find: Callable[[bytes], Path | None]) -> Trainer:
    if rule is not None and rule.lora is not None:
        from p2pverify.engine.lora.tools import LoraTrainer  # noqa: PLC0415 - llama.cpp, and later PyTorch

        return LoraTrainer(rule, find)
    from p2pverify.engine.trainer import TabularTrainer  # noqa: PLC0415 - numpy, which few nodes need

    return TabularTrainer()


def machine_type(cheat: CheatSpec | None) -> type[Machine]:
    """The machine of a node."""
    if cheat is None or cheat.place is not CheatPlace.TRAINING:
        return Machine
    from p2pverify.engine.cheats.contributors import lying_machine  # noqa: PLC0415 - for testnets only

    return lying_machine(cheat)
