"""A light client in a world of machines: what it believes, whom it asks, and what it writes."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
import trio

from p2pverify.client.checking import check_receipt
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.exchange import NO_PASSPORTS, PassportsWanted
from p2pverify.core.proofs.passport import Refuted
from p2pverify.core.window import NO_CHECKS, CheckPolicy
from p2pverify.engine.language import toy_language
from p2pverify.node.driver import Driver
from p2pverify.node.light.client import LightClient, LightError, LightWish
from p2pverify.node.light.view import STALE_EPOCHS, STALE_MS, LightView, Trust
from p2pverify.node.ports import AskError, Hear, Reply, unheard
from p2pverify.testnet.world import World
from tests.node.fakes import FakeJournal, FakeNetwork
from tests.support.doors import EPOCHS, GatedToy, grown_world, shrink_context
from tests.support.money import TARIFF, with_tariff
from tests.support.networks import make_network, seeds
from tests.support.toyworld import ToyWorld

SEED = bytes(31) + b"\x07"
DICE = count()  # a repeated question would get its stored answer


def wanted(world: World, count: int = 16) -> bytes:
    """A request for the best peers that run the world's model."""
    return PassportsWanted(world.network.classes[0].manifest, (), count).encode()


def view_of(world: World, trust: Trust | None = None) -> LightView:
    founders = Trust(frozenset(world.network.founders))
    return LightView(world.network, world.network.classes[0].manifest, trust or founders)


@pytest.fixture(scope="module")
def toys() -> ToyWorld:
    grown = ToyWorld(5, seed=3, slots_milli=3000)
    grown.run_epochs(EPOCHS)
    return grown


@pytest.fixture(scope="module")
def world(toys: ToyWorld) -> World:
    return toys.world


