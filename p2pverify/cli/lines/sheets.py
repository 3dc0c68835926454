"""Papers of publishers on the command line: who signs, what they sign in words, and what is still missing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.output import may_replace
from p2pverify.cli.params import NETWORK_FILE, InputFile
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import open_output

if TYPE_CHECKING:
    from p2pverify.core.contract.network import Network
    from p2pverify.node.lines.papers import Paper, Said

SCHEMA = "p2pverify/signed-paper/1"
_Function = TypeVar("_Function", bound=Callable[..., Any])
network_option = click.option(
    "--network", "network_file", type=NETWORK_FILE, metavar="FILE", help="The network file (default: this home's)."
)
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write what is signed."
)


def key_option(function: _Function) -> _Function:
    """`--key` of a command whose statement publishers sign."""
    return click.option(
        "--key",
        "keys",
        type=InputFile("make one with 'p2pverify model publisher-key new FILE'"),
        multiple=True,
        metavar="FILE",
        help="A publisher's key that signs; may be repeated.",
    )(function)


def load_contract(network_file: Path | None) -> "Network":
    """The network of a file, or of this home. Raises FileError."""
    from p2pverify.node.files.networkfile import load_network

    found, _ = load_network(current_home().network_path if network_file is None else network_file)
    return found


def sign_new(network: "Network", said: "Said", keys: Sequence[Path]) -> "Paper":
    """A new statement, signed with the keys in these files. Raises UsageError and FileError."""
    from p2pverify.node.lines.papers import load_seed, new_paper

    if not keys:
        raise click.UsageError("name a publisher's key with --key")
    first, *others = map(load_seed, keys)
    return _signed(new_paper(network.id, said, first), others)


def sign_more(network: "Network", paper: "Paper", keys: Sequence[Path]) -> "Paper":
    """A statement that others signed, with further signatures. Raises CliError."""
    from p2pverify.node.lines.papers import load_seed

    if not keys:
        raise click.UsageError("name your publisher's key with --key")
    check_network(network, paper)
    return _signed(paper, [load_seed(key) for key in keys])


def check_network(network: "Network", paper: "Paper") -> None:
    """Raise CliError if a statement is for another network, or for a line that the network does not have."""
    if paper.network != network.id or paper.line >= len(network.lines):
        raise CliError(
            f"the statement is for network {paper.network.hex()[:16]}, and this one is {network.id.hex()[:16]}",
            "name the network's file with --network, or its home with --home",
        )


def _signed(paper: "Paper", seeds: Sequence[bytes]) -> "Paper":
    for seed in seeds:
        try:
            paper = paper.signed_with(seed)
        except ValueError as error:
            raise CliError(str(error), "submit it as it is") from None
    return paper


def finish(network: "Network", paper: "Paper", output: Path, *, force: bool, as_json: bool) -> None:
    """Write a statement, and say what it says and what to do next."""
    from p2pverify.node.lines.papers import dump_paper

    with open_output(output, may_replace(force=force)) as file:
        file.write(dump_paper(paper))
    document = describe_paper(network, paper)
    if as_json:
        click.echo(json.dumps({**document, "file": str(output)}))
        return
    rows = [(name.replace("_", " "), _cell(value)) for name, value in document.items() if name != "schema"]
    click.echo(pairs([*rows, ("file", str(output)), ("next", _next(network, paper, output))]))


def describe_paper(network: "Network", paper: "Paper") -> dict[str, Any]:
    """What a statement says, as plain values."""
    from p2pverify.core.encoding.peerid import peer_id

    line = network.lines[paper.line]
    document: dict[str, Any] = {"schema": SCHEMA, "kind": paper.kind, "line": line.name, **_content(paper)}
    document["signed_by"] = [peer_id(key) for key in paper.signers]
    strangers = [peer_id(key) for key in paper.signers if key not in line.publishers.keys]
    if strangers:
        document["not_in_the_network_file"] = strangers
    return document


def _content(paper: "Paper") -> dict[str, Any]:
    from p2pverify.core.contract.history.recipe import decode_recipe
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.core.records.payloads.lines.recall import Recall
    from p2pverify.core.records.payloads.lines.rotation import Rotation
    from p2pverify.node.lines.recipes import recipe_words
    from p2pverify.node.lines.report import REASONS

    said = paper.said
    if isinstance(said, Recall):
        return {"version": said.number, "back_to": said.back_to, "reason": REASONS[said.reason]}
    if isinstance(said, Rotation):
        keys = [peer_id(key) for key in said.publishers.keys]
        return {"rotation": said.number, "publishers": keys, "threshold": said.publishers.threshold}
    release = said.release
    manifest = decode_manifest(release.manifest)
    return {
        "version": release.number,
        "model": manifest.model,
        "quantisation": manifest.quantisation,
        "weights": manifest.weights.hex(),
        "manifest": release.manifest_digest.hex(),
        "golden_answers": [f"{path.engine} {path.numeric_path}" for path in manifest.golden.paths],
        "how": release.how.name.lower().replace("_", "-"),
        "recipe": None if release.recipe is None else recipe_words(decode_recipe(release.recipe)),
        "parents": [parent.hex() for parent in release.parents],
        "files": [f"{file.path} ({file.size} bytes)" for file in release.files],
        "oms": None if release.oms is None else release.oms.hex(),
    }


def _cell(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _next(network: "Network", paper: "Paper", output: Path) -> str:
    """The next step. The publishers may have changed since the network began, so the node has the last word."""
    publishers = network.lines[paper.line].publishers
    left = publishers.threshold - sum(key in publishers.keys for key in paper.signers)
    if left > 0:
        return f"signatures that are missing: {left}; 'p2pverify model publish --sign {output} --key KEY' adds one"
    return f"'p2pverify model publish --submit {output}', on a machine whose node runs"
