"""`p2pverify testnet --simulate`: the same peers in one process and in virtual time, and a check of all promises.

Exit codes: 0 all promises held, 1 one did not, 2 an invalid scenario or invalid numbers. `p2pverify.testnet.world` does
the work.
"""

import click

from p2pverify.cli.errors import ERROR, OK, report
from p2pverify.cli.output import UnusableError, check_report, write_report
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import table
from p2pverify.node.files.outputs import is_stdout

DEFAULT = "mixed"


def simulate(
    scenario: str | None,
    *,
    peers: int | None,
    epochs: int | None,
    seed: int | None,
    json_file: str | None,
    force: bool,
) -> int:
    """Play one simulation and print its outcome."""
    from p2pverify.node.files.textfile import FileError
    from p2pverify.testnet.plan import PlanError
    from p2pverify.testnet.scenario import load_scenario
    from p2pverify.testnet.world import World, plan_world
    from p2pverify.testnet.world.report import HEADERS, SCHEMA, WorldReport

    name = scenario or DEFAULT
    check_report(json_file, SCHEMA, force=force)
    try:
        plan = plan_world(load_scenario(name), name, peers=peers, epochs=epochs, seed=seed)
        world = World(plan)
    except (FileError, PlanError) as error:
        raise UnusableError(error.reason, error.hint) from None
    with Progress() as progress:
        world.play(lambda epoch: progress(f"simulating {plan.peers} peers, {plan.epochs} epochs", epoch, plan.epochs))
    found = WorldReport(world)
    to_stderr = json_file is not None and is_stdout(json_file)
    click.echo(table(HEADERS, found.rows()), err=to_stderr)
    click.echo(found.summary(), err=to_stderr)
    write_report(json_file, found.document(), force=force)
    if found.passes:
        return OK
    report("the simulation broke a promise", f"run it again with: {plan.command}")
    return ERROR
