"""Cheques between two machines' parts: what is on disk before what, crashes at any point, and what a creditor sees."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.events import AskFailed, Effect, Persist, Respond, ResponseArrived
from p2pverify.core.inference.question import RequestRefused
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.settle.money import Money
from p2pverify.core.settle.bills import ARREARS_EPOCHS
from p2pverify.core.settle.credit import DEFAULT_CREDIT, CreditLimits
from p2pverify.core.settle.exchange import (
    CHEQUE_BYTES_MAX,
    AnswerTaken,
    ChequeAnswer,
    ChequeArrived,
    Pay,
    StoredCredit,
    decode_cheque_answer,
    decode_sent_cheque,
    encode_cheque,
)
from tests.support.money import TARIFF, with_tariff
from tests.support.networks import make_network, seeds

SEEDS = seeds(3, "cheques")
NETWORK = with_tariff(make_network(SEEDS))
PRICE = TARIFF.answer
DEBTOR, CREDITOR, OTHER = (sign.public_key(each) for each in SEEDS)


@dataclass
class Side:
    """The money of one peer, and its disk. After a crash it starts again from its disk."""

    seed: bytes
    network: Network = NETWORK
    limits: CreditLimits = DEFAULT_CREDIT
    disk: dict[tuple[str, bytes], StoredCredit] = field(default_factory=dict)
    sent: list[Pay] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.context = Context(self.network, self.seed, 0)
        self.money = Money(self.context, self.limits)
        self.money.load(list(self.disk.values()))

    def run(self, effects: Iterator[Effect], crash_after: int = 1000) -> list[Effect]:
        """Carry out effects in their order until the crash. Returns those that left the peer."""
        left: list[Effect] = []
        for number, effect in enumerate(effects):
            if number >= crash_after:
                self.start()
                return left
            if isinstance(effect, Persist):
                for kept in effect.credit:
                    self.disk[kept.side, kept.peer] = kept
                    if not kept.data:
                        del self.disk[kept.side, kept.peer]
            else:
                left.append(effect)
        return left


def at(epoch: int, permille: int = 999) -> int:
    params = NETWORK.params
    return params.epoch_start_ms(epoch) + params.epoch_ms * permille // 1000


def answer(debtor: Side, creditor: Side, epoch: int, count: int = 1) -> None:
    """The creditor answers clients of the debtor's node."""
    for _ in range(count):
        creditor.money.creditor.check(debtor.context.key, at(epoch))
        kept = creditor.money.creditor.gave(debtor.context.key, at(epoch))
        creditor.run(iter([Persist(credit=kept)]))
        debtor.run(debtor.money.payer.owe(AnswerTaken(creditor.context.key), at(epoch)))


def pay(debtor: Side, creditor: Side, epoch: int, *, crashes: tuple[int, int, int] = (1000, 1000, 1000)) -> None:
    """The debtor's tick of an epoch and what follows. `crashes`: after how many effects each of three steps ends."""
    for send in debtor.run(debtor.money.payer.tick(at(epoch)), crashes[0]):
        assert isinstance(send, Pay)
        cheque = decode_sent_cheque(send.data)
        event = ChequeArrived(7, cheque, debtor.context.key)
        replies = creditor.run(creditor.money.creditor.receive(event, at(epoch)), crashes[1])
        outcome = [ResponseArrived(send.ask, each.data) for each in replies if isinstance(each, Respond)]
        arrived = outcome[0] if outcome else AskFailed(send.ask, "reset")
        debtor.run(debtor.context.ask_done(arrived, at(epoch)), crashes[2])


def held(creditor: Side, debtor: bytes = DEBTOR) -> int:
    """What the creditor's cheques say in all, by its disk."""
    fresh = Side(creditor.seed, creditor.network, creditor.limits, creditor.disk)
    tab = fresh.money.creditor.credit.tabs.get(debtor)
    return 0 if tab is None else sum(each.cumulative for each in tab.cheques)


