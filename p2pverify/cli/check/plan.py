"""`p2pverify plan`: what checking costs a client, and what it catches."""

import json
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.params import Millionths
from p2pverify.cli.table import pairs, table

if TYPE_CHECKING:
    from p2pverify.core.plan import CheckPlan

SCHEMA = "p2pverify/plan/1"
RATES_PPM = (1_000_000, 500_000, 200_000, 100_000, 50_000, 10_000)
_PLACES = 6


@click.command()
@click.option("--requests", type=int, default=100, show_default=True, metavar="N", help="Number of your requests.")
@click.option("--fee", type=Millionths(), default="0.01", show_default=True, metavar="F", help="Price of one answer.")
@click.option("--panel", type=int, default=5, show_default=True, metavar="N", help="Peers that answer a full check.")
@click.option("--every", type=int, default=10, show_default=True, metavar="Z", help="Requests for each full check.")
@click.option(
    "--rate", "rates", type=Millionths(), multiple=True, metavar="R", help="A rate of lies. [1 0.5 0.2 0.1 0.05 0.01]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(requests: int, fee: int, panel: int, every: int, rates: tuple[int, ...], as_json: bool) -> None:
    """Show what it costs to check some of your answers, and which lies that catches.

    One request in every window of Z, at a secret place, goes to a panel of peers, and their answers are compared.
    protocol/plan.md has the formulas.
    """
    from p2pverify.core.plan import CheckPlan, CheckPlanError

    try:
        chosen = CheckPlan(requests, fee, panel, every)
        document = _document(chosen, rates or RATES_PPM)
    except CheckPlanError as error:
        raise click.UsageError(str(error)) from None
    click.echo(json.dumps(document) if as_json else _text(document))


def _document(chosen: "CheckPlan", rates: tuple[int, ...]) -> dict[str, Any]:
    """Money is in millionths of the fee's unit."""
    from dataclasses import asdict, replace

    return {
        "schema": SCHEMA,
        **asdict(chosen),
        "checks": chosen.checks,
        "cost": chosen.cost,
        "cost_unchecked": replace(chosen, panel=1).cost,
        "cost_all_checked": replace(chosen, every=1).cost,
        "escrow": chosen.escrow,
        "outlooks": [asdict(chosen.outlook(rate)) for rate in rates],
    }


def _text(document: dict[str, Any]) -> str:
    checks, panel, escrow = document["checks"], document["panel"], document["escrow"]
    rows = [
        ("requests", document["requests"]),
        ("full checks", f"{checks}, each with {panel} peers" if checks else "none"),
        ("cost", _money(document["cost"])),
        ("without checks", _money(document["cost_unchecked"])),
        ("every answer checked", _money(document["cost_all_checked"])),
        ("escrow", "none is enough" if escrow is None else f"{_money(escrow)} makes lies unprofitable at any rate"),
    ]
    lied = [
        (f"{_percent(one['rate_ppm'])}%", f"{_percent(one['caught_ppm'])}%", f"{one['passed_milli'] / 1000:.1f}")
        for one in document["outlooks"]
    ]
    return f"{pairs(rows)}\n\n{table(('LIES', 'CAUGHT', 'FALSE ANSWERS BEFORE'), lied)}"


def _money(millionths: int) -> str:
    """At least two places after the point."""
    whole, rest = divmod(millionths, 10**_PLACES)
    places = f"{rest:0{_PLACES}}".rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"


def _percent(ppm: int) -> str:
    """Rounded down, so that only a certainty is 100."""
    return f"{ppm // 10_000}.{ppm // 1000 % 10}"
