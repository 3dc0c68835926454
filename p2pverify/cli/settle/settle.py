"""`settle`: the accounts of a verified ledger, their movements, and who pays whom."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.errors import CliError
from p2pverify.cli.output import document_date_s
from p2pverify.cli.params import InputFile
from p2pverify.cli.settle.orders import cheque, pledge, receive
from p2pverify.cli.table import table, terminal_width
from p2pverify.node.settle.documents import AccountDocument, MovementsDocument, NettingDocument

if TYPE_CHECKING:
    from p2pverify.cli.show.held import Held
    from p2pverify.core.state.state import State

_POOL = "pool"
_MONEY = ("vested", "escrow", "answers", "audits", "votes", "training", "forfeited", "claims")
_COLUMNS = ("peer", *_MONEY, "indebted")
_NO_TARIFF = "'p2pverify network new --tariff FILE' makes a network that keeps accounts"
ledger_option = click.option(
    "--ledger", type=InputFile(), metavar="FILE", help="An export, instead of the records of this home."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(invoke_without_command=True)
@click.option("--peer", metavar="PEER_ID", help="One account alone.")
@ledger_option
@json_option
@click.pass_context
def settle(context: click.Context, peer: str | None, ledger: Path | None, as_json: bool) -> None:
    """Show who earned and owes what, by the newest certified cut. All records are verified first.

    VESTED is what a peer has among all others, and below 0 what it owes. ESCROW vests later, and is forfeited for lies.
    CLAIMS are owed by cheques of clients. The sum over all accounts is 0.

    Exit 5 if the ledger does not verify.
    """
    if context.invoked_subcommand is not None:
        return
    from p2pverify.node.reports.documents.jsonform import written
    from p2pverify.node.settle.report import accounts_document

    held = _held(ledger)
    document = accounts_document(held.fold.network, _state(held), final=True)
    chosen = document.accounts if peer is None else tuple(one for one in document.accounts if one.peer == peer)
    if peer is not None and not chosen:
        raise CliError(f"there is no account of {peer}", "'p2pverify settle' shows all accounts")
    if as_json:
        click.echo(json.dumps({**_plain(written(document)), "accounts": [_plain(written(one)) for one in chosen]}))
        return
    click.echo(f"cut {(document.cut or '')[:12]} of epoch {document.epoch}, in {document.unit}")
    click.echo(_accounts(chosen))
    click.echo(f"sum of all accounts: {_shown(document.sum)}")


@settle.command("explain")
@click.argument("peer")
@ledger_option
@json_option
def explain_account(peer: str, ledger: Path | None, as_json: bool) -> None:
    """Show every movement of the account of PEER (a peer id, or 'pool'), with the slot or record that it comes from."""
    from p2pverify.core.replica.explain import explain
    from p2pverify.node.reports.documents.jsonform import written
    from p2pverify.node.settle.report import movements_document

    key = _key(peer)
    held = _held(ledger).with_all()
    fold = held.fold
    found = explain(fold.network, fold.ledger.records(), key, fold.genesis, held.cut)
    document = movements_document(fold.network, held.cut, found)
    click.echo(json.dumps(written(document)) if as_json else _movements(document))


@settle.command("netting")
@ledger_option
@json_option
def net(ledger: Path | None, as_json: bool) -> None:
    """Show who pays whom, so that all that has vested is even. Nothing is paid by this.

    Duties, dues and training are netted among all, with at most one transfer less than there are accounts. What a
    client owes by cheques, it owes to one creditor. A creditor says that it was paid with a payment record.
    """
    from p2pverify.node.reports.documents.jsonform import written

    document = _netting(_held(ledger))
    click.echo(json.dumps(written(document)) if as_json else _transfers(document))


for _order in (pledge, cheque, receive):
    settle.add_command(_order)


def _export_accounts_csv(held: "Held") -> str:
    return _csv(_COLUMNS, _accounts_of(held)["accounts"])


def _export_accounts_json(held: "Held") -> str:
    return json.dumps(_accounts_of(held)) + "\n"


def _accounts_of(held: "Held") -> dict[str, Any]:
    from p2pverify.node.reports.documents.jsonform import written
    from p2pverify.node.settle.report import accounts_document

    return _plain(written(accounts_document(held.fold.network, _state(held), final=True)))


def _export_netting(held: "Held") -> str:
    from p2pverify.node.reports.documents.jsonform import written

    return _csv(("debtor", "creditor", "amount", "owed_by"), _plain(written(_netting(held)))["transfers"])


def _export_beancount(held: "Held") -> str:
    from p2pverify.core.replica.explain import explain_books
    from p2pverify.interop.beancount import write_beancount

    fold = held.with_all().fold
    return write_beancount(fold.network, explain_books(fold.network, fold.ledger.records(), fold.genesis, held.cut))


def _export_pain001(held: "Held") -> str:
    from p2pverify.interop.pain001 import write_pain001

    return write_pain001(_netting(held), held.fold.network.name, document_date_s())


_EXPORTS = {
    "csv": _export_accounts_csv,
    "json": _export_accounts_json,
    "netting": _export_netting,
    "beancount": _export_beancount,
    "pain.001": _export_pain001,
}


@settle.command("export")
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(_EXPORTS)),
    default="csv",
    show_default=True,
    help="Accounts as CSV or JSON, transfers as CSV, a journal of all movements, or transfers for banks.",
)
@ledger_option
def export(form: str, ledger: Path | None) -> None:
    """Write the accounts, their movements, or the transfers of 'netting', for another program.

    CSV has amounts in millionths. Beancount checks the journal to the millionth. ISO 20022's pain.001 needs a tariff in
    a currency, and people who put in the bank accounts. SOURCE_DATE_EPOCH (Unix seconds) sets its date.
    """
    held = _held(ledger)
    click.echo(_EXPORTS[form](held), nl=False)


def _held(ledger: Path | None) -> "Held":
    """The verified ledger of a network with a tariff. Raises CliError for another one."""
    from p2pverify.cli.show.held import recompute

    held = recompute(ledger, None)
    if held.fold.network.tariff is None:
        raise CliError("this network has no tariff, so it keeps no accounts", _NO_TARIFF)
    return held


def _state(held: "Held") -> "State":
    state = held.fold.state(held.cut)
    assert state is not None  # the cut was verified
    return state


def _netting(held: "Held") -> NettingDocument:
    from p2pverify.node.settle.report import netting_document

    return netting_document(held.fold.network, _state(held))


def _key(text: str) -> bytes:
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.errors import DecodeError
    from p2pverify.core.settle.books import POOL

    if text == _POOL:
        return POOL
    try:
        return key_of(text)
    except DecodeError:
        raise click.BadParameter("give a peer id, or 'pool'", param_hint="PEER") from None


def _plain(document: Any) -> dict[str, Any]:
    assert isinstance(document, dict)
    return document


def _shown(amount: int) -> str:
    from p2pverify.node.reports.shown import in_units

    return in_units(amount)


def _accounts(accounts: tuple[AccountDocument, ...]) -> str:
    rows = [
        (one.peer or _POOL, *(_shown(getattr(one, name)) for name in _MONEY), "indebted" if one.indebted else "")
        for one in accounts
    ]
    head = ("PEER", *(name.upper() for name in _MONEY), "NOTE")
    return table(head, rows, width=terminal_width(), cut=("PEER",))


def _movements(document: MovementsDocument) -> str:
    rows = [
        (one.epoch, one.reason, one.part, _shown(one.amount), _cause(one.slot, one.record, one.cut))
        for one in document.movements
    ]
    found = table(
        ("EPOCH", "REASON", "PART", "AMOUNT", "COMES FROM"), rows, width=terminal_width(), cut=("COMES FROM",)
    )
    end = document.account
    return f"{found}\n\nvested {_shown(end.vested)}, escrow {_shown(end.escrow)}, claims {_shown(end.claims)}"


def _cause(slot: Any, record: str | None, cut: str) -> str:
    if slot is not None:
        return f"slot {slot.slot} of epoch {slot.epoch} of {slot.challenger}"
    return f"cut {cut}" if record is None else f"record {record}"


def _transfers(document: NettingDocument) -> str:
    if not document.transfers:
        return "nobody owes anything that has vested"
    rows = [
        (one.debtor or "escrow", one.creditor or "escrow", _shown(one.amount), one.owed_by)
        for one in document.transfers
    ]
    return table(("DEBTOR", "CREDITOR", "AMOUNT", "BY"), rows, width=terminal_width(), cut=("DEBTOR", "CREDITOR"))


def _csv(names: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row.get(name) is None else row[name] for name in names} for row in rows)
    return text.getvalue()
