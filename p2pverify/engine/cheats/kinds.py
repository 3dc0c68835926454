"""The table of cheats for real peers: where each differs from an honest peer, and its expected fate.

`make` makes the lies. Peers that break the protocol instead of falsifying answers exist only in the simulated world
(`testnet/world/liars`).
"""

from dataclasses import dataclass
from enum import StrEnum


class CheaterFate(StrEnum):
    """The status of a cheater in a final view, if the network works."""

    CONVICTED = "convicted"
    UNAVAILABLE = "unavailable"  # a missing answer counts against availability, never against honesty
    INCONSISTENT = "inconsistent"  # slower than the hardware that it claims, and not convicted for it
    CONSISTENT = "consistent"  # as fast as the hardware that it claims, even if it also does other work
    CONTESTED = "contested"  # it wins its votes, so honest members stop instead of signing what rests on them
    DROPPED = "dropped"  # its false chunks are refused, and it is asked for no more of them; its answers are right
    UNPAID = "unpaid"  # its updates count and earn next to nothing, because they do not help on the rows of others
    UNCOUNTED = "uncounted"  # its updates break a rule of rounds, so they are in none
    LATE = "late"  # its updates are right, and later than those of others


class CheatPlace(StrEnum):
    """Where a cheater differs from an honest peer."""

    ANSWER = "answer"  # the honest engine is asked something else, or not at all
    MODEL = "model"  # a second engine with other weights answers
    DELAY = "delay"  # the answer is right, and late
    SILENCE = "silence"  # the node does not answer, and its engine is honest
    VERSION = "version"  # the engine of the first version answers for the later ones
    FILES = "files"  # the node serves false bytes of files, and its engine is honest
    TRAINING = "training"  # its updates of training rounds are false; its answers are right


@dataclass(frozen=True, slots=True)
class CheatKind:
    """A kind of cheat. `takes` describes its argument, and is empty for a kind without one."""

    name: str
    place: CheatPlace
    fate: CheaterFate
    what: str
    takes: str = ""


_ANSWER, _MODEL, _DELAY, _SILENCE, _VERSION, _FILES, _TRAINING = CheatPlace
_CONVICTED = CheaterFate.CONVICTED
_INCONSISTENT, _CONSISTENT = CheaterFate.INCONSISTENT, CheaterFate.CONSISTENT

KINDS: dict[str, CheatKind] = {
    kind.name: kind
    for kind in (
        CheatKind("prune", _MODEL, _CONVICTED, "serves the same weights without some layers"),
        CheatKind("quantize", _MODEL, _CONVICTED, "serves the same weights in another quantisation", "a quantisation"),
        CheatKind("other-model", _MODEL, _CONVICTED, "serves another model", "the path of a GGUF file"),
        CheatKind("canned", _ANSWER, _CONVICTED, "gives the answer to another prompt"),
        CheatKind("cache", _ANSWER, _CONVICTED, "gives remembered answers to near prompts, whatever their seeds"),
        CheatKind("truncate", _ANSWER, _CONVICTED, "stops halfway and says that it is done"),
        CheatKind("wrong-seed", _ANSWER, _CONVICTED, "samples with another seed"),
        CheatKind("temperature", _ANSWER, _CONVICTED, "samples at another temperature", "a temperature"),
        CheatKind("system-prompt", _ANSWER, _CONVICTED, "puts hidden instructions before the prompt"),
        CheatKind("garbage", _ANSWER, _CONVICTED, "gives tokens that no model wrote"),
        CheatKind("prefill-evidence", _MODEL, _CONVICTED, "has the real model read a cheaper model's answers"),
        CheatKind("sleeper", _MODEL, _CONVICTED, "serves a cheaper model after some answers", "a number of answers"),
        CheatKind("duplicate-aware", _MODEL, _CONVICTED, "serves a cheaper model to prompts that it has not seen"),
        CheatKind(
            "draft", _MODEL, _CONVICTED, "corrects a cheaper model's drafts where the margin is large", "millinats"
        ),
        CheatKind("budget", _MODEL, _CONVICTED, "corrects such drafts only to stay a match across classes", "percent"),
        CheatKind("certain", _MODEL, _CONVICTED, "serves what a cheaper model is all but certain of", "millinats"),
        CheatKind("long-only", _MODEL, _CONVICTED, "serves a cheaper model beyond the usual lengths of audits"),
        CheatKind(
            "takeover", _MODEL, CheaterFate.CONTESTED, "is honest until its gang has most of the weight, then as prune"
        ),
        CheatKind("lies-to-clients", _MODEL, _CONVICTED, "serves a cheaper model to prompts with a text", "the text"),
        CheatKind("slow-hardware", _DELAY, _INCONSISTENT, "needs longer for a token than it says", "milliseconds"),
        CheatKind("busy", _DELAY, _CONSISTENT, "is honest, and has another job to finish first", "milliseconds"),
        CheatKind("silent", _SILENCE, CheaterFate.UNAVAILABLE, "does not answer"),
        CheatKind("stale-version", _VERSION, _CONVICTED, "claims later versions, and serves the first one"),
        CheatKind("false-chunks", _FILES, CheaterFate.DROPPED, "serves false chunks of the files of releases"),
        CheatKind("poison-labels", _TRAINING, CheaterFate.UNPAID, "trains on rows with false labels"),
        CheatKind("poison-sign", _TRAINING, CheaterFate.UNPAID, "gives its update with the other sign"),
        CheatKind("boost", _TRAINING, CheaterFate.UNPAID, "does so with an update as long as the rule allows"),
        CheatKind("free-rider", _TRAINING, CheaterFate.UNPAID, "gives an update of zeros instead of training"),
        CheatKind("short-training", _TRAINING, _CONVICTED, "trains one pass less than the rule says"),
        CheatKind("late", _TRAINING, CheaterFate.LATE, "seals its updates an epoch late"),
        CheatKind("overspend", _TRAINING, CheaterFate.UNCOUNTED, "seals updates when its privacy budget is used up"),
        CheatKind("copy-update", _TRAINING, CheaterFate.UNCOUNTED, "copies the seal and the update of another peer"),
    )
}
