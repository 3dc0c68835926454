"""Makes a lying engine from a `CheatSpec` and an honest engine."""

from collections.abc import Callable
from pathlib import Path

from p2pverify.engine.cheats import delays, lies, models
from p2pverify.engine.cheats.base import CheatingEngine, Lie
from p2pverify.engine.cheats.chat import system_turn
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.ports import Engine

SLEEPER_ANSWERS = 40
TEMPERATURE_MAX = 2.0


def make_cheat(spec: CheatSpec, engine: Engine, workdir: Path, *, derive_honestly: bool = True) -> Engine:
    """A lying engine. It owns `engine` from now on. A silent cheater has no lying engine.

    Other weights are written into `workdir`, which must exist. Without `derive_honestly` a cheat with other weights
    writes its prompts with these weights. Raises ValueError for an argument or an engine that the kind cannot use, and
    EngineUnavailable if the other model cannot be made.
    """
    assert not spec.is_silent
    if spec.place is not CheatPlace.MODEL:
        return CheatingEngine(engine, spec.rate, LIES[spec.kind](engine, spec.argument))
    other = MODELS[spec.kind](engine, workdir, spec.argument)
    lie = models.served_by(engine, other)
    if spec.kind in USES:
        lie = USES[spec.kind](engine, lie, spec.argument)
    return CheatingEngine(engine, spec.rate, lie, other, engine if derive_honestly else other)


def _pruned(engine: Engine, workdir: Path, _argument: str) -> Engine:
    return models.pruned(engine, workdir)


#: The lies of kinds that need no other weights, from the engine and the argument.
LIES: dict[str, Callable[[Engine, str], Lie]] = {
    "canned": lambda engine, _: lies.canned(engine),
    "cache": lambda engine, _: lies.cached(engine),
    "truncate": lambda engine, _: lies.truncated(engine),
    "wrong-seed": lambda engine, _: lies.wrongly_seeded(engine),
    "temperature": lambda engine, argument: lies.heated(engine, _milli(argument)),
    "system-prompt": lambda engine, _: lies.prompted(engine, system_turn(engine, lies.HIDDEN_TEXT)),
    "garbage": lambda engine, _: lies.garbage(engine),
    "slow-hardware": delays.slow,
    "busy": delays.busy,
}
#: The other models of the kinds that need one, from the engine, the working directory and the argument.
MODELS: dict[str, Callable[[Engine, Path, str], Engine]] = {
    **dict.fromkeys(("prune", "prefill-evidence", "sleeper", "duplicate-aware"), _pruned),
    "quantize": lambda engine, workdir, argument: models.quantised(engine, workdir, argument or models.QUANTISATION),
    "other-model": models.other,
}
#: How some kinds with another model use its answers. The other kinds always give these answers.
USES: dict[str, Callable[[Engine, Lie, str], Lie]] = {
    "prefill-evidence": lambda engine, lie, _: models.evidenced(engine, lie),
    "sleeper": lambda engine, lie, argument: lies.asleep(engine, lie, _count(argument)),
    "duplicate-aware": lambda engine, lie, _: lies.once(engine, lie),
}


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
