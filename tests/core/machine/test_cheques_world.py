"""Clients of one peer ask another one in a simulated network with a tariff, until the cheques are on the ledger."""

from dataclasses import replace

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.events import AskFailed, Effects, ResponseArrived
from p2pverify.core.inference.question import Question, Request, encode_request, is_refusal, sign_request
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.settle.books import account_rows
from p2pverify.core.settle.credit import CreditLimits
from p2pverify.core.settle.exchange import AnswerTaken
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import ActorArgs, HonestActor
from p2pverify.testnet.world.peer.peer import Peer
from tests.support.money import TARIFF, with_tariff
from tests.support.worlds import casting, make_world

PRICE = TARIFF.answer
QUICK = CreditLimits(limit=1000, uncovered=100, strangers=10, cash=1)


class Quick(HonestActor):
    """A peer that puts each cheque on the ledger soon."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self.machine.money.creditor.credit.limits = QUICK


def paying_world(**tariff: object) -> World:
    return make_world(
        4,
        contract=lambda usual: with_tariff(usual, **tariff),
        make=casting({"honest": Quick}),
        slots_milli=2_000,
    )


class Client:
    """Clients of one peer, which ask others through it."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.world, self.peer = world, peer
        self.got = self.refused = self.asked = 0

    def ask(self, other: Peer) -> None:
        """One question, as the door of a node sends it."""
        context, other_key = self.peer.machine.context, other.key
        self.asked += 1
        seed = self.asked.to_bytes(16, "big")
        question = Question(next(iter(context.held)), (5, 6, 7), 8, 800, seed, context.key)
        epoch = context.params.epoch_at(self.world.now_ms)
        nonce = self.asked.to_bytes(32, "big")
        request = Request(context.network_id, context.key, other_key, question.id, nonce, epoch + 4)
        data = encode_request(request, question, sign_request(context.seed, request))

        def done(event: ResponseArrived | AskFailed, now_ms: int) -> Effects[None]:
            if isinstance(event, ResponseArrived) and not is_refusal(event.data):
                self.got += 1
                yield from self.peer.machine.money.payer.owe(AnswerTaken(other_key), now_ms)
            else:
                self.refused += 1

        for effect in context.send(other_key, data, self.world.now_ms + 60_000, 8, done):
            self.peer.carry_out(effect)


def test_clients_pay_by_cheques_that_come_onto_the_ledger() -> None:
    world = paying_world()
    payer, creditor = world.peers[0], world.peers[1]
    client = Client(world, payer)
    world.run_epochs(4)
    for epoch in range(5, 9):
        for _ in range(5):
            client.ask(creditor)
        if epoch == 7:  # both start again from their disks
            world.stop(payer)
            world.start(payer)
            world.stop(creditor)
            world.start(creditor)
        world.run_epochs(epoch)
    world.run_epochs(26)
    state = creditor.machine.fold.latest
    assert state.books is not None
    claims = state.books.claims[creditor.key]
    assert sum(claim.cumulative for claim in claims.values()) == client.got * PRICE
    assert client.got >= 15
    assert sum(row.total for row in account_rows(state.books)) == 0
    assert set(state.books.claims) == {creditor.key}  # owed questions cost their challengers nothing
    ledger = creditor.machine.context.ledger
    cheques = [record for record in ledger.records() if record.kind == Kind.CHEQUE]
    assert 1 <= len(cheques) <= 5
    audits = [audit_of(record) for record in ledger.records() if record.kind == Kind.AUDIT]
    assert any(each.challenger == payer.key for each in audits)
    uncovered = creditor.machine.money.creditor.credit.uncovered(payer.key, 26)
    assert uncovered <= 6 * PRICE  # what of the owed answers is not audited yet


def test_a_member_whose_clients_pay_nothing_is_refused_and_loses_nothing_else() -> None:
    """Its own challenges are refused too, because they look like its clients' requests."""

    class Stingy(Quick):
        def handle(self, event, now_ms):
            self.machine.money.payer._bills.clear()
            return super().handle(event, now_ms)

    world = make_world(
        4, contract=with_tariff, make=casting({"honest": Quick, "mute": Stingy}), kinds={0: "mute"}, slots_milli=2_000
    )
    client = Client(world, world.peers[0])
    world.run_epochs(4)
    for epoch in range(5, 12):
        for _ in range(30):
            client.ask(world.peers[1])
        world.run_epochs(epoch)
    assert client.got <= QUICK.uncovered + 12  # and what its audits took off
    assert client.refused >= 80
    members = world.peers[2].machine.fold.latest.members
    assert not any(member.is_convicted for member in members.values())


def test_a_tariff_without_a_price_has_no_cheques() -> None:
    world = paying_world(answer=0)
    client = Client(world, world.peers[0])
    world.run_epochs(4)
    client.ask(world.peers[1])
    world.run_epochs(8)
    assert client.got == 1
    assert not world.peers[0].disk._newest_credit()
    assert not world.peers[1].disk._newest_credit()
    assert isinstance(replace(TARIFF, answer=0), Tariff)