def test_a_client_pays_what_it_got_once() -> None:
    debtor, creditor = Side(SEEDS[0]), Side(SEEDS[1])
    answer(debtor, creditor, 3, 5)
    answer(debtor, creditor, 4, 2)
    for epoch in range(3, 12):
        pay(debtor, creditor, epoch)
    assert held(creditor) == 7 * PRICE
    assert creditor.money.creditor.credit.uncovered(DEBTOR, 12) == 0
    bill = debtor.money.payer.bills[CREDITOR]
    assert (bill.open, bill.is_told, bill.cheque and bill.cheque.count) == (0, True, 2)


crashes = st.tuples(*[st.sampled_from([0, 1, 2, 1000])] * 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), crashes), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_no_crash_loses_or_doubles_a_millionth(
    story: list[tuple[int, tuple[int, int, int]]], restarts: list[bool]
) -> None:
    """Both sides can crash after each effect. In the end the cheques say what was owed, to the millionth."""
    debtor, creditor = Side(SEEDS[0]), Side(SEEDS[1])
    got = 0
    for epoch, (count, ends) in enumerate(story):
        answer(debtor, creditor, epoch, count)
        got += count
        pay(debtor, creditor, epoch, crashes=ends)
        if restarts[epoch]:
            debtor.start()
            creditor.start()
        assert held(creditor) <= got * PRICE
    for epoch in range(len(story), len(story) + 4):
        pay(debtor, creditor, epoch)
    assert held(creditor) == got * PRICE
    assert creditor.money.creditor.credit.uncovered(DEBTOR, len(story) + 4) == 0


def test_the_cheque_is_on_disk_before_it_leaves_and_before_it_is_answered() -> None:
    debtor, creditor = Side(SEEDS[0]), Side(SEEDS[1])
    answer(debtor, creditor, 3)
    effects = list(debtor.money.payer.tick(at(3 + ARREARS_EPOCHS)))
    assert [type(each) for each in effects] == [Persist, Pay]
    event = ChequeArrived(7, decode_sent_cheque(effects[1].data), DEBTOR)
    assert [type(each) for each in creditor.money.creditor.receive(event, at(5))] == [Persist, Respond]
    assert [type(each) for each in creditor.money.creditor.receive(event, at(5))] == [Respond]  # once more: no change


@pytest.mark.parametrize("epoch", range(2, 9))
def test_what_a_creditor_gets_by_an_epoch_does_not_depend_on_answers_since(epoch: int) -> None:
    """A payment tells nothing of the epoch that runs and of the one before: which requests were owed is secret then.

    Two histories differ in the requests of the last two epochs: a client's in one, owed in the other. The creditor
    gets the same bytes at the same time.
    """
    seen = []
    for clients in (0, 3):
        debtor = Side(SEEDS[0])
        creditor = Side(SEEDS[1])
        answer(debtor, creditor, 0, 2)
        sent = []
        for now in range(1, epoch + 1):
            if now > epoch - ARREARS_EPOCHS:
                answer(debtor, creditor, now, clients)
            for permille in range(0, 1000, 50):
                for effect in debtor.run(debtor.money.payer.tick(at(now, permille))):
                    assert isinstance(effect, Pay)
                    sent.append((now, permille, effect.data))
        seen.append(sent)
    assert seen[0] == seen[1]
    assert len(seen[0]) >= 1 if epoch >= ARREARS_EPOCHS else True


def test_members_are_paid_once_an_epoch_at_a_secret_time() -> None:
    """The time of a payment depends on the debtor's secret, the creditor and the epoch alone."""
    debtor = Side(SEEDS[0])
    times = set()
    for epoch in range(20):
        debtor.run(debtor.money.payer.owe(AnswerTaken(CREDITOR), at(epoch, 0)))
        due = []
        for permille in range(0, 1000, 20):
            due += [permille for _ in debtor.run(debtor.money.payer.tick(at(epoch, permille)))]
            debtor.money.payer._sending.clear()
        assert len(due) <= 1
        times.update(due)
    assert len(times) > 8


