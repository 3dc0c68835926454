"""The settlement of one cut: pay for duties, forfeits, what vests, dues, and training rounds.

All events of a cut count at once, so their order does not matter. Protocol page: protocol/settle.md.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from p2pverify.core.settle.books import POOL, Cause, MoneyPart, MoveReason
from p2pverify.core.settle.posting import Posting
from p2pverify.core.settle.rounds import DecidedRound, pay_round
from p2pverify.core.settle.split import apportion

#: The names of the sums in an account, by what is paid for.
_SUMS = {MoveReason.ANSWER: "answers", MoveReason.AUDIT: "audits", MoveReason.VOTE: "votes"}


class Earned(NamedTuple):
    """Something that a cut shows of a peer: an answer, audit or vote to be paid, or a dissent. It names its cause."""

    what: MoveReason
    peer: bytes
    cause: Cause


@dataclass(frozen=True, slots=True)
class CutFacts:
    """What a cut at an epoch settles.

    `payers` are the members with weight at the cut's base that are not convicted. `convicted` became so with this cut.
    `may_earn` are the keys that a round may pay.
    """

    epoch: int
    payers: frozenset[bytes]
    convicted: frozenset[bytes]
    may_earn: frozenset[bytes]
    earned: Sequence[Earned] = ()
    rounds: Sequence[DecidedRound] = ()


def settle_cut(posting: Posting, facts: CutFacts) -> None:
    """Settle a cut, before its own pledges, cheques and payments."""
    books, limit = posting.books, posting.tariff.limit
    even = sorted(peer for peer in facts.payers if not books.is_indebted(peer, limit))
    _pay_duties(posting, facts, frozenset(even))
    dissents = Counter(each.peer for each in facts.earned if each.what is MoveReason.DISSENT)
    for peer in sorted(dissents):
        posting.forfeit(peer, dissents[peer] * posting.tariff.dissent, MoveReason.DISSENT)
    for peer in sorted(facts.convicted):
        posting.forfeit(peer, None, MoveReason.CONVICTION)
    posting.vest(facts.epoch)
    _take_dues(posting, even)
    for decided in sorted(facts.rounds, key=lambda each: (each.line, each.number)):
        rows = [each for each in decided.contributions if each.author in facts.may_earn]
        pay_round(posting, decided, facts.epoch, rows)


def _pay_duties(posting: Posting, facts: CutFacts, even: frozenset[bytes]) -> None:
    """Put the pay for duties into escrow, from the pool."""
    tariff = posting.tariff
    prices = {MoveReason.ANSWER: tariff.answer, MoveReason.AUDIT: tariff.audit, MoveReason.VOTE: tariff.vote}
    paid = [each for each in facts.earned if each.what in prices and each.peer in even]
    counts: dict[bytes, Counter[MoveReason]] = {}
    for what, peer, _ in paid:
        counts.setdefault(peer, Counter())[what] += 1
    for peer in sorted(counts):
        amounts = {_SUMS[what]: count * prices[what] for what, count in counts[peer].items()}
        posting.hold(peer, POOL, sum(amounts.values()), facts.epoch, **amounts)
        posting.books.pool -= sum(amounts.values())
    for what, peer, cause in sorted(paid, key=repr) if posting.is_recorded else ():
        posting.note(peer, MoneyPart.ESCROW, prices[what], what, cause)
        posting.note(POOL, MoneyPart.VESTED, -prices[what], what, cause)


def _take_dues(posting: Posting, even: Sequence[bytes]) -> None:
    """Let the pool take in equal parts what it has paid out and what has vested. Nobody owes more than it may.

    What nobody can pay is owed at a later cut.
    """
    books, limit = posting.books, posting.tariff.limit
    held = sum(
        amount for account in books.accounts.values() for (_, source), amount in account.escrow.items() if not source
    )
    owed = -(books.pool + held)
    if owed <= 0:
        return
    for peer, part in apportion(owed, dict.fromkeys(even, 1)).items():
        due = min(part, books.room(peer, limit))
        if due > 0:
            posting.vested(peer, -due, MoveReason.DUES)
            posting.pool(due, MoveReason.DUES)
