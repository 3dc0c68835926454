"""Stored receipts are scored again: which ones, with what result, and what survives a restart."""

from dataclasses import replace
from hashlib import sha256

import pytest
import trio

from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.canon import encode
from p2pverify.core.inference.treatment import Rescored
from p2pverify.core.state import view
from p2pverify.core.state.transition import class_steps
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.clients.audits.auditor import Auditor
from p2pverify.node.clients.audits.figures import me_document
from p2pverify.node.clients.desk import LOCAL
from p2pverify.node.ports import Generated, Hear, unheard
from p2pverify.store.clients.audits import StoredAudits
from p2pverify.testnet.processes.conviction import Chances, audits_for, mean_audits
from tests.node.clients.test_door import order, read
from tests.support.doors import DoorBench, GatedToy, grown_world, open_door

TOLD = (1, *b"client: ")


@pytest.fixture(scope="module")
def world():
    return grown_world()


@pytest.fixture(scope="module")
def mixed_world():
    return grown_world(6, classes=2)


async def answered(bench: DoorBench, **changes: object) -> str:
    """The id of a receipt with an answer."""
    opened = bench.door.begin(order(**changes))
    await read(opened)
    return opened.document.id


async def audited(bench: DoorBench) -> list[Rescored]:
    """What the audits found, when all are made."""
    await bench.door.auditor.wait_idle()
    return [audit.found for audit in await bench.door.auditor.book.all()]


async def figures(bench: DoorBench):
    machine = bench.world.peers[0].machine
    scores = view.scores(machine.network, machine.fold.latest)
    audits = await bench.door.auditor.book.all()
    return me_document(machine.network, machine.key, machine.context.class_index, scores, audits, 1.0)


async def test_right_answers_agree_and_wrong_ones_differ(tmp_path, world):
    """The result is durable, and an event of the receipt. Four wrong answers accuse the peer, and nobody else."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            liar = bench.others[0]
            assert await audited(bench) == []
            first = await answered(bench, peer=bench.others[1])
            assert await audited(bench) == [Rescored.AGREES]
            bench.lies(liar)
            receipts = [await answered(bench, peer=liar, seed=seed) for seed in range(4)]
            assert await audited(bench) == [Rescored.AGREES, *[Rescored.DIFFERS] * 4]
            document = await bench.door.receipt(receipts[0], LOCAL)
            assert document is not None
            assert (document.events[-1].event, document.events[-1].detail) == ("audited", "differs")
            assert (await bench.door.receipt(first, LOCAL)).events[-1].detail == "agrees"
            found = await figures(bench)
            assert (found.all.audits, found.all.wrong, found.all.accused) == (5, 4, True)
            assert sorted(each.figures.accused for each in found.peers) == [False, True]
            accused = next(each.figures for each in found.peers if each.figures.accused)
            assert accused.network_wrong == 0 < accused.network_audits
            assert accused.chance < 0.001


async def test_the_share_is_drawn_in_secret_and_stays_the_same(tmp_path, world):
    """Another home draws others. A restart audits what was drawn and not yet audited, and nothing twice."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=0.0) as bench:
            receipts = [await answered(bench, seed=seed) for seed in range(20)]
            assert await bench.door.auditor.book.all() == []
        async with open_door(tmp_path, world, audit_rate=0.5) as bench:
            auditor = bench.door.auditor
            drawn = {each for each in receipts if auditor._is_drawn(each)}
            assert 0 < len(drawn) < 20
            await audited(bench)
            assert {audit.receipt for audit in await auditor.book.all()} == drawn
            other = Auditor(bench.drivers[bench.others[0]], bench.book, auditor.book, 0.5)
            assert {each for each in receipts if other._is_drawn(each)} != drawn
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            assert len(await audited(bench)) == 20
            assert len(await bench.door.auditor.book.all()) == 20


