"""The line of a new network's model as options of `network new`, and the lines in `network show`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from p2pverify.cli.table import pairs
from p2pverify.core.contract.history.lines import LINE_EPOCHS_MAX, PUBLISHERS_MAX

if TYPE_CHECKING:
    from p2pverify.core.contract.network import Network

_Function = TypeVar("_Function", bound=Callable[..., Any])
NOTICE_EPOCHS, OVERLAP_EPOCHS, RECALL_EPOCHS = 1440, 4320, 60


@dataclass(frozen=True, slots=True)
class LineOptions:
    """The options of a line as they were given; None where one was not."""

    name: str | None
    publishers: tuple[str, ...]
    threshold: int | None
    notice: int | None
    overlap: int | None
    recall: int | None


def line_options(function: _Function) -> _Function:
    """The options of a line. `take_line_options` reads them from the others."""
    epochs = click.IntRange(1, LINE_EPOCHS_MAX)
    for option in reversed((
        click.option("--line", metavar="NAME", help="Publishers can release later versions of the model, so called."),
        click.option(
            "--publisher", "publishers", multiple=True, metavar="KEY",
            help="A key of 'p2pverify model publisher-key new', or a peer id; may be repeated.",
        ),
        click.option(
            "--threshold", type=click.IntRange(1, PUBLISHERS_MAX),
            help="How many publishers sign each release. Usually more than half of them.",
        ),
        click.option(
            "--notice", type=epochs, help=f"Epochs from a release until it is current. Usually {NOTICE_EPOCHS}."
        ),
        click.option(
            "--overlap", type=epochs,
            help=f"Epochs for which the version before is served too. Usually {OVERLAP_EPOCHS}.",
        ),
        click.option(
            "--recall", type=click.IntRange(0, LINE_EPOCHS_MAX),
            help=f"Epochs in which members leave a recalled version. Usually {RECALL_EPOCHS}.",
        ),
    )):  # fmt: skip
        function = option(function)
    return function


def take_line_options(given: dict[str, Any]) -> LineOptions:
    """The options of a line, taken out of all given ones. Raises UsageError if they do not belong together."""
    found = LineOptions(
        *(given.pop(name) for name in ("line", "publishers", "threshold", "notice", "overlap", "recall"))
    )
    if found.name is None:
        if found.publishers or any(
            each is not None for each in (found.threshold, found.notice, found.overlap, found.recall)
        ):
            raise click.UsageError("--publisher, --threshold, --notice, --overlap and --recall belong to --line")
        return found
    if not found.name or "@" in found.name:
        raise click.BadParameter("a line's name is not empty, and has no @", param_hint="--line")
    if not found.publishers:
        raise click.UsageError("a line has publishers: name each with --publisher")
    if found.threshold is not None and found.threshold > len(found.publishers):
        raise click.BadParameter("there are fewer publishers", param_hint="--threshold")
    return found


def with_line(network: "Network", genesis: bytes, options: LineOptions) -> "Network":
    """The network with a line over the model whose manifest has this digest (32 B). Raises ValueError."""
    from dataclasses import replace

    from p2pverify.core.contract.history.lines import ModelLine, Publishers
    from p2pverify.core.contract.network import decode_network
    from p2pverify.core.errors import DecodeError

    if options.name is None:
        return network
    keys = read_publisher_keys(options.publishers, "--publisher")
    line = ModelLine(
        options.name,
        genesis,
        Publishers(keys, options.threshold or len(keys) // 2 + 1),
        options.notice or NOTICE_EPOCHS,
        options.overlap or OVERLAP_EPOCHS,
        RECALL_EPOCHS if options.recall is None else options.recall,
    )
    try:
        return decode_network(replace(network, lines=(line,)).encode())
    except DecodeError as error:
        raise ValueError(error.reason) from None


def read_publisher_keys(texts: Sequence[str], option: str) -> tuple[bytes, ...]:
    """The keys (32 B each, sorted) of publishers by their names. Raises BadParameter."""
    from p2pverify.node.files.networkfile import read_founder

    keys = []
    for text in texts:
        try:
            keys.append(read_founder(text))
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=option) from None
    if len(set(keys)) != len(keys):
        raise click.BadParameter("a key is named twice", param_hint=option)
    if len(keys) > PUBLISHERS_MAX:
        raise click.BadParameter(f"at most {PUBLISHERS_MAX} keys can be named", param_hint=option)
    return tuple(sorted(keys))


def lines_document(network: "Network") -> list[dict[str, Any]]:
    """The lines of a network file as JSON."""
    from p2pverify.core.encoding.peerid import peer_id

    return [
        {
            "name": line.name,
            "genesis": line.genesis.hex(),
            "publishers": [peer_id(key) for key in line.publishers.keys],
            "threshold": line.publishers.threshold,
            "notice_epochs": line.notice_epochs,
            "overlap_epochs": line.overlap_epochs,
            "recall_epochs": line.recall_epochs,
        }
        for line in network.lines
    ]


def lines_text(lines: Sequence[dict[str, Any]]) -> str:
    """The lines of a network for people."""
    return "\n\n".join(
        pairs([
            ("line", line["name"]),
            *(("publisher", key) for key in line["publishers"]),
            ("signatures", f"{line['threshold']} for each release"),
            *((name.replace("_", " "), line[name]) for name in ("notice_epochs", "overlap_epochs", "recall_epochs")),
        ])
        for line in lines
    )  # fmt: skip
