"""`p2pverify verify`: checks a file that somebody else has made. `kinds` has the kinds of files and their checkers."""

import importlib
from pathlib import Path
from typing import Any

import click

from p2pverify.cli.check.kinds import HEAD_BYTES, KINDS, FileKind, VerifyOptions, kind_of_file
from p2pverify.cli.output import UnusableError
from p2pverify.cli.params import NETWORK_FILE, WEIGHTS, CutId, InputFile
from p2pverify.node.engines.kinds import JUDGING_KINDS

_FILE = InputFile("'p2pverify passport', 'audit-endpoint' and GET /v1/receipts/ID make such files")
_MANIFEST = InputFile("'p2pverify model manifest' writes such a file")


@click.command()
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--network", "network_file", type=NETWORK_FILE, help="The network (default: that of this home).")
@click.option("--cut", type=CutId(), help="The id of a cut that you trust, from anybody.")
@click.option("--rerun", is_flag=True, help="Compute the answers of a receipt again; this needs the model.")
@click.option("--engine", type=click.Choice(JUDGING_KINDS), help="With --rerun: what runs the model.")
@click.option("--weights", type=WEIGHTS, help="Weights instead of the bundled model.")
@click.option("--manifest", "manifest_file", type=_MANIFEST, metavar="FILE", help="The model of the evidence.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, /, file: Path, **options: Any) -> None:
    """Check a file that somebody else has made; the file says what it is.

    The receipt of an answer and a passport are held against the network file alone, without a node and without the
    ledger. The output names what the file proves, what it assumes, and how old the view is. With --rerun this machine
    computes the answers again.

    Evidence of audit-endpoint is computed again: the questions from the seed, every measure, and the conclusion.

    Exit 0 if everything holds, 5 if not, 2 if FILE is of no known kind.
    """
    with file.open("rb") as opened:
        kind = kind_of_file(opened.read(HEAD_BYTES))
    if kind is None:
        raise UnusableError(f"{file} is of no known kind", f"give {', '.join(kind.name for kind in KINDS)}")
    _refuse_others(ctx, kind)
    module, _, name = kind.check.partition(":")
    getattr(importlib.import_module(module), name)(file, VerifyOptions(**options))


def _refuse_others(ctx: click.Context, kind: FileKind) -> None:
    """Raise UsageError for an option that means nothing for this kind, because it would be ignored silently."""
    for param in ctx.command.params:
        name = param.opts[0]
        given = ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and isinstance(param, click.Option) and name not in {*kind.takes, "--json"}:
            raise click.UsageError(f"{name} is not for {kind.name}")
