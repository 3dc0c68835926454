"""Which parameters an amendment may change, and how far at a time.

A value moves at most to `factor` times itself, or to that part of itself. A small value may also move to `first`, or
from there to 0, because no factor leads away from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from p2pverify.core.contract.network import PARAM_BOUNDS


@dataclass(frozen=True, slots=True)
class Corridor:
    factor: int = 2
    first: int = 0

    def contains(self, old: int, new: int) -> bool:
        """Whether a value may move from `old` to `new` with one amendment."""
        return new <= max(self.factor * old, self.first) and old <= max(self.factor * new, self.first)


_COUNT = Corridor()
_PERCENT = Corridor(first=5)
_PERMILLE = Corridor(first=50)

LIVE: Mapping[str, Corridor] = {
    "slots_milli": _COUNT,
    "panel_size": _COUNT,
    "prompt_tokens": _COUNT,
    "answer_tokens": _COUNT,
    "temperature_milli": Corridor(first=100),
    "greedy_percent": _PERCENT,
    "anchor_window": Corridor(first=1),
    "duty_epochs": _COUNT,
    "dispute_epochs": _COUNT,
    "disputes_per_cut": _COUNT,
    "spot_check_permille": _PERMILLE,
    "fork_epochs": _COUNT,
    "cheat_ppm": _COUNT,
    "conviction_odds": Corridor(factor=10),
    "weight_changes_per_cut": _COUNT,
    "growth_epochs": _COUNT,
    "tenure_epochs": Corridor(first=1_440),
    "rest_epochs": _COUNT,
    "across_percent": _PERCENT,
    "prompt_spread": Corridor(first=4),
    "answer_spread": Corridor(first=8),
    "temperature_spread": Corridor(first=100),
    "long_permille": _PERMILLE,
    "long_tokens": Corridor(first=512),
    "audits_per_epoch": _COUNT,  # so it never becomes 0, and never begins: then duties have another form
}

#: Why the other parameters stay for ever.
FIXED: Mapping[str, str] = {
    "genesis_ms": "the clock of epochs begins with it",
    "epoch_ms": "all epochs have one length",
    "anchor_lag": "duties that wait were drawn with it",
    "notice_epochs": "the notice of an amendment must not shorten itself",
}


def refuse_param(index: int, old: int, new: int) -> str | None:
    """Why a parameter may not move from `old` to `new`, or None."""
    if index >= len(PARAM_BOUNDS):
        return f"there is no parameter {index}"
    name, low, high = PARAM_BOUNDS[index]
    if name in FIXED:
        return f"{name} never changes: {FIXED[name]}"
    if not low <= new <= high:
        return f"{name} is outside its bounds, {low} to {high}"
    if new == old:
        return f"{name} has this value already"
    if not LIVE[name].contains(old, new):
        return f"{name} moves by more than a factor {LIVE[name].factor}, from {old} to {new}"
    return None
