"""`network shapes`: a table of what the requests of this node's clients look like, and the words for what it costs.

`core.contract.observed` makes the table, and `core.contract.shapes` says how slots draw from it.
"""

from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.output import force_option, may_replace
from p2pverify.node.files.outputs import check_output, is_stdout, open_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p2pverify.core.contract.network import Params
    from p2pverify.core.contract.observed import ObservedRequest
    from p2pverify.node.files.home import Home

LEAST = 20


@click.command()
@click.option(
    "--least",
    type=click.IntRange(2, 100_000),
    default=LEAST,
    show_default=True,
    help="Requests that a row stands for at least, so that no single one can be read off.",
)
@click.option("-o", "--output", default="shapes.toml", show_default=True, metavar="FILE", help="'-' is stdout.")
@force_option
def shapes(least: int, output: str, force: bool) -> None:
    """Write what the requests of this node's clients look like, for 'network new --shapes'.

    A challenge should look like a request of a client. The table is made from the receipts that this home keeps. It has
    ranges of prompt lengths, of max_tokens, and temperatures, each row with the share of the requests. It has no texts,
    no times and no clients. Read it before you publish it.
    """
    from p2pverify.core.contract.observed import table_of
    from p2pverify.node.files.shapesfile import dump_shapes

    check_output(output, may_replace(force=force))
    found = list(_observed(current_home()))
    try:
        table = table_of(found, least)
    except ValueError:
        raise CliError(
            f"this home has receipts of {len(found)} answered requests, and a row stands for at least {least}",
            "let clients ask through this node first: 'p2pverify ask', or the OpenAI API",
        ) from None
    with open_output(output, may_replace(force=force)) as file:
        file.write(dump_shapes(table).encode())
    click.echo(f"{len(table)} rows for {len(found)} requests", err=True)
    if not is_stdout(output):
        click.echo(f"next: 'p2pverify network new --shapes {output}'", err=True)


def _observed(home: "Home") -> "Iterator[ObservedRequest]":
    """Each answered question in the receipts of a home. Raises FileError, BookError, EngineUnavailable."""
    from p2pverify.core.contract.lengths import context_tokens
    from p2pverify.core.contract.observed import ObservedRequest
    from p2pverify.engine.language import find_language
    from p2pverify.node.clients.paper import read_receipt
    from p2pverify.node.files.config import load_config
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.store.clients.receipts import kept_documents

    network, manifests = load_network(home.network_path)
    frames: dict[str, int] = {}
    for data in kept_documents(home.clients_path):
        receipt = read_receipt(data)
        for asked in {} if receipt is None else {one.index: one.question for one in receipt.answers}.values():
            if asked.manifest not in frames:
                own = next((one for one in manifests if one.digest.hex() == asked.manifest), None)
                weights = load_config(home.config_path).weights
                frames[asked.manifest] = 0 if own is None else sum(map(len, find_language(own, weights).frame()))
            whole = len(asked.prompt)
            is_open = whole + asked.tokens_max >= context_tokens(network.params)
            prompt = max(1, whole - frames[asked.manifest])
            yield ObservedRequest(prompt, 0 if is_open else asked.tokens_max, asked.temperature_milli)


def check_room(params: "Params", engine_tokens: int) -> None:
    """Raise CliError if an engine that holds so many tokens cannot answer what a table asks for, or not in time."""
    from p2pverify.core.contract.lengths import answer_longest, context_tokens, prompt_longest
    from p2pverify.node.files.networktable import TEMPLATE_TOKENS, TOKEN_MS

    if not params.shapes:
        return
    needed = max(context_tokens(params), prompt_longest(params) + TEMPLATE_TOKENS + answer_longest(params))
    if needed > engine_tokens:
        raise CliError(
            f"the table asks for {needed} tokens of prompt and answer, and the engine holds {engine_tokens}",
            "cut the longest rows of the table, or replace them by rows with 0 and 0 for max_tokens",
        )
    longest = needed if any(shape.is_open for shape in params.shapes) else answer_longest(params)
    if longest * TOKEN_MS > params.epoch_ms:
        raise CliError(
            f"a slow machine needs {longest * TOKEN_MS // 1000} s for the longest answer, longer than an epoch",
            f"give --epoch-ms {longest * TOKEN_MS} or more, or cut the longest rows of the table",
        )


def cost(params: "Params", usual: "Params") -> str:
    """What a table costs: the answers of its audits against those of the `usual` rules."""
    from p2pverify.core.contract.lengths import expected_tokens, long_share

    asked, before = float(expected_tokens(params)), float(expected_tokens(usual))
    return (
        f"shapes: an audit asks for answers of at most {asked:.0f} tokens on average, {asked / before:.2g} times as "
        f"many as by the usual rules ({before:.0f}). Models end many answers earlier. {float(long_share(params)):.0%} "
        f"of the audits are long, above {params.answer_tokens} tokens"
    )
