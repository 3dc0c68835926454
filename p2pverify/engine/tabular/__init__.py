"""Tabular models: training in rounds as a pure function, and the engine that serves what it gave.

`train` is one contributor's part of a round, `rerun` the same by somebody else, and `evaluate` the result of the round.
All of it is integers: the same inputs give the same bytes on every machine. Protocol page: protocol/training.md.
"""

from p2pverify.engine.tabular.engine import TabularEngine
from p2pverify.engine.tabular.evaluation import Evaluation, evaluate
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_model, decode_rows, initial
from p2pverify.engine.tabular.rerun import TrainingRerun, rerun
from p2pverify.engine.tabular.training import Run, train

__all__ = [
    "Evaluation",
    "Rows",
    "Run",
    "TabularEngine",
    "TabularModel",
    "TrainingRerun",
    "decode_model",
    "decode_rows",
    "evaluate",
    "initial",
    "rerun",
    "train",
]
