"""`config show`: every setting of this home, and the source of its value."""

import json

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.table import pairs, table


@click.group()
def config() -> None:
    """Show the settings of this home."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Show every setting of config.toml with its value and the source of the value."""
    from p2pverify.node.files.config import load_config

    home = current_home()
    settings = load_config(home.config_path)
    values = settings.model_dump(mode="json")
    origins = {name: "file" if name in settings.model_fields_set else "default" for name in values}
    if as_json:
        document = {
            "schema": "p2pverify/config/1",
            "home": str(home.path),
            "file": str(home.config_path),
            "settings": {name: {"value": values[name], "origin": origins[name]} for name in values},
        }
        click.echo(json.dumps(document))
        return
    file = f"{home.config_path}{'' if home.config_path.exists() else ' (there is none)'}"
    click.echo(pairs([("home", home.path), ("file", file)]) + "\n")
    rows = [(name, origins[name], json.dumps(value)) for name, value in values.items()]
    click.echo(table(("SETTING", "FROM", "VALUE"), rows))
