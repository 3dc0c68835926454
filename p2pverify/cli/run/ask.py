"""`p2pverify ask`: asks the network's model a question, through the running node or as a light client.

The answer goes to stdout as it comes. One line on stderr says who answered, what was checked, and which receipt proves
it. The node's door for clients (`api/openai`) does the work.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotReadyError, NotRunningError, NotVerifiedError
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import NETWORK_FILE, WEIGHTS, CutId, InputFile, find_peer
from p2pverify.cli.table import cell
from p2pverify.core.plan import PANEL_MAX, PLAN_REQUESTS_MAX
from p2pverify.node.files.home import Home
from p2pverify.node.files.outputs import check_output, open_output
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.receipt import ClientAnswer, ReceiptDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.shown import in_units, interval, short_ids

if TYPE_CHECKING:
    from p2pverify.cli.run.ask_light import LightOptions

TIMEOUT_S = 300.0  # between two pieces; a full check sends nothing until a majority is certain
PROMPT_BYTES_MAX = 1 << 20
_LINE_BYTES_MAX = 8 * 1024 * 1024
_BODY_BYTES_MAX = 64 * 1024 * 1024
_ERROR_BYTES_MAX = 65_536
_RECEIPT_HEADER = "x-p2pverify-receipt"
_RECEIPT_ID = re.compile(r"rcpt_[0-9a-f]{32}")
_DATA = b"data: "
_DONE = b"[DONE]"
_LATER = "ask again later; 'p2pverify status' shows how the node is doing"
_FEWER = "the receipt has all answers, and --json prints it"


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "--file",
    "file",
    type=InputFile(allow_stdin=True),
    metavar="FILE",
    help="Read the question from a file; - is stdin.",
)
@click.option(
    "--row", metavar="JSON|FILE", help="Ask a model of rows: a JSON object of features and numbers, or a file with one."
)
@click.option(
    "--model", metavar="NAME", help="A model of the network, also with a suffix such as @n5z10. [the node's model]"
)
@click.option(
    "--panel", type=click.IntRange(1, PANEL_MAX), metavar="N", help="Peers that answer a full check. [config.toml]"
)
@click.option(
    "--every",
    type=click.IntRange(1, PLAN_REQUESTS_MAX),
    metavar="Z",
    help="Full checks: one in Z questions; 1 is each. [config.toml]",
)
@click.option(
    "--peer", metavar="PEER", help="Ask this peer alone: a peer id, or a short name as in 'p2pverify scores'."
)
@click.option("--bootstrap", multiple=True, metavar="ADDRESS", help="Ask without a node: connect to this peer.")
@click.option("--network", "network_file", type=NETWORK_FILE, help="Without a node: the network. [of this home]")
@click.option("--cut", type=CutId(), help="Without a node: the id of a cut that you trust, instead of the founders.")
@click.option("--weights", type=WEIGHTS, help="Without a node: a file of the model, for its tokens. [found by itself]")
@click.option("-o", "--output", metavar="FILE", help="Without a node: where to write the receipt. [RECEIPT.json]")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the receipt in JSON instead of the text.")
def ask(
    prompt: str | None,
    file: Path | None,
    row: str | None,
    model: str | None,
    panel: int | None,
    every: int | None,
    peer: str | None,
    bootstrap: tuple[str, ...],
    network_file: Path | None,
    cut: bytes | None,
    weights: Path | None,
    output: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Ask the network's model the question PROMPT through this home's node.

    A model that is trained on rows of data is asked with --row. Its answer is a label and the label's probability.

    The text comes on stdout as the model writes it. Then one line on stderr says who answered, what was checked, and
    which receipt has the proof. A full check has several peers answer, and prints what more than half of them say.

    With --bootstrap it needs no node and no home. It connects to the peer at ADDRESS, checks passports of peers that
    this one knows against the network file, asks the best of them, and writes the receipt to a file. A second line
    says how old the scores are and what they assume.

    Exit codes: 0 answered, 1 refused, 2 usage, 3 node not running, 4 nobody can answer now, 5 the answers of a full
    check differ and none has a majority, 130 interrupted.
    """
    text = _question(prompt, file) if row is None else _row(row, prompt, file)
    if peer is not None and (panel is not None or every is not None):
        raise click.UsageError("--peer asks one peer alone, so it takes no --panel and no --every")
    if bootstrap:
        from p2pverify.cli.run.ask_light import LightOptions

        light = LightOptions(network_file, bootstrap, cut, weights, model, panel, every, peer, is_row=row is not None)
        _ask_without_node(text, light, output, force=force, as_json=as_json)
        return
    if (network_file, cut, weights, output, force) != (None, None, None, None, False):
        raise click.UsageError("--network, --cut, --weights, --output and --force are for asking with --bootstrap")
    home = current_home()
    token = client.prove(home)
    wish = {"panel": panel, "every": every, "peer": None if peer is None else _peer(home, peer)}
    body = {
        "model": model or _own_model(home, token),
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "p2pverify": {name: value for name, value in wish.items() if value is not None},
        **({} if row is None else {"temperature": 0}),
    }
    with client.stream(
        home, "/v1/chat/completions", json.dumps(body).encode(), token=token, timeout_s=TIMEOUT_S
    ) as response:
        receipt_id = _receipt_id(response)
        try:
            _print_text(response, quiet=as_json)
        except CliError:
            if as_json and receipt_id:
                client.print_json(_receipt(home, receipt_id, token).text)
            raise
    found = _receipt(home, receipt_id, token)
    if as_json:
        client.print_json(found.text)
    else:
        click.echo(_told(found.document), err=True)


