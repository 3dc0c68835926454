"""Stories of cuts in the form of `protocol/vectors/settle`, told to the books of the package."""

from typing import Any

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.settle.books import AccountRow, Books, Claim, Movement, MoveReason, Pledge, account_rows
from p2pverify.core.settle.cut import CutFacts, Earned, settle_cut
from p2pverify.core.settle.posting import Posting
from p2pverify.core.settle.rounds import Contribution, DecidedRound
from p2pverify.core.settle.rules import forget, owed, refuse_credit, refuse_offer

Story = dict[str, Any]


def tariff_of(story: Story) -> Tariff:
    curves = {name: tuple(map(tuple, story["tariff"][name])) for name in ("rows_curve", "late_curve")}
    return Tariff(**{**story["tariff"], **curves})


def _keys(texts: list[str]) -> frozenset[bytes]:
    return frozenset(map(bytes.fromhex, texts))


class Teller:
    """Tells a story to books, cut by cut. `movements` are those of all cuts."""

    def __init__(self, tariff: Tariff) -> None:
        self.books = Books()
        self.movements: list[Movement] = []
        self._tariff = tariff
        self._convicted: frozenset[bytes] = frozenset()

    def tell(self, cut: Story) -> list[str]:
        """Settle one cut; returns why records of it do not count."""
        self.books = self.books.copy()
        posting = Posting(self.books, self._tariff, self.movements.append)
        rows, convicted, weighted = _keys(cut["rows"]), _keys(cut["convicted"]), _keys(cut["weighted"])
        earned = [Earned(MoveReason(what), bytes.fromhex(key), None) for what, key in cut.get("earned", [])]
        rounds = [_round(each) for each in cut.get("rounds", [])]
        payers = (_keys(cut["base"]) & rows) - convicted
        new, self._convicted = convicted - self._convicted, convicted
        settle_cut(posting, CutFacts(cut["epoch"], payers, new, rows - convicted, earned, rounds))
        may = weighted - convicted
        refused = [_pledge(posting, may, *each) for each in cut.get("pledges", [])]
        refused += [_cheque(posting, may, cut["epoch"], *each) for each in cut.get("cheques", [])]
        refused += [_payment(posting, *each) for each in cut.get("payments", [])]
        forget(posting, cut["epoch"], rows, _keys(cut["had_weight"]), convicted)
        return [reason for reason in refused if reason]

    @property
    def rows(self) -> tuple[AccountRow, ...]:
        return account_rows(self.books)


def _round(told: Story) -> DecidedRound:
    contributions = [Contribution(bytes.fromhex(key), *rest) for key, *rest in told["contributions"]]
    return DecidedRound(**{**told, "contributions": contributions})


def _pledge(posting: Posting, may: frozenset[bytes], line: int, sponsor: str, *numbers: int) -> str | None:
    key = (line, bytes.fromhex(sponsor))
    if key[1] not in may:
        return "author has no weight"
    refused = refuse_offer(posting.books, posting.tariff, key, Pledge(*numbers))
    if refused is None:
        posting.books.pledges[key] = Pledge(*numbers)
    return refused


def _cheque(
    posting: Posting, may: frozenset[bytes], epoch: int, one: str, two: str, until: int, cumulative: int, count: int
) -> str | None:
    creditor, debtor = map(bytes.fromhex, (one, two))
    if creditor not in may:
        return "author has no weight"
    refused = refuse_credit(posting.books, epoch, creditor, (debtor, until), Claim(cumulative, count))
    if refused is None:
        posting.credit(creditor, (debtor, until), cumulative, count, epoch)
    return refused


def _payment(posting: Posting, one: str, two: str, amount: int) -> str | None:
    creditor, debtor = map(bytes.fromhex, (one, two))
    if amount > owed(posting.books, posting.tariff, creditor, debtor):
        return "more than is owed"
    posting.pay(creditor, debtor, amount)
    return None


def play(story: Story) -> list[Story]:
    """What each cut of a story leaves, and why records of it do not count."""
    teller, found = Teller(tariff_of(story)), []
    for cut in story["cuts"]:
        refused = teller.tell(cut)
        rows = [[row.key.hex(), *row.to_value()[1:]] for row in teller.rows]
        found.append({"rows": rows, "refused": refused})
    return found
