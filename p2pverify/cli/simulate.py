"""`p2pverify testnet --simulate`: the same peers in one process and in virtual time, and whether all promises held.

Exit codes: 0 they held, 1 they did not, 2 a scenario or numbers that make no simulation. What happens in between is
left to `p2pverify.testnet.world`.
"""

import json
from pathlib import Path

import click

from p2pverify.cli.errors import ERROR, OK, USAGE, CliError, report
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import table

DEFAULT = "mixed"


class UnusableError(CliError):
    """The scenario or the options make no simulation."""

    exit_code = USAGE


def simulate(
    scenario: str | None, *, peers: int | None, epochs: int | None, seed: int | None, json_file: str | None
) -> int:
    """Play one simulation and tell what came of it."""
    from p2pverify.node.tomlfile import FileError
    from p2pverify.testnet.plan import PlanError
    from p2pverify.testnet.scenario import load_scenario
    from p2pverify.testnet.world import World, plan_world
    from p2pverify.testnet.world.report import HEADERS, WorldReport

    name = scenario or DEFAULT
    if json_file not in (None, "-") and not Path(str(json_file)).absolute().parent.is_dir():
        raise UnusableError(f"{json_file}: its directory does not exist", "make it, or write elsewhere")
    try:
        plan = plan_world(load_scenario(name), name, peers=peers, epochs=epochs, seed=seed)
        world = World(plan)
    except (FileError, PlanError) as error:
        raise UnusableError(error.reason, error.hint) from None
    with Progress() as progress:
        world.play(lambda epoch: progress(f"simulating {plan.peers} peers, {plan.epochs} epochs", epoch, plan.epochs))
    found = WorldReport(world)
    to_stderr = json_file == "-"
    click.echo(table(HEADERS, found.rows()), err=to_stderr)
    click.echo(found.summary(), err=to_stderr)
    if json_file == "-":
        click.echo(json.dumps(found.document()))
    elif json_file is not None:
        from p2pverify.node.home import atomic_file

        with atomic_file(Path(json_file), mode=0o644) as file:
            file.write(json.dumps(found.document(), indent=1).encode() + b"\n")
    if found.passes:
        return OK
    report("the simulation broke a promise", f"it is played again by: {plan.command}")
    return ERROR