@dataclass
class FakeVisit:
    """Connections to drivers. `shown` replaces what a peer answers to a request for passports."""

    drivers: dict[bytes, Driver]
    shown: dict[bytes, bytes | Exception | None] = field(default_factory=dict)
    refuses: set[bytes] = field(default_factory=set)
    asked: list[bytes] = field(default_factory=list)
    near: frozenset[bytes] = frozenset()

    def known(self) -> tuple[bytes, ...]:
        return tuple(sorted(self.drivers))

    def met(self) -> frozenset[bytes]:
        return self.near or frozenset(self.known()[:1])

    async def passports(self, peer: bytes, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        shown = self.shown.get(peer, b"")
        if isinstance(shown, Exception):
            raise shown
        if shown is None:
            await trio.sleep_forever()
        return shown or self.drivers[peer].passports(request, b"light")

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        self.asked.append(peer)
        if peer in self.refuses:
            raise AskError("reset")
        return Reply(await self.drivers[peer].serve(request, public_key(SEED), hear), 1)

    async def pay(self, peer: bytes, request: bytes) -> bytes:
        return await self.drivers[peer].cheque(request, public_key(SEED))


@dataclass
class Bench:
    """A light client, and the world that it looks at."""

    world: World
    manifest: Manifest
    visit: FakeVisit
    engines: dict[bytes, GatedToy]
    now_ms: int

    def client(self) -> LightClient:
        believed = Trust(frozenset(self.world.network.founders))
        dice = random.Random(next(DICE))
        return LightClient(
            *(self.world.network, self.manifest, toy_language(), self.visit, SEED, believed, lambda: self.now_ms, dice)
        )


@asynccontextmanager
async def opened(toys: ToyWorld, world: World) -> AsyncIterator[Bench]:
    engines = {peer.machine.key: GatedToy() for peer in world.peers}
    drivers = {
        peer.machine.key: Driver(peer.machine, FakeJournal(), engines[peer.machine.key], clock=lambda: world.now_ms)
        for peer in world.peers
    }
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for driver in drivers.values():
                await nursery.start(driver.run, FakeNetwork())
            yield Bench(world, toys.manifest, FakeVisit(drivers), engines, world.now_ms)
            nursery.cancel_scope.cancel()


@pytest.fixture
async def bench(toys, world):
    async with opened(toys, world) as made:
        yield made


async def test_it_asks_a_trusted_peer_and_writes_a_receipt_that_holds(bench):
    """The receipt has the passport of the responder, and is checked as any other."""
    client = bench.client()
    await client.look()
    taken = []
    receipt = await client.answer(LightWish("why?", NO_CHECKS), taken.extend)
    checked = check_receipt(bench.world.network, receipt)
    (answer,) = checked.answers
    assert answer.shown.tokens == tuple(taken)
    assert answer.shown.standing == "trusted"
    assert answer.facts.passport is not None
    assert answer.facts.passport.row.peer == bench.visit.asked[-1]
    assert [event.event for event in receipt.events] == ["asked", "answered", "checked"]


async def test_a_peer_that_fails_is_replaced_and_nobody_left_is_an_error(bench):
    client = bench.client()
    await client.look()
    first = client._choice.candidates(client._requester.epoch)[0].peer
    bench.visit.refuses = {first} if first in bench.visit.known() else set()
    receipt = await client.answer(LightWish("why?", NO_CHECKS), lambda _: None)
    assert receipt.state == "answered"
    bench.visit.refuses = set(bench.visit.known())
    with pytest.raises(LightError, match="nobody could answer"):
        await client.answer(LightWish("why?", NO_CHECKS), lambda _: None)


async def test_a_panel_and_a_liar_in_it(bench):
    """The majority's answer is returned, and the receipt has all answers with their passports."""
    client = bench.client()
    await client.look()
    bench.engines[bench.visit.known()[0]]._weights = bytes(32)
    receipt = await client.answer(LightWish("why?", CheckPolicy(5, 1)), lambda _: None)
    (check,) = receipt.checks
    assert (check.answers, check.agree, check.differ, check.majority) == (5, 4, 1, True)
    assert all(each.facts.passport for each in check_receipt(bench.world.network, receipt).answers)


class PayingToys(ToyWorld):
    """A world with a tariff."""

    def _contract(self, usual: Network) -> Network:
        return with_tariff(super()._contract(usual))


async def test_it_pays_each_peer_of_a_panel_at_once():
    """Its key is nobody's, so peers count it among strangers; a cheque covers what it owes to each."""
    toys = PayingToys(5, seed=4, slots_milli=3000)
    toys.run_epochs(EPOCHS)
    async with opened(toys, toys.world) as bench:
        client = bench.client()
        await client.look()
        receipt = await client.answer(LightWish("why?", CheckPolicy(3, 1)), lambda _: None)
        assert receipt.cost is not None
        assert (receipt.cost.answers, receipt.cost.total) == (3, 3 * TARIFF.answer)
        assert client.counters["cheques sent"] == 3
        tabs_of = [driver.machine.money.creditor.credit for driver in bench.visit.drivers.values()]
        tabs = [credit.tabs[public_key(SEED)] for credit in tabs_of if public_key(SEED) in credit.tabs]
        assert [(tab.uncovered, [each.cumulative for each in tab.cheques]) for tab in tabs] == [
            (0, [TARIFF.answer])
        ] * 3


async def test_without_a_majority_the_receipt_is_a_failed_one(bench):
    client = bench.client()
    await client.look()
    for number, peer in enumerate(bench.visit.known()):
        bench.engines[peer]._weights = bytes([number]) * 32
    receipt = await client.answer(LightWish("why?", CheckPolicy(3, 1)), lambda _: None)
    assert (receipt.state, receipt.checks[0].majority) == ("failed", False)
    assert len(check_receipt(bench.world.network, receipt).answers) == 3


async def test_a_named_peer(bench):
    """Its passport alone is asked for. A peer without one cannot be named."""
    other = bench.visit.known()[3]
    client = bench.client()
    await client.look(other)
    receipt = await client.answer(LightWish("why?", NO_CHECKS, other), lambda _: None)
    assert bench.visit.asked == [other]
    assert len(receipt.answers) == 1
    with pytest.raises(LightError, match="no peer shows a passport"):
        await bench.client().look(bytes(32))


async def test_a_peer_with_a_smaller_context_is_asked_for_less(bench, monkeypatch):
    """All peers say how much they can hold, and then get a question of that size."""
    for peer in bench.world.peers:
        shrink_context(monkeypatch, peer.machine, 60)
    client = bench.client()
    await client.look()
    receipt = await client.answer(LightWish("why?", NO_CHECKS), lambda _: None)
    question = receipt.answers[0].question
    assert len(question.prompt) + question.tokens_max == 60


async def test_passports_that_do_not_count(bench, autojump_clock):
    """Garbage, silence, a refusal, nothing, and a cut of another network: the reasons are told, the others count."""
    other = grown_world(4)
    away = other.peers[0].machine.passports(wanted(other), b"")
    peers = bench.visit.known()
    faults = (b"\x80", None, AskError("busy"), NO_PASSPORTS, away)
    bench.visit.near = frozenset(peers[:3])
    for fault in faults:
        bench.visit.shown = dict.fromkeys(peers, fault)
        client = bench.client()
        with pytest.raises(LightError, match="no peer shows a passport that counts"):
            await client.look()
        assert client.refused == (["it is of another network"] * len(client.refused) if fault == away else [])
        bench.visit.shown = dict.fromkeys(peers[:2], fault)
        await client.look()
        assert len(client.view.others()) == 5


def test_a_network_of_its_own_keys_is_refused(world):
    """Whoever has no signature of the founders can prove nothing, unless the user trusts its cut."""
    machine = world.peers[0].machine
    data = machine.passports(wanted(world), b"")
    strangers = frozenset(bytes([n]) * 32 for n in range(3))
    view = view_of(world, Trust(strangers))
    with pytest.raises(Refuted, match="0 of the 3 peers that the network file names signed"):
        view.take(data, world.now_ms)
    with pytest.raises(Refuted, match="0 of the 0 peers"):
        view_of(world, Trust(frozenset())).take(data, world.now_ms)
    with pytest.raises(Refuted, match="not of the trusted one"):
        view_of(world, Trust(frozenset(), bytes(32))).take(data, world.now_ms)
    cut = machine.issuer.passport(machine.key).cut.id(machine.issuer.passport(machine.key).score.head)
    trusting = view_of(world, Trust(frozenset(), cut))
    assert trusting.take(data, world.now_ms) == 5
    assert "cut id" in trusting.trust.assumes()


def test_old_cuts_and_cuts_of_tomorrow_are_refused(world):
    data = world.peers[0].machine.passports(wanted(world), b"")
    params = world.network.params
    view = view_of(world)
    late = world.now_ms + STALE_MS + (STALE_EPOCHS + 2) * params.epoch_ms
    with pytest.raises(Refuted, match="epochs old"):
        view.take(data, late)
    with pytest.raises(Refuted, match="by this machine's clock"):
        view.take(data, params.genesis_ms)
    assert view.take(data, world.now_ms) == 5
    assert 0 < view.age_ms(world.now_ms) < 10 * params.epoch_ms


def test_the_newest_cut_counts(world):
    """An older one that comes later changes nothing, and a newer one replaces all rows."""
    old = grown_world()
    early = old.peers[0].machine.passports(wanted(old), b"")
    first = old.peers[0].machine.fold.latest.index
    old.run_epochs(2)
    late = old.peers[0].machine.passports(wanted(old, 2), b"")
    view = view_of(old)
    view.take(early, old.now_ms)
    assert len(view.others()) == 5
    view.take(late, old.now_ms)
    assert len(view.others()) == 2
    view.take(early, old.now_ms)
    assert len(view.others()) == 2
    assert view._index > first


def test_rows_of_another_model_are_no_candidates(world):
    data = world.peers[0].machine.passports(wanted(world), b"")
    view = LightView(world.network, bytes(32), Trust(frozenset(world.network.founders)))
    assert view.take(data, world.now_ms) == 5
    assert view.others() == []


def test_garbage_is_told_apart(world):
    view = view_of(world)
    for data in (b"", b"\xf6\x00", b"\x86" * 20):
        with pytest.raises(DecodeError):
            view.take(data, 0)
    assert view.take(NO_PASSPORTS, 0) == 0


def test_another_definition_is_another_network(world):
    other = replace(make_network(seeds(3)), name="other")
    view = LightView(other, bytes(32), Trust(frozenset(other.founders)))
    with pytest.raises(Refuted, match="of another network"):
        view.take(world.peers[0].machine.passports(wanted(world), b""), world.now_ms)
