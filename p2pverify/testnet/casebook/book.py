"""Plays the whole book on several cores, and collects the outcome of each cheat."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.odds import TestSteps
from p2pverify.engine.calibrate.producers import Producer, end_with_parent
from p2pverify.engine.calibrate.run import UNKNOWN, Path
from p2pverify.engine.cheats.lies import CLIENTS_TEXT
from p2pverify.engine.cheats.spec import parse_spec
from p2pverify.testnet.casebook import work
from p2pverify.testnet.casebook.answers import Audited, Bench, Subject
from p2pverify.testnet.casebook.entries import CROWDS, NUMERIC, RATES, SIMULATED, Numeric, Simulated
from p2pverify.testnet.casebook.rows import (
    By,
    HonestRow,
    NumericRow,
    SimulatedRow,
    honest_row,
    numeric_row,
    simulated_row,
)
from p2pverify.testnet.casebook.trials import HONEST_AUDITS, TRIALS
from p2pverify.testnet.casebook.worlds import HONEST_PPM, Played, play_world, steps_for

Progress = Callable[[str, int, int], None]
#: Long answers take several times as long, so a cheat in those alone gets this part of the questions.
LONG_PART = 4
RENTED = "rented"  # its answers are those of an honest engine on another machine


@dataclass(frozen=True, slots=True)
class BookPlan:
    """The amount of play.

    `paths` are the numeric paths of honest peers. `bounds` has the thresholds by engine and numeric path; UNKNOWN is
    the entry for all other paths. `rates` are the shares of false answers. Every simulated cheat is played with
    `worlds` seeds, a crowd with one seed.
    """

    bench: Bench
    paths: tuple[str, ...]
    bounds: Mapping[Path, Across]
    numeric: tuple[Numeric, ...] = NUMERIC
    simulated: tuple[Simulated, ...] = SIMULATED
    crowds: tuple[Simulated, ...] = CROWDS
    worlds: int = 2
    warm: int = 100
    long_tokens: int = 896
    trials: int = TRIALS
    rates: tuple[float, ...] = RATES
    honest_audits: int = HONEST_AUDITS
    processes: int = 2


@dataclass(frozen=True, slots=True)
class CheatBook:
    """All rows of a played book."""

    plan: BookPlan
    numeric: tuple[NumericRow, ...]
    honest: tuple[HonestRow, ...]
    simulated: tuple[SimulatedRow, ...]


def play_book(plan: BookPlan, progress: Progress | None = None) -> CheatBook:
    """Play the whole book. The order of the work does not change the result. Raises EngineUnavailable."""
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(plan.processes, context, end_with_parent) as pool,
        ProcessPoolExecutor(1, context, end_with_parent) as referee,
        ThreadPoolExecutor(1) as paths,
    ):
        try:
            return _Playing(plan, progress, pool, referee, paths).book()
        except BaseException:
            for one in (pool, referee, paths):
                one.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():  # a task can take minutes, and nobody wants its result
                worker.terminate()
            raise


class _Playing:
    """One run: the tasks in other processes, and their results."""

    def __init__(
        self,
        plan: BookPlan,
        progress: Progress | None,
        pool: ProcessPoolExecutor,
        referee: ProcessPoolExecutor,
        paths: ThreadPoolExecutor,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._pool = pool
        self._referee = referee
        self._paths = paths
        self._done = 0
        self._all = 1

    def book(self) -> CheatBook:
        plan = self._plan
        preparing = self._pool.submit(work.prepare, plan.bench)
        worlds = self._worlds()
        self._all += len(worlds) + len(plan.numeric) + len(plan.paths)
        prepared = preparing.result()
        self._count("questions")
        paths = {path: self._paths.submit(self._witness, path, prepared) for path in plan.paths}
        cheats = {entry: self._judge(entry, prepared) for entry in plan.numeric}
        names: dict[Future[Any], str] = {future: f"honest {path}" for path, future in paths.items()}
        names |= {future: entry.kind for entry, future in cheats.items()}
        names |= dict.fromkeys(worlds, "simulated")
        for done in as_completed(names):
            done.result()
            self._count(names[done])
        honest = {path: future.result() for path, future in paths.items()}
        played = [future.result() for future in worlds]
        return CheatBook(
            plan,
            tuple(row for entry, task in cheats.items() for row in self._rows(entry, task.result(), honest)),
            tuple(self._honest(path, found) for path, found in honest.items()),
            tuple(
                simulated_row(entry, [one for one in played if one.entry == entry])
                for entry in (*plan.simulated, *plan.crowds)
            ),
        )

    def _worlds(self) -> list[Future[Played]]:
        """The tasks of all simulated worlds, the longest first."""
        plan = self._plan
        crowds = [(entry, plan.bench.seed) for entry in reversed(plan.crowds)]
        others = [(entry, plan.bench.seed + number) for entry in plan.simulated for number in range(plan.worlds)]
        return [self._pool.submit(play_world, entry, seed) for entry, seed in (*crowds, *others)]

    def _judge(self, entry: Numeric, prepared: work.Prepared) -> Future[work.Witnessed]:
        bench = self._plan.bench
        cheat = None if entry.kind == RENTED else parse_spec(entry.kind)
        if entry.is_apart:
            own = replace(bench, client_text=CLIENTS_TEXT)
            if entry.long:
                own = replace(bench, questions=-(-bench.questions // LONG_PART), long_tokens=self._plan.long_tokens)
            return self._pool.submit(work.judge_apart, own, Subject(self._plan.paths[0], cheat))
        warm = replace(bench, seed=bench.seed + 1, questions=self._plan.warm) if entry.warm else None
        return self._pool.submit(work.judge, bench, Subject(self._plan.paths[0], cheat), prepared, warm)

    def _witness(self, path: str, prepared: work.Prepared) -> work.Witnessed:
        """The judged answers of an honest peer on a path. Its engine has its own process, because a process can load
        only one build of llama.cpp beside the wheel's."""
        bench = self._plan.bench
        with Producer(partial(bench.open, path)) as producer:
            told = tuple(producer.answers(prepared.questions))
        return self._referee.submit(work.judge_told, bench, producer.info, told, prepared).result()

    def _bounds(self, found: work.Witnessed) -> Across:
        bounds = self._plan.bounds
        return bounds.get((found.info.engine, found.info.numeric_path)) or bounds[UNKNOWN]

    def _rows(self, entry: Numeric, lies: work.Witnessed, paths: Mapping[str, work.Witnessed]) -> list[NumericRow]:
        """The rows of a lie: one for each way to judge it and each rate."""
        honest, bounds = paths[self._plan.paths[0]], self._bounds(lies)
        in_class = tuple([one.in_class() for one in found.judged] for found in (lies, honest))
        usual = self._plan.bench.shape.answer_tokens
        across = tuple([one.across(bounds, usual) for one in found.judged] for found in (lies, honest))
        are_lies = [not (entry.sampled and one.greedy) for one in lies.judged]
        ways: tuple[tuple[By, Sequence[list[Audited]], TestSteps], ...] = (
            ("class", in_class, steps_for(HONEST_PPM)),
            ("across", across, steps_for(bounds.honest_ppm)),
        )
        return [
            numeric_row(
                entry,
                by,
                rate,
                outcomes,
                are_lies,
                steps,
                saved=1 - lies.passes / lies.honest_passes,
                seed=self._plan.bench.seed,
                trials=self._plan.trials,
            )
            for by, outcomes, steps in ways
            for rate in self._plan.rates
        ]

    def _honest(self, path: str, found: work.Witnessed) -> HonestRow:
        bounds = self._bounds(found)
        steps, plan = steps_for(bounds.honest_ppm), self._plan
        return honest_row(path, found.judged, bounds, steps, seed=plan.bench.seed, audits=plan.honest_audits)

    def _count(self, what: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(what, self._done, self._all)