async def test_own_answers_are_not_audited(tmp_path, world):
    """This machine would only repeat itself."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            await answered(bench, peer=bench.own)
            await answered(bench, peer=bench.others[0])
            await audited(bench)
            (one,) = await bench.door.auditor.book.all()
            assert one.peer == bench.others[0]


@pytest.mark.parametrize("referee", [False, True])
async def test_across_classes_the_referee_judges(tmp_path, mixed_world, referee):
    """Without a referee the audit is not made, and says nothing."""
    with trio.fail_after(60):
        async with open_door(tmp_path, mixed_world, audit_rate=1, referee=referee) as bench:
            members = mixed_world.peers[0].machine.fold.latest.members
            other = next(key for key in bench.others if members[key].class_index != members[bench.own].class_index)
            await answered(bench, peer=other)
            if not referee:
                assert await audited(bench) == []
                return
            await audited(bench)
            bench.lies(other)
            await answered(bench, peer=other, seed=9)
            assert (await audited(bench))[1] is Rescored.DIFFERS


async def test_a_machine_that_contradicts_itself_accuses_nobody(tmp_path, world):
    """It computes a different digest twice, and the two are not equal."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            own = bench.engines[bench.own]

            def flip() -> None:
                own._weights = bytes([len(own.asked)]) * 32

            own.gate = flip
            await answered(bench, peer=bench.others[0])
            assert await audited(bench) == [Rescored.INCONCLUSIVE]


async def test_damaged_receipts_are_passed_over(tmp_path, world):
    """A receipt whose bytes do not hold, and one that was pruned meanwhile."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as bench:
            auditor = bench.door.auditor
            receipt = await bench.book.find(await answered(bench, peer=bench.others[0]))
            assert receipt is not None
            damaged = receipt.document.replace(b'"response":"', b'"response":"00', 1)
            await bench.book.keep(replace(receipt, id="damaged", document=damaged))
            await bench.book.keep(replace(receipt, id="none", document=b"{"))
            for name in ("damaged", "none", "gone"):
                assert await auditor.audit(name) == []
            assert await auditor.book.all() == []


async def test_audits_are_bounded_and_kept_once(tmp_path, world):
    """The oldest make room."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as bench:
            receipt = await answered(bench, peer=bench.others[0])
            assert await bench.door.auditor.audit(receipt) == [Rescored.AGREES]
            (kept,) = await bench.door.auditor.book.all()
            assert kept.receipt == receipt
            few = StoredAudits(tmp_path / "clients.db", count_max=2)
            await few.keep(replace(kept, found=Rescored.DIFFERS))
            assert await few.all() == [kept]
            for place in (1, 2, 3):
                await few.keep(replace(kept, place=place))
            assert [each.place for each in await few.all()] == [2, 3]


class HonestToSlots(GatedToy):
    """A perfect classifier: it knows the prompts of clients by their beginning, and lies in a tenth of these."""

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        known = ask.prompt[: len(TOLD)] == TOLD
        lies = known and sha256(encode(ask.to_value())).digest()[0] < 256 // 10
        self._weights = bytes([lies]) * 32 if lies else ToyEngine()._weights
        return super().answer(ask, hear)


async def test_a_liar_with_a_perfect_classifier_is_found_by_clients_alone(tmp_path, world, monkeypatch):
    """No auditor sees a wrong answer. The clients' own test accuses it within the audits that the exact chain says."""
    monkeypatch.setattr("tests.support.doors.GatedToy", HonestToSlots)
    steps = class_steps(world.network)[0]
    chances = Chances(0.1, 0.9)
    mean, nearly_always = mean_audits(steps, chances), audits_for(steps, chances, 0.999)
    assert mean is not None
    assert nearly_always is not None
    with trio.fail_after(120):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            liar = bench.others[2]
            for key in bench.others:
                if key != liar:
                    bench.engines[key].__class__ = GatedToy
            bench.engines[bench.own].__class__ = GatedToy
            for number in range(nearly_always):
                await answered(bench, peer=liar, seed=number, prompts=((*TOLD, number + 3),), tokens_max=4)
                if number % 10 == 9:
                    await bench.door.auditor.wait_idle()
                    if (await figures(bench)).all.accused:
                        break
            found = await figures(bench)
            assert found.all.accused
            assert found.all.network_wrong == 0
            assert mean / 3 < found.all.audits <= nearly_always
