"""`p2pverify testnet`: a network of real processes on this machine, with cheaters among them, and its verdict.

Exit codes: 0 the verdict is "pass", 1 it is not or the run broke down, 2 an invalid scenario or invalid options, 130
interrupted. `p2pverify.testnet` does the work.
"""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.errors import ERROR, INTERRUPTED, OK, CliError, report
from p2pverify.cli.output import UnusableError, check_report, force_option, may_replace, write_report
from p2pverify.cli.params import WEIGHTS, InputFile
from p2pverify.node.engines.kinds import FOUNDING_KINDS, EngineKind
from p2pverify.node.files.outputs import check_output, is_stdout, open_output

if TYPE_CHECKING:
    from p2pverify.testnet.plan import Plan
    from p2pverify.testnet.processes.report import Report

_SIGNALLED = 128


@click.command()
@click.argument("scenario", required=False)
@click.option("--simulate", is_flag=True, help="In one process and virtual time; by default the scenario 'mixed'.")
@click.option("--book", is_flag=True, help="Every known cheat in turn, and one table of the outcomes.")
@click.option("--quick", is_flag=True, help="With --book: fewer answers per cheat, and no large groups of cheaters.")
@click.option("--epochs", type=click.IntRange(1, 10_000), metavar="E", help="With --simulate: the number of epochs.")
@click.option("--peers", type=int, metavar="N", help="The number of peers. On a slow machine the epochs get longer.")
@click.option(
    "--cheat",
    "cheats",
    multiple=True,
    metavar="KIND[:ARG][@RATE][*COUNT]",
    help="Who cheats, instead of the scenario's cheaters; may be repeated. 'none' for nobody.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="S",
    help="Seed of the random choice of identities and cheaters.",
)
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="The run fails after this time.")
@click.option(
    "--epoch-ms",
    type=click.IntRange(200, 86_400_000),
    metavar="MS",
    help="Length of an epoch, even if this machine is too slow for it.",
)
@click.option("--engine", type=click.Choice(FOUNDING_KINDS), help="A language model, a tabular one, or a fast toy.")
@click.option("--weights", type=WEIGHTS, help="A GGUF file instead of the bundled model.")
@click.option(
    "--also",
    type=InputFile("name the GGUF file of a model"),
    multiple=True,
    metavar="FILE",
    help="One more model; may be repeated. The peers, and the cheaters, are split between the models.",
)
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the report; '-' is stdout, which then has nothing else."
)
@click.option("--report", "page_file", metavar="FILE", help="Of a case study: write its report as an HTML page.")
@force_option
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep homes and logs in this directory.")
def testnet(
    scenario: str | None,
    simulate: bool,
    book: bool,
    quick: bool,
    epochs: int | None,
    peers: int | None,
    cheats: tuple[str, ...],
    seed: int | None,
    timeout_s: float | None,
    epoch_ms: int | None,
    engine: EngineKind | None,
    weights: Path | None,
    also: tuple[Path, ...],
    json_file: str | None,
    page_file: str | None,
    force: bool,
    keep: Path | None,
) -> int:
    """Run a network of real peers on this machine, some of them cheating, until the others have found them.

    SCENARIO is a TOML file, or the name of a scenario that comes with p2pverify. The exit code is 0 only if every
    cheater is found out in a final view, no honest peer is convicted, and all honest peers have the same view.

    With --simulate, all peers run in this one process and in virtual time. There can be hundreds of them, hostile ones
    included. The same numbers give the same run.

    With --book, every known way to cheat is tried: cheating engines with the real model, attacks on the protocol in the
    simulated world. It takes half an hour on two cores, some minutes with --quick.
    """
    _check_page(page_file, is_case=not (book or simulate))
    if book:
        from p2pverify.cli.run import book as cheat_book

        given = (scenario, epochs, peers, timeout_s, epoch_ms, keep, weights)
        if simulate or cheats or also or any(option is not None for option in given):
            raise UnusableError(
                "--book goes with --quick, --seed, --engine, --json and --force only", "remove the other options"
            )
        return cheat_book.play(engine=engine, seed=seed, quick=quick, json_file=json_file, force=force)
    if quick:
        raise UnusableError("--quick goes with --book", "give both, or none")
    if simulate:
        from p2pverify.cli.run import simulate as simulation

        others = (timeout_s, epoch_ms, engine, keep, weights)
        if cheats or also or any(option is not None for option in others):
            raise UnusableError(
                "--simulate does not go with --cheat, --timeout, --epoch-ms, --engine, --weights, --also or --keep",
                "write them into a scenario",
            )
        return simulation.simulate(scenario, peers=peers, epochs=epochs, seed=seed, json_file=json_file, force=force)
    if epochs is not None:
        raise UnusableError("--epochs goes with --simulate", "a network of real processes ends with its verdict")
    from p2pverify.testnet.processes.report import SCHEMA

    plan = _plan(scenario or "default", peers, cheats, seed, timeout_s, epoch_ms, engine, weights, also)
    _check_page(page_file, is_case=plan.case is not None, force=force)
    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)
    check_report(json_file, SCHEMA, force=force)
    quiet = any(file is not None and is_stdout(file) for file in (json_file, page_file))
    found, number = _play(plan, keep, live=sys.stdout.isatty() and not quiet)
    if number is not None:
        return INTERRUPTED if number == signal.SIGINT else _SIGNALLED + number
    if found is None:
        raise CliError(
            f"the peers did not start within {plan.timeout_s:g} s", "give a longer --timeout, or fewer --peers"
        )
    click.echo(found.summary(), err=quiet)
    write_report(json_file, found.document(), force=force)
    _write_page(page_file, found, force=force)
    if found.passes:
        return OK
    report("the testnet reached no verdict", "'--keep DIR' keeps every peer's home and log")
    return ERROR