def _ask_without_node(text: str, light: "LightOptions", output: str | None, *, force: bool, as_json: bool) -> None:
    """Ask as a light client, and write the receipt. Raises CliError, UserError."""
    from p2pverify.cli.run.ask_light import ask_light

    if output is not None:
        check_output(output, may_replace(force=force))
    shown = _Shown(quiet=as_json)
    found = ask_light(text, light, shown.show)
    shown.end()
    receipt = found.receipt
    data = json.dumps(written(receipt), allow_nan=False)
    target = output or (None if as_json else f"{receipt.id}.json")
    if target is not None:
        with open_output(target, may_replace(force=force)) as file:
            file.write(data.encode() + b"\n")
    if as_json and target != "-":
        client.print_json(data)
    if receipt.state == "failed":
        check = receipt.checks[0]
        counts = f"{check.answers} answered, {check.differ} differ"
        raise NotVerifiedError(
            f"no answer is that of more than half of {check.panel} peers: {counts}",
            f"the receipt has all answers: {target}" if target else _FEWER,
        )
    if not as_json:
        click.echo(f"{_told(receipt)} in {target}\n{found.about}", err=True)


class _Shown:
    """The text on stdout, as it comes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stdout.isatty()
        self._last = ""

    def show(self, text: str) -> None:
        """Show a piece. A pipe gets it as it is."""
        if text and not self._quiet:
            click.echo(_safe(text) if self._is_terminal else text, nl=False, color=True)
            self._last = text

    def end(self) -> None:
        """End the last line."""
        if not self._quiet and not self._last.endswith("\n"):
            click.echo()


def _question(prompt: str | None, file: Path | None) -> str:
    """The text of the question, from one of the two places. Raises UsageError or CliError."""
    if (prompt is None) == (file is None):
        raise click.UsageError("give a question, or a file with --file, and not both")
    if file is None:
        assert prompt is not None
        return prompt
    if str(file) == "-":
        data = sys.stdin.buffer.read(PROMPT_BYTES_MAX + 1)
    else:
        with file.open("rb") as opened:
            data = opened.read(PROMPT_BYTES_MAX + 1)
    if len(data) > PROMPT_BYTES_MAX:
        raise CliError(f"{file} has more than {PROMPT_BYTES_MAX} bytes", "give a shorter question")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CliError(f"{file} is not text in UTF-8", "convert it") from None


def _row(row: str, prompt: str | None, file: Path | None) -> str:
    """The text of a row, from the option or from the file that it names. Raises UsageError or CliError."""
    if prompt is not None or file is not None:
        raise click.UsageError("--row is the whole question, so it takes no PROMPT and no --file")
    text = row
    if not row.lstrip().startswith("{"):
        text = _question(None, InputFile("give a JSON object, or a file with one").convert(row, None, None))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found:
        raise click.BadParameter('give a JSON object such as {"age": 41, "amount": 1200}', param_hint="--row")
    return text


def _peer(home: Home, name: str) -> str:
    rows = client.get(home, "/v1/scores?view=final", ScoresDocument).document.scores
    return find_peer(name, [row.peer_id for row in rows])


def _own_model(home: Home, token: str) -> str:
    match client.get_json(home, "/v1/models", token):
        case {"data": [{"id": str(name)}, *_]}:
            return name
    raise _not_ours()


def _receipt_id(response: client.ApiStream) -> str:
    """The id of the receipt; empty if there is none, because the request was refused."""
    given = response.headers.get(_RECEIPT_HEADER, "")
    return given if _RECEIPT_ID.fullmatch(given) else ""


def _receipt(home: Home, receipt_id: str, token: str) -> client.ApiAnswer[ReceiptDocument]:
    if not receipt_id:
        raise _not_ours()
    return client.get(home, f"/v1/receipts/{receipt_id}", ReceiptDocument, token=token)


def _print_text(response: client.ApiStream, *, quiet: bool) -> None:
    """Print the text of a stream as it comes. Raises CliError."""
    if response.status != 200:
        raise _refusal(response.status, _json(response.read(_ERROR_BYTES_MAX)))
    shown = _Shown(quiet=quiet)
    for event in _events(response):
        shown.show(_text(event))
    shown.end()


def _events(response: client.ApiStream) -> Iterator[Any]:
    """The values of a stream up to its end. Raises CliError if it breaks off."""
    read = 0
    while line := response.line(_LINE_BYTES_MAX):
        read += len(line)
        if read > _BODY_BYTES_MAX or not line.endswith(b"\n"):
            break
        data = line.strip().removeprefix(_DATA)
        if data == _DONE:
            return
        if line.startswith(_DATA):
            yield _json(data)
    raise CliError("the node broke the answer off", "its log says why; ask again")


def _text(event: Any) -> str:
    """The text of a chunk. Raises CliError for an error in its place."""
    match event:
        case {"error": {}}:
            raise _refusal(502, event)
        case {"choices": [{"delta": {"content": str(text)}}]}:
            return text
        case {"choices": [{"delta": dict(delta)}]} if "content" not in delta:
            return ""
    raise _not_ours()


def _refusal(status: int, value: Any) -> CliError:
    """The error of a refused request, with the exit code for its reason."""
    match value:
        case {"error": {"message": str(message), "code": str(code)}}:
            if code == "no_majority":
                return NotVerifiedError(message, _FEWER)
            if status in (429, 502, 503):
                return NotReadyError(message, _LATER)
            return CliError(f"the node refused: {cell(message)}", "'p2pverify ask --help' shows how to ask")
    return _not_ours()


def _told(document: ReceiptDocument) -> str:
    """One line: who answered, its score, what was checked, how it compares, what it cost, the receipt."""
    answer = document.returned(0)
    checked = f"checked: {', '.join(map(cell, answer.checked))}"
    return "; ".join([_who(answer), checked, _compared(document), *_cost(document), f"receipt {document.id}"])


def _cost(document: ReceiptDocument) -> list[str]:
    """What the answers cost, if the network has a tariff."""
    cost = document.cost
    if cost is None:
        return []
    answers = "1 answer" if cost.answers == 1 else f"{cost.answers} answers"
    return [f"cost {in_units(cost.total)} {cell(cost.unit)} for {answers}"]


def _who(answer: ClientAnswer) -> str:
    name = "this node" if answer.own else cell(short_ids([answer.peer_id])[answer.peer_id])
    standing = "" if answer.standing is None else f"{answer.standing}, "
    return f"answered by {name} ({standing}{interval(answer.low, answer.high)})"


def _compared(document: ReceiptDocument) -> str:
    if not document.checks:
        return "not compared with other peers"
    check = document.checks[0]
    text = f"{check.agree} of {check.panel} peers agree"
    text += f", {check.differ} differ" if check.differ else ""
    return f"{text}, {check.not_compared} not compared" if check.not_compared else text


def _safe(text: str) -> str:
    """Text of a model that cannot control the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _not_ours() -> CliError:
    return NotRunningError("what answers there is not a p2pverify node of this version")
