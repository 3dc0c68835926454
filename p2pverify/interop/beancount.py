"""Accounts as a beancount 3 journal. Beancount then says whether they balance, to the millionth.

What a peer has, among all others or by cheques, is an asset. The pool is equity. https://beancount.github.io/docs/
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.replica.explain import CutMovement, ExplainedBooks
from p2pverify.core.settle.books import POOL, AccountRow, Cause, MoneyPart
from p2pverify.interop.facts import TOOL
from p2pverify.interop.foreign import ForeignError
from p2pverify.node.reports.shown import in_units

#: Words that beancount reads as values, not as commodities.
_VALUES = frozenset({"TRUE", "FALSE", "NULL"})
_DAY_MS = 86_400_000


def write_beancount(network: Network, books: ExplainedBooks) -> str:
    """The journal of all movements up to a cut. The network must have a tariff.

    There is one transaction for each cause at a cut: a slot, a record, or the cut itself and a reason. Its date is the
    day (UTC) on which the epoch of the cut began. Balances at the end are those of the view's rows. They are asserted
    with a tolerance of 0, because beancount accepts a difference of one millionth by default. Raises ForeignError if a
    date is out of range.
    """
    assert network.tariff is not None
    unit = commodity(network.tariff.unit)
    end = _day(network, books.epoch)
    begin = _day(network, books.movements[0].epoch) if books.movements else end
    rows = [*_amounts(books.opening), *_amounts(books.rows)]
    names = sorted({name for name, _ in rows} | {_name(each) for each in books.movements})
    closing = dict(_amounts(books.rows))
    lines = [
        f'option "title" "{TOOL}: accounts of network {network.id.hex()[:12]}, epoch {books.epoch}"',
        f'option "operating_currency" "{unit}"',
        "; Assets are what a peer has; below 0 is what it owes.",
        f"{begin} commodity {unit}",
        f"  name: {_quoted(network.tariff.unit)}",
        f'  network: "{network.id.hex()}"',
        *(f"{begin} open {name} {unit}" for name in names),
        *_transaction(begin, "opening", "what the network began with", (), _amounts(books.opening), unit),
        *_transactions(network, books.movements, unit),
        *(f"{end + timedelta(days=1)} balance {name}  {in_units(closing.get(name, 0))} ~ 0 {unit}" for name in names),
    ]
    return "\n".join(lines) + "\n"


def commodity(unit: str) -> str:
    """The unit of a tariff in beancount's alphabet: capital letters, digits and hyphens, a letter first."""
    text = re.sub(r"[^A-Z0-9]+", "-", unit.upper()).strip("-")
    return text if text[:1].isalpha() and text not in _VALUES else f"UNIT-{text}".rstrip("-")


def _day(network: Network, epoch: int) -> date:
    try:
        return date(1970, 1, 1) + timedelta(days=network.params.epoch_start_ms(epoch) // _DAY_MS)
    except OverflowError:
        raise ForeignError(f"the date of epoch {epoch} is after the year 9999", "check the network's genesis") from None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _account(key: bytes, part: MoneyPart) -> str:
    """An account's name. The alphabet of peer ids is within beancount's, and they begin with a digit."""
    return "Equity:Pool" if key == POOL else f"Assets:{peer_id(key)}:{part.value.capitalize()}"


def _name(told: CutMovement) -> str:
    return _account(told.movement.key, told.movement.part)


def _amounts(rows: Iterable[AccountRow]) -> list[tuple[str, int]]:
    """The accounts of rows in which something is, with their amounts."""
    found = [(_account(row.key, part), getattr(row, part)) for row in rows for part in MoneyPart]
    return [(name, amount) for name, amount in found if amount]


def _transactions(network: Network, movements: Iterable[CutMovement], unit: str) -> Iterator[str]:
    groups: dict[tuple[bytes, str, Cause], list[CutMovement]] = {}
    for each in movements:
        groups.setdefault((each.cut, str(each.movement.reason), each.movement.cause), []).append(each)
    for (cut, reason, cause), group in groups.items():
        epoch = group[0].epoch
        links = [cut, cause] if isinstance(cause, bytes) else [cut]
        postings = [(_name(each), each.movement.amount) for each in group]
        yield from _transaction(_day(network, epoch), reason, _told(cause, epoch), links, postings, unit)


def _told(cause: Cause, epoch: int) -> str:
    if isinstance(cause, tuple):
        challenger, asked, slot = cause
        return f"slot {slot} of epoch {asked} of {peer_id(challenger)}"
    return f"the cut of epoch {epoch}" if cause is None else f"record {cause.hex()}"


def _transaction(
    day: date, reason: str, told: str, links: Iterable[bytes], postings: Iterable[tuple[str, int]], unit: str
) -> Iterator[str]:
    """A transaction with the reason as payee; cut and record are links. One posting for an account, none of 0."""
    sums: dict[str, int] = {}
    for name, amount in postings:
        sums[name] = sums.get(name, 0) + amount
    moved = [f"  {name}  {in_units(amount)} {unit}" for name, amount in sorted(sums.items()) if amount]
    if moved:
        yield " ".join([f'{day} * "{reason}" "{told}"', *(f"^{link.hex()}" for link in links)])
        yield from moved