def test_a_peer_that_is_owed_too_much_refuses_whoever_asks() -> None:
    """It cannot tell an owed question from a client's, so both are refused alike."""
    debtor, creditor = Side(SEEDS[0]), Side(SEEDS[1], limits=CreditLimits(4, 2, 4, 1))
    answer(debtor, creditor, 3, 2)
    with pytest.raises(RequestRefused) as refused:
        creditor.money.creditor.check(DEBTOR, at(3))
    assert refused.value.code == "unpaid"
    creditor.money.creditor.check(CREDITOR, at(3))  # its own clients owe it nothing


def test_a_network_without_a_tariff_has_no_debts() -> None:
    plain = replace(NETWORK, tariff=None)
    debtor, creditor = Side(SEEDS[0], plain), Side(SEEDS[1], plain)
    answer(debtor, creditor, 3, 3)
    assert not debtor.disk
    assert not creditor.disk
    owing = Side(SEEDS[0])
    answer(owing, Side(SEEDS[1]), 3)
    (send,) = (each for each in owing.run(owing.money.payer.tick(at(5))) if isinstance(each, Pay))
    event = ChequeArrived(1, decode_sent_cheque(send.data), DEBTOR)
    (reply,) = creditor.run(creditor.money.creditor.receive(event, at(5)))
    assert isinstance(reply, Respond)
    assert decode_cheque_answer(reply.data) == ChequeAnswer("no tariff", None, 0)


def test_a_forged_answer_to_a_cheque_confirms_nothing() -> None:
    """A creditor that claims a greater cheque must show the debtor's signature."""
    debtor, creditor = Side(SEEDS[0]), Side(SEEDS[1])
    answer(debtor, creditor, 3)
    (send,) = (each for each in debtor.run(debtor.money.payer.tick(at(5))) if isinstance(each, Pay))
    sent = decode_sent_cheque(send.data)
    lie = ChequeAnswer("", replace(sent, cumulative=99 * PRICE, count=9), 0)
    debtor.run(debtor.context.ask_done(ResponseArrived(send.ask, lie.encode()), at(5)))
    assert not debtor.money.payer.bills[CREDITOR].is_told
    pay(debtor, creditor, 6)
    assert held(creditor) == PRICE


def test_a_debtor_that_comes_back_from_an_older_copy_pays_what_came_after() -> None:
    debtor, creditor = Side(SEEDS[0]), Side(SEEDS[1])
    answer(debtor, creditor, 0, 2)
    for epoch in range(4):
        pay(debtor, creditor, epoch)
    copy = dict(debtor.disk)
    answer(debtor, creditor, 4, 5)
    for epoch in range(4, 8):
        pay(debtor, creditor, epoch)
    assert held(creditor) == 7 * PRICE
    debtor.disk = copy
    debtor.start()
    answer(debtor, creditor, 8, 1)
    for epoch in range(8, 14):
        pay(debtor, creditor, epoch)
    assert held(creditor) == 8 * PRICE


def test_malformed_cheques_are_the_debtors_fault() -> None:
    for data in (b"", b"\xff", b"\x84" * 4, bytes(CHEQUE_BYTES_MAX + 1)):
        with pytest.raises(RemoteProtocolError):
            decode_sent_cheque(data)
    debtor = Side(SEEDS[0])
    answer(debtor, Side(SEEDS[1]), 0)
    list(debtor.money.payer.tick(at(2)))
    cheque = debtor.money.payer.bills[CREDITOR].cheque
    assert cheque is not None
    assert len(encode_cheque(replace(cheque, until=2**63 - 1, cumulative=2**40, count=2**63 - 1))) <= CHEQUE_BYTES_MAX
