"""The numeric rules of a network as options of `network new`, each with its meaning and its usual value.

`core.contract.network.Params` defines the numbers, their units and bounds.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from p2pverify.core.contract.network import PARAM_BOUNDS

_Function = TypeVar("_Function", bound=Callable[..., Any])
#: rule -> (its meaning, its usual value)
RULES = {
    "genesis_ms": ("Unix time in ms at which epoch 0 begins.", "now"),
    "epoch_ms": ("Length of an epoch in ms.", "60000"),
    "slots_milli": ("Audits that a peer owes per epoch, times 1000.", "2000"),
    "panel_size": ("Peers asked in an audit that asks several.", "3"),
    "prompt_tokens": ("Longest prompt of an audit, in tokens.", "32"),
    "answer_tokens": ("Longest answer to an audit, in tokens.", "64"),
    "temperature_milli": ("Highest sampling temperature of an audit, times 1000.", "800"),
    "greedy_percent": ("Share of audits asked at temperature 0, in per cent.", "20"),
    "anchor_lag": ("Minimum age, in epochs, of the cut whose members an audit asks.", "1"),
    "anchor_window": ("Number of epochs by which that cut may be older.", "4"),
    "duty_epochs": ("Epochs within which a cut must hold a peer's duty record for it to count.", "8"),
    "dispute_epochs": ("Epochs after which an undecided dispute has no effect.", "16"),
    "disputes_per_cut": ("Disputes that may open in one cut.", "8"),
    "spot_check_permille": ("Share of undisputed audits that are voted on, in thousandths.", "20"),
    "fork_epochs": ("Epochs without weight for the author of a forked log.", "64"),
    "cheat_ppm": ("Rate of cheating that the sequential test looks for, per million answers.", "100000"),
    "conviction_odds": ("Odds against an honest peer at which the test convicts.", "1000000"),
    "weight_changes_per_cut": ("Peers whose weight may change in one cut.", "1"),
    "growth_epochs": ("Epochs in which the weight may grow by e at most: the price of a takeover.", "by --for"),
    "tenure_epochs": ("Epochs of met duties before a peer can get weight.", "by --for"),
    "rest_epochs": ("Cuts without a record after which a member's weight is put to rest.", "16384"),
    "across_percent": ("Share of audits that ask other classes, if there is a referee, in per cent.", "25"),
    "prompt_spread": ("Number of tokens by which a prompt may be shorter.", "half of --prompt-tokens"),
    "answer_spread": ("Number of tokens by which an answer may be shorter.", "half of --answer-tokens"),
    "temperature_spread": ("Amount by which the temperature may be lower, times 1000.", "3/8 of --temperature-milli"),
    "long_permille": ("Share of audits that ask for answers longer than --answer-tokens, in thousandths.", "10"),
    "long_tokens": ("Longest of these answers, in tokens.", "as long as the engine's context and an epoch allow"),
    "handover_epochs": ("Epochs until a new key takes over without the old key's signature.", "1440"),
    "audits_per_epoch": ("Audits that all members owe together per epoch; 0: every member owes all of its own.", "0"),
    "notice_epochs": ("Epochs between the approval of an amendment of the rules and its effect.", "10080"),
}


def rule_options(function: _Function) -> _Function:
    """One option for every rule. A rule that is not given gets its usual value from `node.files.networktable`."""
    for name, low, high in reversed(PARAM_BOUNDS):
        text, usual = RULES[name]
        option = click.option(
            "--" + name.replace("_", "-"),
            type=click.IntRange(low, high),
            default=None,
            help=f"{text} Usually {usual}.",
        )
        function = option(function)
    return function
