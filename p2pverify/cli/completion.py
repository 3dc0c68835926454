"""`completion`: the script with which a shell completes p2pverify's commands and options."""

import click

from p2pverify.cli.main import PROGRAM

_LINES = {
    "bash": 'eval "$(p2pverify completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(p2pverify completion zsh)" in ~/.zshrc',
    "fish": "p2pverify completion fish > ~/.config/fish/completions/p2pverify.fish",
}


@click.command(epilog="  ".join(f"{shell}: {line}." for shell, line in _LINES.items()))
@click.argument("shell", type=click.Choice(list(_LINES)))
def completion(shell: str) -> None:
    """Print a completion script for a shell."""
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
