"""`model derive`: makes a file of weights from others by a recipe that anybody can run again."""

import json
from pathlib import Path
from typing import Any

import click

from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import InputFile
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import STDOUT, check_output

SCHEMA = "p2pverify/model-derive/1"


@click.command()
@click.argument("weights", nargs=-1, required=True, type=InputFile("name the GGUF files of the parents"))
@click.option(
    "--how",
    required=True,
    metavar="RECIPE",
    help="quantise:q5_0, convert:f16, prune:3,28 (or 4-9), or merge:2,1:f16 with a numerator for each file.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Where to write the file."
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def derive(weights: tuple[Path, ...], how: str, output: Path, force: bool, as_json: bool) -> None:
    """Make a model from the GGUF files WEIGHTS, and print its digest and its recipe.

    The recipe gives the same bytes on every machine. If a release has it, readers with the parents' files can compute
    the file again. Formats are q8_0, q5_0, q5_1, q4_0 and q4_1, and f32, f16 and bf16 for convert and merge. In
    merge:1,-1/3:f16 the numbers are numerators and a denominator; without it, their sum is taken.
    """
    from p2pverify.core.contract.history.recipe import Merge, encode_recipe
    from p2pverify.engine.gguf.weights import check
    from p2pverify.engine.lineage.check import run_recipe
    from p2pverify.engine.lineage.spelling import recipe_of

    if str(output) == STDOUT:
        raise click.UsageError("the file is not written to a stream")
    check_output(output, may_replace(force=force))
    with Progress() as progress:
        digests = [check(path, None, progress) for path in weights] if how.startswith("merge:") else []
        try:
            recipe = recipe_of(how, digests)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--how") from None
        if not isinstance(recipe, Merge) and len(weights) != 1:
            raise click.UsageError("only merge takes more than one file")
        digest = run_recipe(recipe, weights, output, progress)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "file": str(output),
        "sha256": digest.hex(),
        "bytes": output.stat().st_size,
        "tool": recipe.TOOL,
        "recipe": encode_recipe(recipe).hex(),
    }
    rows = [(name, document[name]) for name in ("file", "sha256", "bytes", "tool", "recipe")]
    click.echo(json.dumps(document) if as_json else pairs(rows))
