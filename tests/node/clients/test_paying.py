"""What answers cost clients of a node: the arithmetic of plan.md to the millionth, and cheques for exactly this."""

import json

import pytest
import trio

from p2pverify.api.openai.responses import verified
from p2pverify.cli.run.ask import _told
from p2pverify.client.replies import read_reply
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import ResponseArrived
from p2pverify.core.plan import CheckPlan
from p2pverify.core.settle.bills import ARREARS_EPOCHS
from p2pverify.core.settle.exchange import Pay
from p2pverify.core.window import CheckPolicy
from p2pverify.node.settle.cheques import cheques_document
from tests.node.clients.test_fullcheck import ALWAYS_5, answered
from tests.support.doors import DoorBench, grown_world, open_door
from tests.support.money import TARIFF, with_tariff


@pytest.fixture(scope="module")
def world():
    return grown_world(7, contract=with_tariff)


@pytest.fixture
async def bench(tmp_path, world):
    with trio.fail_after(120):
        async with open_door(tmp_path, world) as opened:
            for peer in world.peers:  # the world is used again
                peer.machine.money.payer._bills.clear()
                peer.machine.money.payer._tried.clear()
                peer.machine.money.creditor.credit._tabs.clear()
            yield opened


async def paid(bench: DoorBench) -> int:
    """Let the node pay what is due after some epochs. Returns the sum of all cheques that its creditors hold."""
    params = bench.world.network.params
    own = bench.drivers[bench.own]
    later = params.epoch_start_ms(params.epoch_at(bench.now) + ARREARS_EPOCHS + 1) - 1
    for effect in list(own.machine.money.payer.tick(later)):
        if isinstance(effect, Pay):
            reply = await bench.drivers[effect.peer].cheque(effect.data, bench.own)
            own._handle(ResponseArrived(effect.ask, reply))
    assert all(bill.is_told and not bill.due for bill in own.machine.money.payer.bills.values())
    documents = [cheques_document(bench.drivers[key].machine, bench.now) for key in bench.others]
    return sum(each.cumulative for document in documents for each in document.cheques)


@pytest.mark.parametrize(("panel", "every", "cost"), [(1, 10, 1_000_000), (5, 1, 5_000_000), (5, 10, 1_400_000)])
async def test_a_hundred_questions_cost_what_the_plan_says(bench, panel, every, cost):
    """f = 0.01 and N = 100: 1.00 with one peer, 5.00 with five for each, 1.40 with five for one in ten."""
    assert CheckPlan(100, TARIFF.answer, panel, every).cost == cost
    told = 0
    for _ in range(100):
        document = (await answered(bench, policy=CheckPolicy(panel, every)))[0].document
        assert document.cost is not None
        assert document.cost.total == len(document.answers) * TARIFF.answer
        told += document.cost.total
    assert told == cost
    bills = bench.drivers[bench.own].machine.money.payer.bills
    assert sum(bill.open for bill in bills.values()) == cost
    owed = [cheques_document(bench.drivers[key].machine, bench.now) for key in bench.others]
    assert sum(tab.uncovered for document in owed for tab in document.tabs) == cost
    assert await paid(bench) == cost


async def test_clients_read_what_an_answer_cost(bench):
    opened, _ = await answered(bench, policy=ALWAYS_5)
    assert verified(opened.document)["cost"] == {"unit": "credit", "price": 10_000, "answers": 5, "total": 50_000}
    assert "; cost 0.050000 credit for 5 answers; " in _told(opened.document)
    said = {
        "model": "toy",
        "choices": [{"message": {"content": "so"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "p2pverify": verified(opened.document),
    }
    reply = read_reply(json.dumps(said).encode())
    assert reply.cost is not None
    assert reply.cost.total == 50_000
    opened, _ = await answered(bench, policy=CheckPolicy(1, 1))
    assert "; cost 0.010000 credit for 1 answer; " in _told(opened.document)


async def test_a_peer_that_is_owed_too_much_is_left_out_for_another_one(bench):
    """A refusal for debts costs the client nothing: the next peer answers, and the refusing one is left out."""
    client = bench.own
    for key in bench.others[:-1]:
        credit = bench.drivers[key].machine.money.creditor.credit
        while credit.refusal(client, 16) is None:
            credit.gave(client, 16)
    last = bench.others[-1]
    for _ in range(3):
        opened, _ = await answered(bench, policy=CheckPolicy(1, 1))
        (answer,) = opened.document.answers
        assert answer.own or answer.peer_id == peer_id(last)
    failed = [event.detail for event in opened.document.events if event.event == "failed"]
    assert set(failed) <= {"unpaid"}
