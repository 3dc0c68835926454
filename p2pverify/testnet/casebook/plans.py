"""The plans of the book: all of it or a short version, with a language model or with toy engines."""

from dataclasses import replace
from os import cpu_count
from pathlib import Path

from p2pverify.core.contract.classes import Across
from p2pverify.engine import toy
from p2pverify.engine.calibrate.producers import EXACT, at_hand
from p2pverify.engine.calibrate.questions import QuestionShape
from p2pverify.engine.calibrate.run import UNKNOWN
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, ENGINES, EngineKind, referee_path
from p2pverify.node.files.manifestfile import known_manifest
from p2pverify.testnet.casebook.answers import Bench
from p2pverify.testnet.casebook.book import BookPlan
from p2pverify.testnet.casebook.entries import SIMULATED, Simulated

QUESTIONS = 40
QUICK_QUESTIONS = 8
QUICK_SHAPE = QuestionShape(prompt_tokens=16, answer_tokens=32)
QUICK_EPOCHS = 32
QUICK_LONG_TOKENS = 128
TOY_PATHS = (toy.PATH, "toy/b", EXACT)
#: The thresholds of toy engines, which have no calibration. Their margins are invented.
TOY_BOUNDS = Across(100_000, 1_000, 220_000, 2_000, 1_000_000, 10_000)
PROCESSES_MAX = 4


class NoThresholdsError(Exception):
    """The model's manifest has no calibration of the referee. `reason` and `hint` are for the user."""

    reason = "the model's manifest says nothing of how its answers are judged across classes"
    hint = "measure it with 'p2pverify model calibrate'"


def make_plan(workdir: Path, *, engine: EngineKind = DEFAULT_ENGINE, seed: int = 1, quick: bool = False) -> BookPlan:
    """The plan of a book. Opens the engine. Raises EngineUnavailable, WeightsError or NoThresholdsError."""
    is_toy = not ENGINES[engine].is_model
    bench = Bench(
        engine,
        workdir,
        seed,
        QUICK_QUESTIONS if quick else QUESTIONS,
        QUICK_SHAPE if quick else QuestionShape(),
    )
    bounds = {UNKNOWN: TOY_BOUNDS} if is_toy else _bounds(bench)
    plan = BookPlan(
        replace(bench, across=bounds[UNKNOWN]),
        TOY_PATHS if is_toy else tuple(at_hand()),
        bounds,
        processes=min(PROCESSES_MAX, cpu_count() or 1),
    )
    if not quick:
        return plan
    return replace(
        plan, simulated=_short(SIMULATED), crowds=(), worlds=1, warm=QUICK_QUESTIONS, long_tokens=QUICK_LONG_TOKENS
    )


def _short(entries: tuple[Simulated, ...]) -> tuple[Simulated, ...]:
    return tuple(entry for entry in entries if entry.epochs <= QUICK_EPOCHS)


def _bounds(bench: Bench) -> dict[tuple[str, str], Across]:
    """The referee's thresholds by path, from the model's packaged manifest. Raises NoThresholdsError."""
    engine = bench.open()
    try:
        manifest = known_manifest(engine.info)
    finally:
        engine.close()
    found = {} if manifest is None else manifest.bounds(bench.referee, referee_path(bench.referee))
    if UNKNOWN not in found:
        raise NoThresholdsError
    return found
