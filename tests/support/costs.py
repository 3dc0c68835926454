"""The costs of a simulated engine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Engine times in CPU milliseconds."""

    derive: int = 230
    answer_after_derive: int = 320
    answer: int = 480
    score: int = 230
    overhead_permille: int = 100