def _check_page(page_file: str | None, *, is_case: bool, force: bool = True) -> None:
    """Check that a page can be written before the run. Raises UnusableError, OutputError."""
    if page_file is None:
        return
    if not is_case:
        raise UnusableError("--report is the page of a case study", "play healthcare, finance or supply-chain")
    check_output(page_file, may_replace(force=force))


def _write_page(page_file: str | None, found: "Report", *, force: bool) -> None:
    from p2pverify.testnet.cases.page import page
    from p2pverify.testnet.cases.registry import STUDIES

    if page_file is None or found.case is None:
        return
    with open_output(page_file, may_replace(force=force)) as file:
        file.write(page(found.case, STUDIES[found.case.study].text, found.seconds).encode())


def _plan(
    scenario: str,
    peers: int | None,
    cheats: tuple[str, ...],
    seed: int | None,
    timeout_s: float | None,
    epoch_ms: int | None,
    engine: EngineKind | None,
    weights: Path | None,
    also: tuple[Path, ...],
) -> "Plan":
    from p2pverify.node.files.textfile import FileError
    from p2pverify.testnet.cheats import parse_cheats
    from p2pverify.testnet.plan import PlanError
    from p2pverify.testnet.planning import make_plan
    from p2pverify.testnet.scenario import MODELS_MAX, TIMEOUT_S_MAX, load_scenario

    if len(also) >= MODELS_MAX:
        raise UnusableError(f"{1 + len(also)} models are more than {MODELS_MAX}", "give fewer --also")
    if timeout_s is not None and not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise UnusableError(
            f"{timeout_s:g} s is not a valid timeout", f"give more than 0 and at most {TIMEOUT_S_MAX:g}"
        )
    try:
        chosen = parse_cheats(cheats) if cheats else None
    except ValueError as error:
        raise UnusableError(f"--cheat: {error}", "for example --cheat prune --cheat canned@0.3*2") from None
    try:
        return make_plan(
            load_scenario(scenario),
            peers=peers,
            cheats=chosen,
            seed=seed,
            timeout_s=timeout_s,
            engine=engine,
            epoch_ms=epoch_ms,
            weights=weights,
            also=also,
        )
    except (FileError, PlanError) as error:
        raise UnusableError(error.reason, error.hint) from None


def _play(plan: "Plan", keep: Path | None, *, live: bool) -> "tuple[Report | None, int | None]":
    """The report, or the signal that ended the run. It leaves no process and no temporary directory behind."""
    import trio

    from p2pverify.testnet.plan import PlanError
    from p2pverify.testnet.processes.fleet import ProcessError
    from p2pverify.testnet.processes.runner import working_directory

    try:
        with working_directory(keep) as directory:
            return trio.run(_run, plan, directory, live, keep is None)
    except (PlanError, ProcessError, ExceptionGroup) as error:
        first = _first(error)
        if isinstance(first, PlanError):
            raise UnusableError(first.reason, first.hint) from None
        if isinstance(first, ProcessError):
            if first.tail:
                click.echo(first.tail, err=True)
            raise CliError(first.reason, first.hint) from None
        raise


def _first(error: BaseException) -> BaseException:
    """The first exception inside nested groups; nurseries wrap each exception in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _run(plan: "Plan", directory: Path, live: bool, remove: bool) -> "tuple[Report | None, int | None]":
    import trio

    from p2pverify.testnet.processes.play import run
    from p2pverify.testnet.processes.progress import Stage
    from p2pverify.testnet.processes.runner import Testnet
    from p2pverify.testnet.processes.table import show_lines, show_live

    stage = Stage()
    running: list[Testnet] = []
    ended_by: list[int] = []
    found: Report | None = None
    ending = trio.CancelScope()

    async with trio.open_nursery() as nursery:

        async def watch_signals(signals: "trio.abc.ReceiveChannel[int]") -> None:
            async for number in signals:  # also while ending, so that a second Ctrl-C leaves nothing behind
                ended_by.append(number)
                ending.cancel()

        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            nursery.start_soon(watch_signals, signals)
            async with trio.open_nursery() as showing:
                showing.start_soon(show_live if live else show_lines, stage, running)
                with ending:
                    found = await run(plan, directory, stage=stage, remove=remove, running=running)
                showing.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
    return found, ended_by[0] if ended_by else None
