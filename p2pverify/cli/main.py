"""The command `p2pverify`: global options, and subcommands that are imported when they are called.

Each command has its own module; `errors` handles failures. Names and help texts are here, so that `--help` and
completion import none of these modules.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from p2pverify import __version__
from p2pverify.cli.context import find_home, home_option
from p2pverify.cli.errors import guarded, prepare_streams
from p2pverify.node.files.home import ENVIRONMENT

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "p2pverify"
#: name -> (module:attribute, one line of help), in the order of `--help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "join": ("p2pverify.cli.run.join:join", "Run a node in the foreground and take part in a network."),
    "testnet": ("p2pverify.cli.run.testnet:testnet", "Run a network of real processes, some of them cheating."),
    "ask": ("p2pverify.cli.run.ask:ask", "Ask the network's model, and see who answered and what was checked."),
    "scores": ("p2pverify.cli.show.scores:scores", "Show every peer's score, interval and standing."),
    "me": ("p2pverify.cli.show.me:me", "Show how peers treat your own requests, beside the network's audits."),
    "status": ("p2pverify.cli.show.status:status", "Show how the running node is doing."),
    "peers": ("p2pverify.cli.show.scores:peers", "Show the connected peers."),
    "audits": ("p2pverify.cli.show.audits:audits", "Show the newest audits and the disputes, or explain one."),
    "passport": ("p2pverify.cli.check.passport:passport", "Write a peer's score as a file that anybody can check."),
    "audit-endpoint": ("p2pverify.cli.check.endpoint:audit_endpoint", "Audit any model server against a manifest."),
    "verify": ("p2pverify.cli.check.verify:verify", "Check a file that somebody else has made."),
    "plan": ("p2pverify.cli.check.plan:plan", "Show what checking answers costs, and what it catches."),
    "data": ("p2pverify.cli.data.data:data", "Commit to rows that stay here, show them, or erase some."),
    "train": ("p2pverify.cli.training.train:train", "Show training rounds, or run one again."),
    "statement": ("p2pverify.cli.data.statement:statement", "Sign a word about data, alone or with another peer."),
    "trace": ("p2pverify.cli.data.trace:trace", "Show who said what of a subject, and from which epoch on."),
    "settle": ("p2pverify.cli.settle.settle:settle", "Show who earned and owes what, why, and who pays whom."),
    "doctor": ("p2pverify.cli.doctor.doctor:doctor", "Examine a home and its node: what is wrong, and what to do."),
    "wait": ("p2pverify.cli.run.wait:wait", "Wait until the node answers, or is ready."),
    "sponsor": ("p2pverify.cli.run.sponsor:sponsor", "Vouch for a newcomer that you know."),
    "leave": ("p2pverify.cli.run.wait:leave", "Leave the network for good."),
    "init": ("p2pverify.cli.setup.init:init", "Make a home directory with a new identity."),
    "identity": ("p2pverify.cli.identity.identity:identity", "Show, lock, move or replace the key of this home."),
    "model": ("p2pverify.cli.setup.model:model", "Measure, make and describe models, and follow or publish versions."),
    "network": (
        "p2pverify.cli.setup.network:network",
        "Write, fork or show a network file, or amend its rules.",
    ),
    "ledger": ("p2pverify.cli.show.ledger:ledger", "Export the records, or verify an export offline."),
    "key": ("p2pverify.cli.setup.key:key", "Give keys to clients on other machines."),
    "config": ("p2pverify.cli.setup.config:config", "Show the settings of this home."),
    "completion": ("p2pverify.cli.completion:completion", "Print a completion script for a shell."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import one subcommand, and give it the option `--home` too."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        _accept_home(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete the names of commands without importing them, then options."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(n, help=text) for n, (_, text) in COMMANDS.items() if n.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def main(  # type: ignore[override]  # always ends the process, as click's does in standalone mode
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **_: Any
    ) -> None:
        """Run a command line and end the process with its exit code."""
        name = prog_name if prog_name is not None and prog_name != "main" else PROGRAM
        prepare_streams()
        self._main_shell_completion({}, name)
        sys.exit(guarded(lambda: self._invoke(sys.argv[1:] if args is None else list(args), name)))

    def _invoke(self, args: list[str], name: str) -> object:
        with self.make_context(name, args) as ctx:
            return self.invoke(ctx)


def _accept_home(command: click.Command) -> None:
    if all(param.name != "home" for param in command.params):
        command.params.append(home_option())
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _accept_home(child)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 node not running, 4 not ready or timed out, 5 verification failed, "
    "130 interrupted, 141 nobody reads the output any more.",
)
@click.option(
    "--home",
    metavar="DIR",
    type=click.Path(),
    help=f"The node's home directory [{ENVIRONMENT}].",
    default=None,
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, home: str | None) -> None:
    """Peers that verify each other's AI inference: join a network, run a testnet, read scores."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded; engines use one thread per peer
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # the search reads each installed package's metadata
    if home is not None:
        ctx.obj = find_home(home)
