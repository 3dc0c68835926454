"""Makes a lying engine from a `CheatSpec` and an honest engine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from p2pverify.engine.cheats import delays, lies, models, speculative
from p2pverify.engine.cheats.base import CheatingEngine, CountedEngine, Lie
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.rules import NO_RULES, KnownRules
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.gguf.prune import layer_count
from p2pverify.engine.gguf.quantise import check_rows
from p2pverify.engine.gguf.reader import read_head
from p2pverify.node.ports import Engine

SLEEPER_ANSWERS = 40
#: The file in the working directory that tells a takeover to lie.
SIGNAL_FILE = "lie-now"
MILLINAT = 1000  # in micronats
TEMPERATURE_MAX = 2.0


@dataclass(frozen=True, slots=True)
class TwoModels:
    """What a kind with another model can use: both models, the other one's answers, its argument, the rules, and the
    working directory.
    """

    real: CountedEngine
    other: Engine
    lie: Lie
    argument: str
    rules: KnownRules
    workdir: Path


def make_cheat(
    spec: CheatSpec, engine: Engine, workdir: Path, *, derive_honestly: bool = True, rules: KnownRules = NO_RULES
) -> CheatingEngine:
    """A lying engine. It owns `engine` from now on. A cheater without a lie has no lying engine.

    `rules` is what the cheat knows of the network; a cheat without them takes no question for an audit. Other weights
    are written into `workdir`, which must exist. Without `derive_honestly` a cheat with other weights writes its
    prompts with these weights. Raises ValueError for an argument or an engine that the kind cannot use, and
    EngineUnavailable if the other model cannot be made.
    """
    assert spec.has_lie
    real = CountedEngine(engine)
    if spec.place is not CheatPlace.MODEL:
        return CheatingEngine(real, spec.rate, LIES[spec.kind](real, spec.argument))
    other = MODELS[spec.kind](engine, workdir, spec.argument)
    lie = models.served_by(engine, other)
    if spec.kind in USES:
        lie = USES[spec.kind](TwoModels(real, other, lie, spec.argument, rules, workdir))
    return CheatingEngine(real, spec.rate, lie, other, engine if derive_honestly else other)


def check_weights(spec: CheatSpec, source: Path) -> None:
    """Check that the other weights of a cheat can be made from the model at `source`.

    Raises ValueError, or WeightsError if it is no GGUF file or has matrices of other sizes.
    """
    if spec.kind not in MODELS or (spec.kind == "other-model" and spec.argument):
        return
    head = read_head(source)
    if spec.kind == "quantize":
        check_rows(head, spec.argument or models.QUANTISATION)
    elif spec.kind == "other-model":
        models.reversed_layers(layer_count(head))
    else:
        models.pruned_layers(layer_count(head))


def _pruned(engine: Engine, workdir: Path, _argument: str) -> Engine:
    return models.pruned(engine, workdir)


#: The lies of kinds that need no other weights, from the engine and the argument.
LIES: dict[str, Callable[[Engine, str], Lie]] = {
    "canned": lambda engine, _: lies.canned(engine),
    "cache": lambda engine, _: lies.cached(engine),
    "truncate": lambda engine, _: lies.truncated(engine),
    "wrong-seed": lambda engine, _: lies.wrongly_seeded(engine),
    "temperature": lambda engine, argument: lies.heated(engine, _milli(argument)),
    "system-prompt": lambda engine, _: lies.prompted(engine),
    "garbage": lambda engine, _: lies.garbage(engine),
    "slow-hardware": delays.slow,
    "busy": delays.busy,
}
#: The other models of the kinds that need one, from the engine, the working directory and the argument.
MODELS: dict[str, Callable[[Engine, Path, str], Engine]] = {
    **dict.fromkeys(
        (
            "prune",
            "prefill-evidence",
            "sleeper",
            "duplicate-aware",
            "draft",
            "budget",
            "certain",
            "long-only",
            "takeover",
        ),
        _pruned,
    ),
    "quantize": lambda engine, workdir, argument: models.quantised(engine, workdir, argument or models.QUANTISATION),
    "other-model": models.other,
    "lies-to-clients": lambda engine, workdir, _: models.quantised(engine, workdir),
}
#: How some kinds with another model use its answers. The other kinds always give these answers.
USES: dict[str, Callable[[TwoModels], Lie]] = {
    "prefill-evidence": lambda two: models.evidenced(two.real, two.lie),
    "sleeper": lambda two: lies.asleep(two.real, two.lie, _count(two.argument)),
    "takeover": lambda two: lies.told(two.real, two.lie, two.workdir / SIGNAL_FILE),
    "lies-to-clients": lambda two: lies.to_clients(two.real, two.lie, two.argument or lies.CLIENTS_TEXT),
    "duplicate-aware": lambda two: lies.once(two.real, two.lie),
    "draft": lambda two: speculative.drafted(
        two.real, two.other, speculative.near(_micronats(two.argument, speculative.MARGIN_MICRONATS))
    ),
    "budget": lambda two: speculative.drafted(
        two.real, two.other, speculative.within(two.rules, _percent(two.argument))
    ),
    "certain": lambda two: speculative.certain(
        two.real, two.other, _micronats(two.argument, speculative.SURPRISAL_MICRONATS)
    ),
    "long-only": lambda two: lies.beyond_usual(two.real, two.lie, two.rules),
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
    return _number(argument, SLEEPER_ANSWERS, "the number of answers after which a sleeper wakes")


def _percent(argument: str) -> int:
    return _number(argument, speculative.BUDGET_PERCENT, "a percentage of the total of a match")


def _micronats(argument: str, usual: int) -> int:
    return _number(argument, usual // MILLINAT, "a number of millinats") * MILLINAT


def _number(argument: str, usual: int, what: str) -> int:
    if argument and not (argument.isascii() and argument.isdecimal() and len(argument) < 7):
        raise ValueError(f"{argument!r} is not {what}")
    return int(argument) if argument else usual
