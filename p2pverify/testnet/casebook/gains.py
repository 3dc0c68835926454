"""What a cheat gains: the work that it saves, and the pay that it gets beside others."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from p2pverify.core.settle.books import Account, Books
from p2pverify.core.state.rounds.notes import NO_ROUNDS, ClosedRound
from p2pverify.core.state.state import State
from p2pverify.testnet.casebook.entries import Pay, Simulated
from p2pverify.testnet.cases.checks import UNPAID_SHARE
from p2pverify.testnet.world import World

LINE = 0


@dataclass(frozen=True, slots=True)
class Gains:
    """The gains of the hostile peers of a world, as means (millionths of a credit).

    `saved` is the share of an honest peer's work in rounds that they do without; None in a world without rounds. Beside
    `paid` stands what honest peers got for the same work. In a world without rounds `paid` is all that they have, and
    `usual` what they have in the same world if they do not cheat.
    """

    saved: float | None
    paid: float
    usual: float


def gains_of(entry: Simulated, world: World, final: State, keys: list[bytes], control: World | None) -> Gains | None:
    """The gains in a world that was played. None if nothing is paid in it. `control` is the world without the cheat."""
    books = final.books
    if books is None:
        return None
    if entry.pay == "all":
        assert control is not None
        usual = control.honest[0].machine.fold.latest.books
        assert usual is not None
        return Gains(None, _mean(books, keys, "all"), _mean(usual, keys, "all"))
    training, rule = world.training, world.network.lines[LINE].training
    assert training is not None
    assert rule is not None
    others = [peer.key for peer in world.honest]
    if entry.pay == "training":
        others = [key for key in others if rule.house_of(key) is not None]
    done = training.passes_in if entry.pay == "training" else training.judged_in
    saved = 1 - fmean(map(done, keys)) / fmean(map(done, others))
    return Gains(saved, _mean(books, keys, entry.pay), _mean(books, others, entry.pay))


def mean_gains(found: Sequence[Gains]) -> Gains | None:
    """The mean over several worlds of one entry; None if there are none."""
    if not found:
        return None
    saved = [one.saved for one in found if one.saved is not None]
    return Gains(fmean(saved) if saved else None, fmean(g.paid for g in found), fmean(g.usual for g in found))


def _mean(books: Books, keys: list[bytes], what: Pay | None) -> float:
    return fmean(_pay(books.account(key), what) for key in keys)


def _pay(account: Account, what: Pay | None) -> int:
    if what == "all":
        return account.vested + sum(account.escrow.values())
    return account.training if what == "training" else account.votes


def money_faults(final: State) -> list[str]:
    """Sentences about books that do not add up."""
    books = final.books
    if books is None:
        return []
    total = books.pool + sum(_pay(account, "all") for account in books.accounts.values())
    return [f"the sum of all accounts is {total}"] if total else []


def has_gain_of_its_fate(entry: Simulated, final: State, keys: list[bytes], gains: Gains) -> bool:
    """Whether the pay of hostile peers is that of their fate."""
    rounds = final.rounds.get(LINE, NO_ROUNDS)
    assert final.books is not None
    match entry.rule.fate:
        case "unpaid":
            whole = sum(account.training for account in final.books.accounts.values())
            return whole > 0 and gains.paid <= UNPAID_SHARE * whole
        case "uncounted":
            counted = [sum(key in _authors(each) for each in rounds.closed) for key in keys]
            return all(count < rounds.decided for count in counted)
        case _:
            return gains.paid <= gains.usual


def _authors(closed: ClosedRound) -> set[bytes]:
    return {each.row.author for each in closed.contributions}
