"""Transfers as a customer credit transfer of ISO 20022: pain.001.001.09, which banks take from their customers.

A network knows no bank accounts. People put them in, and each debtor sends its own part to its bank.
https://www.iso20022.org/iso-20022-message-definitions
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree import ElementTree as ET

from p2pverify.interop.facts import TOOL
from p2pverify.interop.foreign import ForeignError
from p2pverify.node.settle.documents import NettingDocument

MILLION = 1_000_000
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
#: The scheme of the accounts that people replace (at most 35 characters).
SCHEME = f"{TOOL} peer: put in an IBAN"
#: `Othr/Id` takes 34 characters of the 52 of a peer id: these are the last ones.
ACCOUNT_CHARS_MAX = 34
#: Currencies of ISO 4217 that do not have two digits behind the point, by their number of digits.
_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
#: What XML 1.0 does not have, also not as a reference.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Order(NamedTuple):
    """One payment. `amount` is a whole number of the currency's least amounts."""

    number: int
    creditor: str
    amount: int
    owed_by: str


def write_pain001(netting: NettingDocument, name: str, made_s: int) -> str:
    """The document's XML, for a network of this name, made at a Unix time (s).

    Amounts are rounded down to the currency's least amount; the rest stays owed. Transfers to and from escrow are left
    out, because nobody can be paid yet. Raises ForeignError if the unit is no currency, or nothing is left.
    """
    currency = netting.unit
    if not re.fullmatch("[A-Z]{3}", currency):
        reason = f"the unit {currency!r} of the tariff is no currency code of ISO 4217, so banks cannot transfer it"
        raise ForeignError(reason, "'p2pverify settle export --format netting' has the transfers")
    digits = next((count for count, names in _DIGITS.items() if currency in names.split()), 2)
    least = MILLION // 10**digits
    orders: dict[str, list[_Order]] = {}
    number = 0
    for each in netting.transfers:
        if each.debtor is not None and each.creditor is not None and each.amount >= least:
            number += 1
            order = _Order(number, each.creditor, each.amount // least, each.owed_by)
            orders.setdefault(each.debtor, []).append(order)
    if not orders:
        raise ForeignError("no peer owes another one what a bank can transfer", "'p2pverify settle netting' shows all")
    root = ET.Element("Document", xmlns=NAMESPACE)
    message = ET.SubElement(root, "CstmrCdtTrfInitn")
    header = ET.SubElement(message, "GrpHdr")
    made = datetime.fromtimestamp(made_s, UTC)
    _add(header, "MsgId", netting.cut[:32])
    _add(header, "CreDtTm", made.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add_sums(header, [order for group in orders.values() for order in group], digits)
    _add(header, "InitgPty/Nm", name or TOOL)
    for at, (debtor, group) in enumerate(orders.items(), start=1):
        part = ET.SubElement(message, "PmtInf")
        _add(part, "PmtInfId", f"{netting.cut[:24]}-{at}")
        _add(part, "PmtMtd", "TRF")
        _add_sums(part, group, digits)
        _add(part, "ReqdExctnDt/Dt", made.date().isoformat())
        _add_party(part, "Dbtr", debtor)
        _add(part, "DbtrAgt/FinInstnId/Othr/Id", "NOTPROVIDED")
        for order in group:
            _add_order(part, order, netting, digits)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    left_out = _left_out(len(netting.transfers) - number)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!--\n{_NOTE}{left_out}-->\n{text}\n'


_NOTE = """\
  NOT READY TO SEND: people put in the bank accounts.
  Each PmtInf is of one debtor, who sends it to its own bank. Replace each Id/Othr of DbtrAcct and CdtrAcct by Id/IBAN.
  Othr/Id has the last 34 characters of the peer id that stands in Nm. Put names of people or companies there.
  Put the bank's BIC in DbtrAgt if the bank asks for it.
  Amounts are rounded down to what banks transfer, and the rest stays owed. After the payment, the creditor publishes a
  payment record with the amount that it got.
"""


def _left_out(count: int) -> str:
    return f"  Left out, because nobody can be paid or the amount is too small: {count}.\n" if count else ""


def _add(parent: ET.Element, path: str, text: str, **attributes: str) -> None:
    """Add elements, each within the one before; the last one has the text."""
    for tag in path.split("/"):
        parent = ET.SubElement(parent, tag)
    parent.text = _NO_XML.sub("?", text)
    parent.attrib.update(attributes)


def _add_sums(parent: ET.Element, orders: Sequence[_Order], digits: int) -> None:
    _add(parent, "NbOfTxs", str(len(orders)))
    _add(parent, "CtrlSum", _shown(sum(order.amount for order in orders), digits))


def _add_party(parent: ET.Element, tag: str, peer: str) -> None:
    """A party with its account."""
    _add(parent, f"{tag}/Nm", peer)
    other = parent
    for inner in (f"{tag}Acct", "Id", "Othr"):
        other = ET.SubElement(other, inner)
    _add(other, "Id", peer[-ACCOUNT_CHARS_MAX:])
    _add(other, "SchmeNm/Prtry", SCHEME)


def _add_order(parent: ET.Element, order: _Order, netting: NettingDocument, digits: int) -> None:
    payment = ET.SubElement(parent, "CdtTrfTxInf")
    _add(payment, "PmtId/EndToEndId", f"{netting.cut[:24]}-{order.number}")
    _add(payment, "Amt/InstdAmt", _shown(order.amount, digits), Ccy=netting.unit)
    _add_party(payment, "Cdtr", order.creditor)
    about = f"{TOOL} network {netting.network[:12]}, cut {netting.cut[:12]}, epoch {netting.epoch}, {order.owed_by}"
    _add(payment, "RmtInf/Ustrd", about)


def _shown(amount: int, digits: int) -> str:
    """A number of the currency's least amounts as a decimal number."""
    whole, rest = divmod(amount, 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)
