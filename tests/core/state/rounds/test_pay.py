"""What a decided round pays, in a network with a tariff."""

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.settle.books import POOL, account_rows
from p2pverify.core.state.state import State
from p2pverify.core.training.result import UpdateFinding
from tests.support.money import with_tariff
from tests.support.rounds import RoundStory

BOUNTY = 100_000


def training_pay(state: State) -> dict[bytes, int]:
    assert state.books is not None
    return {row.key: row.training for row in account_rows(state.books) if row.key != POOL}


def test_a_pledge_pays_right_updates_by_credit_and_nobody_else() -> None:
    """The sum of all accounts is 0 at every cut. An update that is not right is not paid."""
    story = RoundStory(change=with_tariff)
    sponsor = story.keys[-1]
    story.steps.say(sponsor, Kind.PLEDGE, PledgeOffer(0, BOUNTY, 1, 9).encode())
    story.sealed()
    story.opened()
    result = story.result(c0={"credit": 300}, c1={"finding": UpdateFinding.BROKEN, "credit": 0}, c2={"credit": -50})
    story.decided(dict.fromkeys(story.keys, result))
    paid = training_pay(story.state)
    zero, one, two, three, four = story.contributors
    pot = BOUNTY * result.gain // story.rule.gain_full
    assert paid[zero] > paid[three] == paid[four] > 0
    assert [paid.get(key, 0) for key in (one, two)] == [0, 0]
    assert sum(paid.values()) == pot
    assert story.state.books is not None
    assert sum(row.total for row in account_rows(story.state.books)) == 0


def test_votes_with_the_decision_are_paid_and_a_false_one_forfeits() -> None:
    story = RoundStory(change=with_tariff)
    story.sealed()
    story.opened()
    right, wrong = story.result(), story.result("other")
    story.decided({key: wrong if key == story.keys[-1] else right for key in story.keys})
    assert story.state.books is not None
    votes = {row.key: row.votes for row in account_rows(story.state.books) if row.key != POOL}
    assert {key for key, amount in votes.items() if amount} == set(story.keys[:-1])
    assert training_pay(story.state) == dict.fromkeys(votes, 0)
