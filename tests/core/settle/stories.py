"""Stories of cuts in the form of `protocol/vectors/settle`, told to the books of the package."""

import random
from collections import Counter
from dataclasses import asdict
from typing import Any

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.settle.books import AccountRow, Books, Claim, Movement, MoveReason, Pledge, account_rows
from p2pverify.core.settle.cut import CutFacts, Earned, settle_cut
from p2pverify.core.settle.posting import Posting
from p2pverify.core.settle.rounds import Contribution, DecidedRound
from p2pverify.core.settle.rules import forget, owed, refuse_credit, refuse_offer
from tests.support.money import TARIFF

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


KEYS = [sha256(b"%d" % number).hex() for number in range(7)]
#: A tariff in which limits, curves and steps are reached within a few cuts.
NARROW = {**asdict(TARIFF), "vest_epochs": 3, "limit": 60_000, "dissent": 9_000}


def random_story(rng: random.Random, cuts: int = 14) -> Story:
    """A story in which peers work, cheat, leave, owe and pay, and clients without rows sign cheques."""
    members, clients = KEYS[:5], KEYS[5:]
    gone: set[str] = set()
    convicted: set[str] = set()
    told, epoch, counts = [], 0, Counter[tuple[str, str]]()
    base = members
    for number in range(cuts):
        epoch += rng.choice((1, 1, 1, 2, 5))
        if rng.random() < 0.1:
            convicted.add(rng.choice(members))
        if rng.random() < 0.1:
            gone.add(rng.choice(members))
        if rng.random() < 0.1 and gone:
            gone.discard(rng.choice(sorted(gone)))
        rows = sorted(set(members) - gone)
        weighted = [key for key in rows if key not in convicted or rng.random() < 0.5]
        cut: dict[str, Any] = {"epoch": epoch, "base": base, "rows": rows, "weighted": weighted}
        cut["had_weight"] = members[:4]
        cut["convicted"] = sorted(convicted - gone)
        what = ("answer", "audit", "vote", "dissent")
        cut["earned"] = [[rng.choice(what), rng.choice(members)] for _ in range(rng.randrange(9))]
        cut["rounds"] = [_random_round(rng, number // 3)] if rng.random() < 0.4 else []
        cut["pledges"] = [
            [rng.randrange(2), rng.choice(members), rng.choice((1, 7_000, 20_000, 70_000)), *_numbers(rng, number // 3)]
            for _ in range(rng.randrange(3))
        ]
        cut["cheques"] = []
        for _ in range(rng.randrange(3)):
            pair = rng.choice(members), rng.choice([*clients, members[0]])
            counts[pair] += rng.choice((0, 1, 1, 2))
            until = rng.choice((6, 20, 2**21)) if rng.random() < 0.9 else 2**30
            if pair[0] != pair[1]:
                cut["cheques"].append([*pair, until, 900 * counts[pair] + 1, counts[pair] + 1])
        cut["payments"] = [[*rng.sample(KEYS, 2), rng.choice((1, 900, 5_000, 40_000))] for _ in range(rng.randrange(5))]
        told.append(cut)
        base = weighted
    return {"tariff": NARROW, "cuts": told}


def _numbers(rng: random.Random, about: int) -> tuple[int, int]:
    first = max(0, about + rng.randrange(-1, 3))
    return first, first + rng.randrange(3)


def _random_round(rng: random.Random, number: int) -> Story:
    authors = rng.sample(KEYS, 4)
    return {
        "line": rng.randrange(2),
        "number": number,
        "gain": rng.choice((-5, 0, 90, 150, 12_000, 50_000)),
        "gain_min": 100,
        "gain_full": 20_000,
        "contributions": [[key, rng.randrange(-500, 9_000), rng.randrange(150), rng.randrange(6)] for key in authors],
    }
