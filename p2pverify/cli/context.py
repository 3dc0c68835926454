"""The home directory that a command works on: `--home`, else P2PVERIFY_HOME, else the user's data directory."""

import click

from p2pverify.node.files.home import Home


def current_home() -> Home:
    """The home of the running command."""
    return click.get_current_context().find_object(Home) or Home.find()


def find_home(given: str) -> Home:
    """The home that `--home` names. Raises BadParameter."""
    if given == "":  # from a shell variable that is not set; the user did not mean the usual home
        raise click.BadParameter("names no directory", param_hint="--home")
    return Home.find(given)


def home_option() -> click.Option:
    """`--home` for a subcommand, so that it may also stand after the subcommand's name."""
    return click.Option(
        ["--home"], metavar="DIR", expose_value=False, hidden=True, callback=_choose_home, type=click.Path()
    )


def _choose_home(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.obj = find_home(value)
