"""What the records of one home say of a network that lasts."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.amendment import Amendment, Approval, Word
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.rules.notes import rules_of
from p2pverify.node.journal import Kept
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.homes.reading import HomeFold
from p2pverify.testnet.processes.lasting.facts import LastingFacts, facts_of, named_root, stored_records
from p2pverify.testnet.scenario import load_scenario
from tests.support.amending import param
from tests.support.handovers import Changes, next_seed
from tests.support.networks import make_network


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan, with the next key that the peers of `Changes` name in their joins."""
    found = make_plan(load_scenario("lasting"))
    peers = tuple(
        peer if peer.next_seed is None else replace(peer, next_seed=next_seed(peer.seed)) for peer in found.peers
    )
    return replace(found, peers=peers)


def begun(plan: Plan) -> Changes:
    """A network of the plan's founders with a first cut."""
    seeds = sorted((peer.seed for peer in plan.founders), key=sign.public_key)
    return Changes(make_network(seeds, answer_tokens=8, notice_epochs=2), seeds)


def store(database: Path, network: Network, own: bytes, records: Sequence[Record]) -> None:
    """Write records into the database of a home, as its node would."""

    async def fill() -> None:
        with closing(Store.open(database, network.id, own)) as opened:
            async with trio.open_nursery() as nursery:
                await nursery.start(opened.run)
                await StoreJournal(opened, own).persist([Kept(one, received=True) for one in records], [])
                nursery.cancel_scope.cancel()

    trio.run(fill)


def test_a_handover_shows_once_the_row_has_moved(plan: Plan) -> None:
    """Before the first cut nothing is known. The members are named under either key."""
    assert plan.roles is not None
    changes, moving = begun(plan), plan.peer(plan.roles.rotating)
    assert facts_of(plan, changes.network, changes.book.fold.genesis) == LastingFacts()
    before = facts_of(plan, changes.network, changes.latest)
    assert (before.epoch, before.index, before.handovers, before.weight) == (2, 1, 0, 0)
    assert before.members == {peer.name for peer in plan.founders}
    changes.hand_over(moving.seed)
    changes.wait()
    changes.cuts(2)
    after = facts_of(plan, changes.network, changes.latest)
    assert (after.handovers, after.weight) == (1, 1)
    assert after.members == before.members


def test_an_amendment_shows_from_its_proposal_to_its_effect(plan: Plan) -> None:
    """The rule has its old value until the epoch from which the new one holds."""
    changes = begun(plan)
    found = [facts_of(plan, changes.network, changes.latest)]
    root = rules_of(changes.network, changes.latest.rules).root
    expiry = changes.epoch + 40
    author, *others = [peer.seed for peer in plan.founders]
    made = Amendment(root, (param("answer_tokens", 12),), 0, changes.epoch + 1, expiry, bytes(32))
    proposed = changes.say(author, Kind.AMENDMENT, made.encode())
    changes.cut()
    found.append(facts_of(plan, changes.network, changes.latest))
    for seed in others:
        changes.say(seed, Kind.APPROVAL, Approval(proposed.id, Word.YES).encode())
    changes.cuts(4)
    found.append(facts_of(plan, changes.network, changes.latest))
    assert [(one.is_proposed, one.rule, one.rule_from) for one in found] == [
        (False, 8, None),
        (True, 8, None),
        (False, 12, 6),
    ]


def test_a_home_is_folded_again_and_again(plan: Plan, tmp_path: Path) -> None:
    """Only new records come from each look, and each cut names the root of the state that they give."""
    changes, database = begun(plan), tmp_path / "node.db"
    changes.cuts(2)
    first = list(changes.book.order)
    own = plan.founders[0].key
    store(database, changes.network, own, first)
    home = HomeFold(changes.network, database)
    assert [record.id for record in home.look()] == [record.id for record in first]
    assert home.look() == []
    changes.cuts(2)
    store(database, changes.network, own, changes.book.order[len(first) :])
    assert len(home.look()) == len(changes.book.order) - len(first)
    assert home.fold.latest.id == changes.latest.id
    assert stored_records(database) == len(changes.book.order)
    own_root = state_root(changes.network.id, home.fold.latest).hex()
    assert named_root(database, changes.latest.id.hex()) == own_root
    assert named_root(database, "00" * 32) is None
    assert named_root(database, first[0].id.hex()) is None
