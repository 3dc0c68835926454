"""What a running node tells of accounts: movements that add up, and figures for alerts."""

from types import SimpleNamespace

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import WriteRecord
from p2pverify.core.records.envelope import Kind
from p2pverify.core.settle.books import POOL
from p2pverify.node.reports import metrics
from p2pverify.node.settle import movements
from p2pverify.node.settle.movements import Bookkeeper, NoMovements
from p2pverify.testnet.world import World
from tests.support.money import CLIENT, cheque_of, with_tariff
from tests.support.worlds import make_world


@pytest.fixture(scope="module")
def world() -> World:
    world = make_world(4, seed=7, contract=lambda usual: with_tariff(usual, vest_epochs=2), slots_milli=2000)
    world.run_epochs(4)
    machine = world.peers[0].machine
    made = cheque_of(world.network.id, machine.key, 1_400_000, 140)
    world.peers[0].feed(WriteRecord(9, Kind.CHEQUE, made.encode()))
    world.run_epochs(8)
    return world


async def test_movements_add_up_and_are_computed_once_for_a_cut(world, monkeypatch):
    calls = []
    explain = movements.explain_books
    monkeypatch.setattr(movements, "explain_books", lambda *given: calls.append(1) or explain(*given))
    machine = world.peers[0].machine
    keeper = Bookkeeper(machine)
    books = machine.fold.latest.books
    assert books is not None
    for key in (POOL, *books.accounts, sign.public_key(CLIENT)):
        found = await keeper.movements(key)
        assert found.account.peer == (peer_id(key) if key else None)
        assert found.cut == machine.fold.latest.id.hex()
        for part in ("vested", "escrow", "claims"):
            moved = sum(each.amount for each in found.movements if each.part == part)
            assert getattr(found.before, part) + moved == getattr(found.account, part)
    assert len(calls) == 1
    client = await keeper.movements(sign.public_key(CLIENT))
    assert client.account.claims == -1_400_000


async def test_two_that_ask_at_once_wait_for_one_result(world, monkeypatch):
    calls = []
    explain = movements.explain_books
    monkeypatch.setattr(movements, "explain_books", lambda *given: calls.append(1) or explain(*given))
    keeper = Bookkeeper(world.peers[1].machine)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(keeper.movements, POOL)
    assert len(calls) == 1


async def test_what_cannot_be_shown(world, monkeypatch):
    keeper = Bookkeeper(world.peers[0].machine)
    with pytest.raises(NoMovements, match="no such account"):
        await keeper.movements(bytes(32))
    monkeypatch.setattr(movements, "MOVEMENTS_MAX", 3)
    with pytest.raises(NoMovements, match="settle explain"):
        await keeper.movements(POOL)
    plain = make_world(4, seed=8)
    with pytest.raises(NoMovements, match="no tariff"):
        await Bookkeeper(plain.peers[0].machine).movements(POOL)


def test_the_sum_of_all_accounts_is_a_metric(world):
    machine = world.peers[0].machine
    node = SimpleNamespace(machine=machine, latest=machine.fold.latest)
    found = {family.name: family for family in metrics._money(node)}  # type: ignore[arg-type]
    values = {name: family.samples[0].value for name, family in found.items()}
    books = machine.fold.latest.books
    assert books is not None
    assert values["p2pverify_settle_sum"] == 0
    assert values["p2pverify_settle_own_vested"] == books.account(machine.key).vested
    assert values["p2pverify_settle_own_indebted"] == 0
    assert values["p2pverify_settle_own_escrow"] >= 1_400_000 or books.claims
    assert all(family.documentation for family in found.values())
    plain = make_world(4, seed=8).peers[0].machine
    assert not list(metrics._money(SimpleNamespace(machine=plain, latest=plain.fold.latest)))  # type: ignore[arg-type]
