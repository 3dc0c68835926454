"""`data`: commits to rows that stay in this home, shows them, and erases some."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.params import InputFile
from p2pverify.cli.signing import order, read_parents
from p2pverify.cli.table import pairs, table, terminal_width
from p2pverify.core.records.payloads.data import BASES, ERASURE_CODES, PARENTS_MAX
from p2pverify.core.training.terms import BUDGET_MAX, HELD_MAX
from p2pverify.node.data.documents import DatasetDocument, DatasetsDocument

if TYPE_CHECKING:
    from p2pverify.core.data.texts import RowSchema
    from p2pverify.core.training.terms import TrainingTerms
    from p2pverify.node.data.store import DataStore, OwnDataset
    from p2pverify.node.files.home import Home

_DAY_MS = 86_400_000
#: By their number in a training rule.
TRAIN_MODES = ("open", "held-out", "reported")
_NO_RECORD = "not published"
#: Members that people do not read in a list.
_LEFT_OUT = ("schema", "bytes", "path")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
parent_option = click.option("--parent", "parents", multiple=True, metavar="ID", help="What it was made from: an id.")


@click.group()
def data() -> None:
    """Commit to rows that stay here: the ledger gets a salted commitment, and no row, name or card.

    The rows and their salts are in the folder 'data' of this home. Keep a copy: without the salts nobody can show
    that a row belongs to the data set.
    """


@data.command("commit")
@click.argument("file", type=InputFile("name a CSV file, or one with a JSON object a line whose name ends in .jsonl"))
@click.option(
    "--schema",
    "schema_file",
    required=True,
    type=InputFile("protocol/data.md shows one"),
    metavar="FILE",
    help="What the columns mean: a TOML file.",
)
@click.option("--licence", required=True, metavar="SPDX", help="The terms, as an SPDX expression such as CC-BY-4.0.")
@click.option("--name", metavar="NAME", help="How this home calls it (default: the name of FILE).")
@click.option("--basis", type=click.Choice(BASES), default=BASES[0], show_default=True, help="If it is about people.")
@parent_option
@click.option("--recipe", type=InputFile(), metavar="FILE", help="How it was made; the ledger gets its SHA-256.")
@click.option("--card", "card_file", type=InputFile(), metavar="FILE", help="A description, instead of a short one.")
@click.option("--days", type=click.IntRange(1, 36_500), default=365, show_default=True, help="How long it is offered.")
@click.option("--train", "mode", type=click.Choice(TRAIN_MODES), help="Offer the rows for rounds of this mode.")
@click.option(
    "--held",
    type=click.IntRange(0, HELD_MAX),
    default=0,
    metavar="N",
    help="With --train: so many rows, drawn by lot, are shown in rounds, and never trained on.",
)
@click.option(
    "--budget",
    type=click.IntRange(0, BUDGET_MAX),
    default=0,
    metavar="RHO",
    help="With --train and noise: the most rho (zCDP) of all rounds together, in billionths.",
)
@json_option
def commit(
    file: Path,
    schema_file: Path,
    licence: str,
    name: str | None,
    basis: str,
    parents: tuple[str, ...],
    recipe: Path | None,
    card_file: Path | None,
    days: int,
    mode: str | None,
    held: int,
    budget: int,
    as_json: bool,
) -> None:
    """Keep the rows of FILE in this home, and have the running node publish the commitment to them.

    FILE is a table in CSV, or in JSON lines. The schema file names its columns, and how their values become integers.
    """
    from p2pverify.core.encoding.canon import sha256
    from p2pverify.core.records.payloads.data import is_licence
    from p2pverify.node.clock import unix_ms
    from p2pverify.node.data.making import Terms, new_dataset
    from p2pverify.node.data.store import CARD_BYTES_MAX, DataStore, is_name
    from p2pverify.node.data.table import load_row_schema, load_rows
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.textfile import read_bytes

    home = current_home()
    chosen = file.stem if name is None else name
    if not is_name(chosen):
        raise click.BadParameter("1 to 64 letters, digits, '-' and '_'", param_hint="--name")
    if not is_licence(licence):
        raise click.BadParameter("not an SPDX expression, such as CC-BY-4.0 or MIT OR 0BSD", param_hint="--licence")
    above = read_parents(parents)
    if len(above) > PARENTS_MAX:
        raise click.BadParameter(f"at most {PARENTS_MAX} can be given", param_hint="--parent")
    schema = load_row_schema(schema_file)
    rows = load_rows(file, schema)
    training = _training_terms(mode, held, budget, len(rows))
    network, _ = load_network(home.network_path)
    client.prove(home)  # before anything is kept
    card = None if card_file is None else read_bytes(card_file, size_max=CARD_BYTES_MAX, missing="")
    made = None if recipe is None else read_bytes(recipe, size_max=CARD_BYTES_MAX, missing="")
    until = network.params.epoch_at(unix_ms()) + -(-days * _DAY_MS // network.params.epoch_ms)
    terms = Terms(licence, BASES.index(basis), above, None if made is None else sha256(made), until, training)
    store = DataStore(home)
    store.add(new_dataset(chosen, schema, rows, terms, card))
    _finish(home, store, chosen, as_json=as_json)


def _training_terms(mode: str | None, held: int, budget: int, rows: int) -> "TrainingTerms | None":
    """How the rows may be used in training rounds. Raises BadParameter."""
    from p2pverify.core.training.terms import OFFERED_ROWS_MAX, TrainingTerms

    if mode is None:
        if held or budget:
            raise click.BadParameter("needs --train", param_hint="--held" if held else "--budget")
        return None
    if (held == 0) != (mode == "reported"):
        raise click.BadParameter("0 in mode 'reported', and in no other", param_hint="--held")
    if held >= rows or rows > OFFERED_ROWS_MAX:
        raise click.BadParameter(
            f"the file has {rows} rows; rounds need some for training, and at most {OFFERED_ROWS_MAX} in all",
            param_hint="--held" if held >= rows else "FILE",
        )
    return TrainingTerms(TRAIN_MODES.index(mode), held, budget)


@data.command("publish")
@click.argument("name")
@json_option
def publish(name: str, as_json: bool) -> None:
    """Tell the ledger what it does not know yet of NAME: the data set, or the rows erased since.

    The other commands do this themselves. This one is for after they could not, because the node did not run.
    """
    from p2pverify.node.data.store import DataStore

    _finish(current_home(), DataStore(current_home()), name, as_json=as_json)


@data.command("list")
@click.option("--all", "of_all", is_flag=True, help="The data sets of all members, by the running node.")
@json_option
def list_datasets(of_all: bool, as_json: bool) -> None:
    """Show the data sets of this home, or those that members offer."""
    home = current_home()
    if of_all:
        answer = client.get(home, "/v1/datasets", DatasetsDocument)
        if as_json:
            client.print_json(answer.text)
        else:
            click.echo(_offered(answer.document.datasets))
        return
    from p2pverify.node.data.store import DataStore

    store = DataStore(home)
    found = [_summary(store.get(name)) for name in store.names()]
    if as_json:
        click.echo(json.dumps({"schema": "p2pverify/own-datasets/1", "datasets": found}))
    elif not found:
        click.echo("no data sets; 'p2pverify data commit FILE' makes one")
    else:
        rows = [
            (one["name"], one["rows"], one["erased"], one["licence"], one["until_epoch"], one["record"] or _NO_RECORD)
            for one in found
        ]
        head = ("NAME", "ROWS", "ERASED", "LICENCE", "UNTIL", "RECORD")
        click.echo(table(head, rows, width=terminal_width(), cut=("NAME", "LICENCE", "RECORD")))


@data.command("show")
@click.argument("name")
@click.option("--row", type=click.IntRange(0), metavar="K", help="Show this row, with its salt and its proof.")
@json_option
def show(name: str, row: int | None, as_json: bool) -> None:
    """Show the data set NAME of this home, and check its commitments: exit 5 if they do not hold.

    Rows are numbered from 0, in the order of the file, and keep their numbers when others are erased.
    """
    from p2pverify.cli.errors import NotVerifiedError
    from p2pverify.node.data.store import DataStore

    own = DataStore(current_home()).get(name)
    document = {"schema": "p2pverify/own-dataset/1", **_summary(own)}
    if row is not None:
        document["row"] = _row(own, row)
    if as_json:
        click.echo(json.dumps(document))
    else:
        click.echo(pairs((key.replace("_", " "), value) for key, value in _flat(document)))
    if not own.holds:
        hint = "restore its file from a copy of this home"
        raise NotVerifiedError(f"the rows or the card of {name} are not those of its record", hint)


@data.command("card")
@click.argument("name")
@json_option
def card(name: str, as_json: bool) -> None:
    """Print the data card of NAME; with --json also the salt that opens its commitment on the ledger."""
    from p2pverify.node.data.store import DataStore

    own = DataStore(current_home()).get(name)
    if not as_json:
        click.echo(own.card, nl=not own.card.endswith(b"\n"))
        return
    text = own.card.decode(errors="replace")
    opened = {"card": text, "salt": own.card_salt.hex(), "commitment": own.said.card.hex()}
    click.echo(json.dumps({"schema": "p2pverify/data-card/1", "name": name, **opened}))


@data.command("erase")
@click.argument("name")
@click.option("--row", "rows", type=click.IntRange(0), multiple=True, required=True, metavar="K", help="Which row.")
@click.option(
    "--why", type=click.Choice(ERASURE_CODES), default=ERASURE_CODES[1], show_default=True, help="The reason."
)
@json_option
def erase(name: str, rows: tuple[int, ...], why: str, as_json: bool) -> None:
    """Erase rows and their salts from this home, and have the node publish that they are gone.

    What is left of a row is its commitment, which nobody can open without the salt. Copies of the home and snapshots
    of the file system can still hold it: erase those yourself.
    """
    from p2pverify.node.data.store import DataStore

    home = current_home()
    store = DataStore(home)
    with store.locked():
        store.save(store.get(name).without(sorted(set(rows)), ERASURE_CODES.index(why)))
    _finish(home, store, name, as_json=as_json)


def _finish(home: "Home", store: "DataStore", name: str, *, as_json: bool) -> None:
    """Have the node sign what the ledger does not know yet, and print the data set."""
    from p2pverify.cli.errors import CliError

    try:
        with store.locked():
            own = _told(home, store, store.get(name))
    except CliError as error:
        error.hint = f"{error.hint}; then call 'p2pverify data publish {name}'"
        raise
    if as_json:
        click.echo(json.dumps({"schema": "p2pverify/own-dataset/1", **_summary(own)}))
    else:
        shown = _summary(own)
        keys = ("name", "rows", "erased", "root", "record")
        click.echo(pairs((key, shown[key]) for key in keys))


def _told(home: "Home", store: "DataStore", own: "OwnDataset") -> "OwnDataset":
    """Publish the data set or the erasures in it, and note each record as soon as it is signed."""
    from dataclasses import replace

    from p2pverify.cli.setup.init import own_key
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.core.records.payloads.data import Erasure

    if not own.record:
        known = client.get(home, "/v1/datasets?view=provisional", DatasetsDocument).document.datasets
        mine = [one for one in known if one.owner == peer_id(own_key(home)) and one.first_root == own.said.root.hex()]
        record = bytes.fromhex(mine[0].id) if mine else order(home, "dataset", own.said.encode())
        own = replace(own, record=record, told=bytes.fromhex(mine[0].root) if mine else own.said.root)
        store.save(own)
    if own.told != own.root:
        order(home, "erasure", Erasure(own.record, own.root, own.left, own.code).encode())
        own = replace(own, told=own.root)
        store.save(own)
    return own


def _summary(own: "OwnDataset") -> dict[str, object]:
    said = own.said
    return {
        "name": own.name,
        "record": own.record.hex() or None,
        "root": own.root.hex(),
        "is_told": own.told == own.root,
        "rows": own.left,
        "erased": len(own.rows) - own.left,
        "first_root": said.root.hex(),
        **_columns(own.schema),
        "row_schema": said.schema.hex(),
        "licence": said.licence,
        "basis": BASES[said.basis],
        "parents": [parent.hex() for parent in said.parents],
        "recipe": None if said.recipe is None else said.recipe.hex(),
        "card": said.card.hex(),
        "until_epoch": said.until,
        "train": None if said.terms is None else TRAIN_MODES[said.terms.mode],
        "held": None if said.terms is None else said.terms.held,
        "budget": None if said.terms is None else said.terms.budget,
        "holds": own.holds,
    }


def _columns(schema: "RowSchema") -> dict[str, object]:
    """What rows of a schema have."""
    from p2pverify.core.data.texts import TextSchema

    if isinstance(schema, TextSchema):
        return {"text": schema.column}
    return {"features": [feature.name for feature in schema.features], "label": schema.label}


def _values(schema: "RowSchema", row: bytes) -> dict[str, object]:
    """What one row has."""
    from p2pverify.core.data.texts import TextSchema

    if isinstance(schema, TextSchema):
        return {"text": schema.text(row)}
    cells, label = schema.cells(row)
    names = (feature.name for feature in schema.features)
    return {"values": dict(zip(names, cells, strict=True)), "label": schema.labels[label]}


def _row(own: "OwnDataset", place: int) -> dict[str, object]:
    proof = own.proof(place)
    return {
        "place": place,
        **_values(own.schema, proof.row),
        "bytes": proof.row.hex(),
        "salt": proof.salt.hex(),
        "path": [each.hex() for each in proof.path],
        "holds": proof.root(len(own.rows)) == own.root,
    }


def _flat(document: dict[str, object]) -> list[tuple[str, object]]:
    """The members of a document as names and values for people."""
    found: list[tuple[str, object]] = []
    for key, value in document.items():
        if isinstance(value, dict):
            found += [(f"{key} {name}", inner) for name, inner in _flat(value)]
        elif isinstance(value, list) and key not in _LEFT_OUT:
            found.append((key, ", ".join(map(str, value))))
        elif key not in _LEFT_OUT:
            found.append((key, value))
    return found


def _offered(found: Sequence[DatasetDocument]) -> str:
    if not found:
        return "no member offers data"
    from p2pverify.node.reports.shown import short_ids

    names = short_ids({one.owner for one in found})
    rows = [(names[one.owner], one.rows, one.erased, one.licence, one.basis, one.until_epoch, one.id) for one in found]
    head = ("OWNER", "ROWS", "ERASED", "LICENCE", "BASIS", "UNTIL", "RECORD")
    return table(head, rows, width=terminal_width(), cut=("LICENCE", "RECORD"))
