"""Engines that lie, each around an honest one, so that a testnet can show that they are found out.

A cheat lies on a share of questions that it picks by a hash of the question, so that a repeated question gets the
same answer. It claims the honest engine's identity, and refuses what the honest engine would refuse. Not answering
at all, and everything else that is no engine's matter, is left to the node and to the simulated world.
"""

from collections.abc import Callable
from pathlib import Path

from p2pverify.engine.cheats import delays, lies, models
from p2pverify.engine.cheats.base import CheatingEngine, Lie
from p2pverify.engine.cheats.chat import system_turn
from p2pverify.node.ports import Engine

__all__ = ["KINDS", "CheatingEngine", "Lie", "make_cheat"]

KINDS = (
    *("prune", "quantize", "other-model", "canned", "cache", "truncate", "wrong-seed", "temperature"),
    *("system-prompt", "garbage", "prefill-evidence", "sleeper", "duplicate-aware"),
    *("slow-hardware", "busy"),
)
SLEEPER_ANSWERS = 40
TEMPERATURE_MAX = 2.0


def make_cheat(
    kind: str, rate: float, engine: Engine, workdir: Path, argument: str = "", *, derive_honestly: bool = True
) -> Engine:
    """An engine that lies on a share `rate` (0 to 1) of the questions; it owns `engine` from now on.

    `kind` is one of KINDS, and `argument` what it is to use: a quantisation, the path of another model, a temperature,
    after how many answers a sleeper wakes, or the milliseconds of a delay. Other weights are written into `workdir`,
    which exists. Without `derive_honestly` a cheat with other weights writes its prompts with those. Raises ValueError
    for an unknown kind, rate, argument or engine, EngineUnavailable if the other model cannot be made.
    """
    if kind not in KINDS:
        raise ValueError(f"no cheat is called {kind!r}: there are {', '.join(KINDS)}")
    if not 0 <= rate <= 1:
        raise ValueError(f"a cheat's rate is between 0 and 1, not {rate}")
    if argument and kind not in {"quantize", "other-model", "temperature", "sleeper", "slow-hardware", "busy"}:
        raise ValueError(f"{kind} takes no argument")
    others: list[Engine] = []
    lie = _lie(kind, argument, engine, workdir, others)
    writer = None if derive_honestly or not others else others[0]
    return CheatingEngine(engine, rate, lie, others, writer)


def _lie(kind: str, argument: str, engine: Engine, workdir: Path, others: list[Engine]) -> Lie:
    """The lie of a kind; engines that it needs are added to `others`."""
    if kind in _PLAIN:
        return _PLAIN[kind](engine)
    if kind == "temperature":
        return lies.heated(engine, _milli(argument))
    if kind == "system-prompt":
        return lies.prompted(engine, system_turn(engine, lies.HIDDEN_TEXT))
    if kind in {"slow-hardware", "busy"}:
        return delays.late(engine, kind, argument)
    others.append(_other(kind, argument, engine, workdir))
    cheaper = models.served_by(engine, others[0])
    if kind == "prefill-evidence":
        return models.evidenced(engine, cheaper)
    if kind == "sleeper":
        return lies.asleep(engine, cheaper, _count(argument))
    return lies.once(engine, cheaper) if kind == "duplicate-aware" else cheaper


_PLAIN: dict[str, Callable[[Engine], Lie]] = {
    "canned": lies.canned,
    "cache": lies.cached,
    "truncate": lies.truncated,
    "wrong-seed": lies.wrongly_seeded,
    "garbage": lies.garbage,
}


def _other(kind: str, argument: str, engine: Engine, workdir: Path) -> Engine:
    """The other model that a kind serves; pruned, unless it says something else."""
    if kind == "quantize":
        return models.quantised(engine, workdir, argument or models.QUANTISATION)
    if kind == "other-model":
        return models.other(engine, workdir, argument)
    return models.pruned(engine, workdir)


def _milli(argument: str) -> int:
    if not argument:
        return lies.TEMPERATURE_MILLI
    try:
        value = float(argument)
    except ValueError:
        value = -1.0
    if not 0 < value <= TEMPERATURE_MAX:
        raise ValueError(f"{argument!r} is no temperature above 0 and up to {TEMPERATURE_MAX:g}")
    return round(1000 * value)


def _count(argument: str) -> int:
    if argument and not (argument.isascii() and argument.isdecimal() and len(argument) < 7):
        raise ValueError(f"{argument!r} is not the number of answers after which a sleeper wakes")
    return int(argument or SLEEPER_ANSWERS)
