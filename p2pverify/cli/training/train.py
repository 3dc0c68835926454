"""`train`: the training rounds of the network's lines, as the newest final view has them."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.output import wide_option
from p2pverify.cli.params import InputFile
from p2pverify.cli.table import pairs, table, terminal_width
from p2pverify.cli.training.audit import audit, read_round
from p2pverify.node.reports.shown import short_ids
from p2pverify.node.training.documents import (
    ClosedRoundDocument,
    OpenRoundDocument,
    RoundsDocument,
    TrainedLineDocument,
)

_HEADERS = ("ROUND", "REPEATS", "BASE", "RESULT", "EPOCH", "GAIN", "AGREED", "UPDATES")
_ROW_HEADERS = ("PEER", "FINDING", "CREDIT", "MARK", "ROWS", "LATE", "DATA SET")
_DIGEST_CHARS = 16
_MEANING = """\b
REPEATS  the round that it repeats, because rows of a contributor to it were erased
RESULT   the version that the round made; 'kept' if it gained too little, 'void' if it was not decided
GAIN     by how much the new weights lower the loss on held-out rows, in millionths of a nat
AGREED   how many members gave the decided result, of how many that could vote
UPDATES  contributors whose updates counted, and how many of them were found right
"""
_OWN_MEANING = """\b
FINDING  right, false (the shown rows give another update), unseen (nobody had its bytes), or broken (against the rule)
CREDIT   by how much the update lowered the loss on rows of others, in millionths of a nat
MARK     whether the update did harm on most rows of others; several in turn keep it out for a while
LATE     cuts from the opening of the round to the seal of the update
"""
json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")


@click.group()
def train() -> None:
    """Show the training rounds of lines: what is open, what this node has to do, what was decided, and its class.

    A node contributes by itself to rounds for which 'p2pverify data commit --train' has offered rows.
    """


train.add_command(audit)


@train.command("status")
@json_option
def train_status(as_json: bool) -> None:
    """Show the open round of each trained line, and what it waits for."""
    answer = client.get(current_home(), "/v1/rounds", RoundsDocument)
    if as_json:
        client.print_json(answer.text)
        return
    if not answer.document.lines:
        click.echo("no line of the network is trained in rounds")
        return
    click.echo("\n\n".join(pairs(_about(line)) for line in answer.document.lines))


@train.command("rounds", epilog=_MEANING)
@click.argument("line", required=False)
@wide_option
@json_option
def rounds(line: str | None, wide: bool, as_json: bool) -> None:
    """Show the newest rounds of LINE that are over. LINE can be left out if one line is trained."""
    answer = client.get(current_home(), "/v1/rounds", RoundsDocument)
    found = _find_line(answer.document, line)
    if as_json:
        client.print_json(answer.text)
        return
    if not found.closed:
        click.echo("no round is over yet")
        return
    click.echo(table(_HEADERS, map(_row, found.closed), width=None if wide else terminal_width()))


@train.command("show", epilog=_OWN_MEANING)
@click.argument("name", metavar="LINE/ROUND")
@wide_option
@json_option
def show(name: str, wide: bool, as_json: bool) -> None:
    """Show what a round found of each contributor."""
    line, number = read_round(name)
    answer = client.get(current_home(), "/v1/rounds", RoundsDocument)
    found = _find_line(answer.document, line)
    over = next((each for each in found.closed if each.number == number), None)
    if over is None:
        known = ", ".join(str(each.number) for each in found.closed) or "none"
        raise CliError(
            f"no such round of {line} that is over and remembered; known: {known}", "'p2pverify train rounds'"
        )
    if as_json:
        client.print_json(answer.text)
        return
    names = short_ids(each.peer_id for each in over.contributions)
    rows = [
        (
            names[each.peer_id], each.finding, each.credit, each.marked, each.rows, each.late,
            each.dataset[:_DIGEST_CHARS],
        )
        for each in over.contributions
    ]  # fmt: skip
    click.echo(pairs(zip((head.lower() for head in _HEADERS), _row(over), strict=True)))
    if rows:
        click.echo()
        click.echo(table(_ROW_HEADERS, rows, width=None if wide else terminal_width()))


@train.command("class")
@click.argument("file", type=InputFile("name a network file with the table [line.training.lora]"))
@click.option("--weights", type=InputFile(), metavar="FILE", help="The file of version 0. [found by itself]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def train_class(file: Path, weights: Path | None, as_json: bool) -> None:
    """Show in which class this machine trains the language models of the network file FILE.

    Two steps of each training are run. PATH and GOLDEN are what a rule names as the class of its contributors and
    voters; before they are known, the file may have any. It needs PyTorch: pip install 'p2pverify[torch]'.
    """
    from p2pverify.engine.lora.measuring import measured_classes
    from p2pverify.node.files.networkfile import load_network

    found = measured_classes(*load_network(file), weights)
    if as_json:
        click.echo(json.dumps({"schema": "p2pverify/training-classes/1", "lines": [asdict(each) for each in found]}))
        return
    if not found:
        click.echo("no line of the network trains a language model")
    for each in found:
        about = "that of the rule" if each.is_ours else "another one than that of the rule"
        click.echo(pairs((("line", each.line), ("path", each.path), ("golden", each.golden), ("class", about))))


def _find_line(found: RoundsDocument, name: str | None) -> TrainedLineDocument:
    """The line of a name, or the only one. Raises CliError."""
    fitting = [line for line in found.lines if name in (None, line.line)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(line.line for line in found.lines) or "none"
    raise CliError(f"name a line that is trained in rounds: {known}", "'p2pverify train status' shows them")


def _about(line: TrainedLineDocument) -> Iterator[tuple[str, object]]:
    yield "line", line.line
    yield "trainer", f"{line.trainer}, mode {line.mode}"
    yield "decided", f"{line.decided} of {line.rounds} rounds"
    if line.to_repeat:
        yield "to repeat", f"rounds {', '.join(map(str, line.to_repeat))}, without rows that were erased"
    if line.quarantined:
        names = short_ids(line.quarantined)
        yield "left out", ", ".join(names[peer] for peer in line.quarantined)
    if line.open is None:
        is_over = line.decided >= line.rounds
        ready = f"{line.houses_ready} houses of contributors have rows for it, and it needs {line.houses_needed}"
        yield "open round", "none, and there are no more" if is_over else f"none; {ready}"
        return
    again = "" if line.open.repeats is None else f", which repeats round {line.open.repeats}"
    since = f"from version {line.open.base}, since epoch {line.open.opened_epoch}"
    yield "open round", f"{line.open.number}{again}, {since}"
    yield "phase", _phase(line.open)
    yield "this node", f"has to {line.open.own}" if line.open.own else "has nothing to do in it now"


def _phase(current: OpenRoundDocument) -> str:
    match current.phase:
        case "sealing":
            return f"{len(current.sealed)} of {len(current.expected)} contributors sealed an update"
        case "opening":
            return f"{len(current.opened)} of {len(current.sealed)} updates are open"
        case "reporting":
            return f"{current.losses_sealed} of {len(current.opened)} owners sealed the losses on their rows"
        case "disclosing":
            return f"{current.losses_opened} of {current.losses_sealed} owners opened them"
    sealed = f"{current.votes_sealed} of {current.electorate} members sealed a result"
    return f"{sealed}, {current.votes_opened} opened it"


def _row(over: ClosedRoundDocument) -> tuple[object, ...]:
    made = "void" if not over.decided else "kept" if over.version is None else f"version {over.version}"
    right = sum(each.finding == "right" for each in over.contributions)
    return (
        over.number, over.repeats, over.base, made, over.epoch, over.gain if over.decided else None,
        f"{over.agreed} of {over.voters}" if over.decided else None,
        f"{len(over.contributions)}, {right} right" if over.decided else None,
    )  # fmt: skip
