"""Peers that abuse their logs, cuts or keys, each kind alone in a small world."""

import pytest

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.testnet.world.liars.expectations import FATES
from p2pverify.testnet.world.liars.identity import SYBILS
from p2pverify.testnet.world.liars.registry import KINDS
from tests.testnet.small_world import SmallWorld
from tests.testnet.world.liars.test_answers import BAD, CHEAT, PEERS, finish, play

#: With some of these seeds, halves of the members sign cuts with different branches.
SEEDS = (1, 3, 10)


def test_every_kind_has_its_fate() -> None:
    assert set(FATES) == set(KINDS) - {"honest"}
    for kind, rule in FATES.items():
        assert rule.may_convict or not rule.must_convict, kind
        assert (rule.by == "dissent") == (rule.rate is not None), kind
        assert (rule.fate == "convicted") == (rule.by is not None), kind
        # One of the copiers runs the model and does nothing wrong.
        assert rule.must_convict == (rule.fate == "convicted" and kind != "copier"), kind
        assert rule.why.endswith("."), kind


@pytest.mark.parametrize("seed", SEEDS)
def test_an_equivocator_convicts_itself_and_stops_no_cuts(seed: int) -> None:
    world = play("equivocator", 9, seed=seed)
    assert set(world.convicted()) == {BAD}
    assert world.convicted()[BAD].startswith("two ")
    assert world.member(BAD).dissents == 0
    assert world.member(BAD).weight == 0


def test_an_equivocating_voter_convicts_itself() -> None:
    """It signs two seals or two votes for one dispute. Its audits and duties are honest."""
    world = SmallWorld(PEERS, {BAD: "equivocator", CHEAT: "always-wrong"})
    actor = world.actors[BAD]
    honest = actor.twin  # type: ignore[attr-defined]
    votes = {Kind.VOTE_COMMIT, Kind.VOTE}
    actor.twin = lambda record: honest(record) if record.kind in votes else None  # type: ignore[attr-defined]
    finish(world, 9)
    assert set(world.convicted()) == {BAD, CHEAT}
    assert world.convicted()[BAD].startswith("two ")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_forked_log_costs_the_weight(seed: int) -> None:
    world = play("forker", 8, seed=seed)
    member = world.member(BAD)
    assert world.convicted() == {}
    assert member.forks
    assert member.weight == 0
    proofs = [r for n in world.honest for r in world.ledger(0).chain(world.keys[n]) if r.kind == Kind.CONFLICT]
    assert 0 < len(proofs) <= 2 * len(world.honest)  # one proof is enough for all later forks


def test_a_claimed_date_proves_nothing() -> None:
    """A late join with an early date, seals after the openings, and a fork at number 0."""
    world = play("backdater", 12, partner="wrong", rate_ppm=600_000)
    member = world.member(BAD)
    first = next(r for r in world.ledger(0).chain(world.keys[BAD]) if r.kind == Kind.JOIN)
    assert first.epoch == 0
    assert member.joined_epoch >= 2
    assert world.final().totals["commit: after the sealing was closed"] > 0
    assert BAD not in world.convicted()
    assert 0 in member.forks


def test_a_dribbler_delays_only_itself() -> None:
    """Half of the peers get its records at the time of the proposals. The others fetch them and sign."""
    world = play("dribbler", 12)
    assert world.final().index >= 11
    member = world.member(BAD)
    assert member.duties_met > 4
    assert member.forks == frozenset()


def test_a_replayer_repeats_in_vain() -> None:
    world = play("replayer", 6)
    judged = world.actors[world.honest[0]].machine.judged
    assert judged["known"] > 100
    assert world.rejected == {}
    responders = [world.actors[name].machine.responder for name in world.honest]
    assert sum(responder.refused.get("wrong-responder", 0) for responder in responders) > 0
    assert all(world.member(name).audits < 60 for name in world.honest)


def test_a_hostile_proposer_gets_no_signature_but_its_own() -> None:
    """Cuts with false views, invented heads, heads that go back and hidden branches are not certified. Then it proposes
    two cuts."""
    world = play("hostile-proposer", 12)
    assert world.convicted() == {BAD: "two proposals for one epoch"}
    cuts = [r for r in world.ledger(0).chain(world.keys[BAD]) if r.kind == Kind.CUT]
    false = [r for r in cuts if world.actors[0].machine.fold.state(r.id) is None]
    assert len(cuts) >= 5
    assert false
    assert not {r.id for r in false} & set(world.final().path)
    assert world.final().index >= 10


def test_two_hostile_proposers_of_nine_do_not_stop_cuts() -> None:
    world = finish(SmallWorld(9, {2: "hostile-proposer", 6: "hostile-proposer"}, seed=4), 14)
    assert set(world.convicted()) == {2, 6}
    taken = [cut for cut in world.final().path[1:] if _proposer(world, cut) in {2, 6}]
    assert len(taken) <= 6  # at most one for each of its turns


def _proposer(world: SmallWorld, cut: bytes) -> int:
    record = world.ledger(world.honest[0]).get(cut)
    assert record is not None
    assert decode_cut(record.payload).base in world.final().path
    return world.by_key[record.author]


def test_a_double_signer_convicts_itself() -> None:
    world = play("double-signer", 9)
    assert world.convicted() == {BAD: "signed two cuts that are not nested"}


def test_below_a_third_non_signers_stop_nothing() -> None:
    world = finish(SmallWorld(7, {1: "non-signer", 4: "non-signer"}), 6)
    assert world.final().index >= 5
    assert world.convicted() == {}


def test_above_a_third_nothing_new_becomes_final() -> None:
    """Above the README's limit, verdicts stay provisional."""
    world = SmallWorld(7, {1: "non-signer", 4: "non-signer", 5: "non-signer"})
    world.run_epochs(6)
    assert {world.final(name).index for name in world.honest} == {0}
    provisional = world.actors[0].machine.provisional(world.now)
    assert len(provisional.members) == 7
    assert not any(member.is_convicted for member in provisional.members.values())


def test_a_ground_key_meets_a_beacon_that_it_did_not_know() -> None:
    """A key that was chosen for its draws audits its friends no more often than a random key."""
    world = finish(SmallWorld(10, {2: "key-grinder", 5: "key-grinder", 8: "key-grinder"}, slots_milli=2_000), 16)
    assert world.convicted() == {}
    among = sum(c.asked for n in (2, 5, 8) for k, c in world.member(n).contacts.items() if world.by_key[k] in (2, 5, 8))
    asked = sum(c.asked for n in range(10) for k, c in world.member(n).contacts.items() if world.by_key[k] in (2, 5, 8))
    assert asked > 20
    assert 100 * among < 45 * asked  # two of its nine possible targets are friends
    assert all(world.member(n).duties_met > 2 for n in (2, 5, 8))


def test_a_burst_of_keys_has_no_weight() -> None:
    """The keys are admitted over several cuts, answer no requests, and decide nothing."""
    world = play("sybils", 8)
    strangers = [m for key, m in world.final().members.items() if key not in world.by_key]
    assert len(strangers) == SYBILS
    assert sum(m.weight for m in strangers) == 0
    assert len({m.joined_index for m in strangers}) > 1
    assert world.final().total_weight == PEERS
