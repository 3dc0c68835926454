"""Peers that abuse their logs, cuts or keys, each kind alone in a small world."""

import pytest

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.states import NEW_AUTHORS_MAX
from p2pverify.testnet.world import World
from p2pverify.testnet.world.liars.expectations import FATES
from p2pverify.testnet.world.liars.identity import SYBILS
from p2pverify.testnet.world.liars.registry import KINDS
from p2pverify.testnet.world.peer.actor import Actor, PublishTo
from p2pverify.testnet.world.state_size import bytes_max, state_bytes
from tests.support.worlds import final, make_world, watching
from tests.testnet.world.liars.test_answers import BAD, CHEAT, PEERS, finish, play
from tests.testnet.world.looks import convictions, honest_numbers, ledger_of, member_of, rejected

#: With some of these seeds, halves of the members sign cuts with different branches.
SEEDS = (1, 3, 10)


def test_every_kind_has_its_fate() -> None:
    assert set(FATES) == set(KINDS) - {"honest"}
    for kind, rule in FATES.items():
        assert rule.may_convict or not rule.must_convict, kind
        assert (rule.by == "dissent") == (rule.rate is not None), kind
        assert (rule.fate == "convicted") == (rule.by is not None), kind
        # One of the copiers runs the model and does nothing wrong, as a stale peer does until there is a version.
        is_sure = kind not in ("copier", "stale-version")
        assert rule.must_convict == (rule.fate == "convicted" and is_sure), kind
        assert rule.why.endswith("."), kind


@pytest.mark.parametrize("seed", SEEDS)
def test_an_equivocator_convicts_itself_and_stops_no_cuts(seed: int) -> None:
    world = play("equivocator", 9, seed=seed)
    assert set(convictions(world)) == {BAD}
    assert convictions(world)[BAD].startswith("two ")
    assert member_of(world, BAD).dissents == 0
    assert member_of(world, BAD).weight == 0


def test_an_equivocating_voter_convicts_itself() -> None:
    """It signs two seals or two votes for one dispute. Its audits and duties are honest."""
    world = make_world(PEERS, kinds={BAD: "equivocator", CHEAT: "always-wrong"})
    actor = world.peers[BAD].actor
    honest = actor.twin  # type: ignore[attr-defined]
    votes = {Kind.VOTE_COMMIT, Kind.VOTE}
    actor.twin = lambda record: honest(record) if record.kind in votes else None  # type: ignore[attr-defined]
    finish(world, 9)
    assert set(convictions(world)) == {BAD, CHEAT}
    assert convictions(world)[BAD].startswith("two ")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_forked_log_costs_the_weight(seed: int) -> None:
    world = play("forker", 8, seed=seed)
    member = member_of(world, BAD)
    assert convictions(world) == {}
    assert member.forks
    assert member.weight == 0
    proofs = [r for p in world.honest for r in ledger_of(world, 0).chain(p.key) if r.kind == Kind.CONFLICT]
    assert 0 < len(proofs) <= 2 * len(world.honest)  # one proof is enough for all later forks


def test_a_claimed_date_proves_nothing() -> None:
    """A late join with an early date, seals after the openings, and a fork at number 0."""
    world = play("backdater", 12, partner="wrong", rate_ppm=600_000)
    member = member_of(world, BAD)
    first = next(r for r in ledger_of(world, 0).chain(world.peers[BAD].key) if r.kind == Kind.JOIN)
    assert first.epoch == 0
    assert member.joined_epoch >= 2
    assert final(world).totals["commit: after the sealing was closed"] > 0
    assert BAD not in convictions(world)
    assert 0 in member.forks


def test_a_dribbler_delays_only_itself() -> None:
    """Half of the peers get its records at the time of the proposals. The others fetch them and sign."""
    world = play("dribbler", 12)
    assert final(world).index >= 11
    member = member_of(world, BAD)
    assert member.duties_met > 4
    assert member.forks == frozenset()


def test_a_replayer_repeats_in_vain() -> None:
    """Routers drop most of the repeated records. Others sent some of them with further records in one message, so these
    reach the machines, which know them."""
    repeated: list[PublishTo] = []

    def see(_actor: Actor, told: object, _now_ms: int) -> None:
        if isinstance(told, PublishTo):
            repeated.append(told)

    world = play("replayer", 6, batch_ms=500, make=watching(see))
    assert len(repeated) > 100
    assert all(set(each.peers) == set(world.by_key) - {world.peers[BAD].key} for each in repeated)
    judged = world.peers[0].machine.judged
    assert judged["known"] > 5
    assert not rejected(world)
    responders = [world.peers[name].machine.responder for name in honest_numbers(world)]
    assert sum(responder.refused.get("wrong-responder", 0) for responder in responders) > 0
    assert all(member_of(world, name).audits < 60 for name in honest_numbers(world))


def test_a_hostile_proposer_gets_no_signature_but_its_own() -> None:
    """Cuts with false views, invented heads, heads that go back and hidden branches are not certified. Then it proposes
    two cuts."""
    world = play("hostile-proposer", 12)
    assert convictions(world) == {BAD: "two proposals for one epoch"}
    cuts = [r for r in ledger_of(world, 0).chain(world.peers[BAD].key) if r.kind == Kind.CUT]
    false = [r for r in cuts if world.peers[0].machine.fold.state(r.id) is None]
    assert len(cuts) >= 5
    assert false
    assert not {r.id for r in false} & set(final(world).path)
    assert final(world).index >= 10


def test_two_hostile_proposers_of_nine_do_not_stop_cuts() -> None:
    world = finish(make_world(9, kinds={2: "hostile-proposer", 6: "hostile-proposer"}, seed=4), 14)
    assert set(convictions(world)) == {2, 6}
    taken = [cut for cut in final(world).path[1:] if _proposer(world, cut) in {2, 6}]
    assert len(taken) <= 6  # at most one for each of its turns


def _proposer(world: World, cut: bytes) -> int:
    record = ledger_of(world, 0).get(cut)
    assert record is not None
    assert decode_cut(record.payload).base in final(world).path
    return world.by_key[record.author].number


def test_a_double_signer_convicts_itself() -> None:
    world = play("double-signer", 9)
    assert convictions(world) == {BAD: "signed two cuts that are not nested"}


def test_below_a_third_non_signers_stop_nothing() -> None:
    world = finish(make_world(7, kinds={1: "non-signer", 4: "non-signer"}), 6)
    assert final(world).index >= 5
    assert convictions(world) == {}


def test_above_a_third_nothing_new_becomes_final() -> None:
    """Above the README's limit, verdicts stay provisional."""
    world = make_world(7, kinds={1: "non-signer", 4: "non-signer", 5: "non-signer"})
    world.run_epochs(6)
    assert {final(world, name).index for name in honest_numbers(world)} == {0}
    provisional = world.peers[0].machine.provisional(world.now_ms)
    assert len(provisional.members) == 7
    assert not any(member.is_convicted for member in provisional.members.values())


def test_a_ground_key_meets_a_beacon_that_it_did_not_know() -> None:
    """A key that was chosen for its draws audits its friends no more often than a random key."""
    world = finish(make_world(10, kinds={2: "key-grinder", 5: "key-grinder", 8: "key-grinder"}, slots_milli=2_000), 16)
    assert convictions(world) == {}
    friends = {world.peers[n].key for n in (2, 5, 8)}
    among = sum(c.asked for n in (2, 5, 8) for k, c in member_of(world, n).contacts.items() if k in friends)
    asked = sum(c.asked for n in range(10) for k, c in member_of(world, n).contacts.items() if k in friends)
    assert asked > 20
    assert 100 * among < 45 * asked  # two of its nine possible targets are friends
    assert all(member_of(world, n).duties_met > 2 for n in (2, 5, 8))


def test_late_signatures_contradict_no_view() -> None:
    """The first of the gang signs cuts beside the path, and the other would support one of them much later."""
    world = finish(make_world(9, kinds={1: "late-support", 5: "late-support"}), 12)
    assert list(convictions(world).values()) == ["signed two cuts that are not nested"]
    signers = {r.author for p in world.peers for r in ledger_of(world, 0).chain(p.key) if r.kind == Kind.CUT_SIGNATURE}
    first, other = sorted(world.peers[n].key for n in (1, 5))
    assert first in signers
    assert other not in signers


def test_useless_records_swell_no_state() -> None:
    """Its log is many times as large as the state, which stays as small as without it."""
    world = play("bloat", 8, founders=2)
    written = sum(len(record.data) for record in ledger_of(world, 0).chain(world.peers[BAD].key))
    assert written > 800_000
    assert state_bytes(final(world)) < 60_000
    assert final(world).totals["void audit: slot not owed"] > 100
    assert not final(world).signatures.keys() - final(world).cuts.keys()
    assert convictions(world) == {}


def test_a_flood_of_keys_comes_in_by_so_many_a_cut() -> None:
    world = play("join-flood", 8)
    state = final(world)
    strangers = [member for key, member in state.members.items() if key not in world.by_key]
    assert 2 * SYBILS < len(strangers) <= NEW_AUTHORS_MAX * state.index
    assert sum(member.weight for member in strangers) == 0
    assert state_bytes(state) < bytes_max(state)


def test_a_burst_of_keys_has_no_weight() -> None:
    """The keys are admitted over several cuts, answer no requests, and decide nothing."""
    world = play("sybils", 8)
    strangers = [m for key, m in final(world).members.items() if key not in world.by_key]
    assert len(strangers) == SYBILS
    assert sum(m.weight for m in strangers) == 0
    assert len({m.joined_index for m in strangers}) > 1
    assert final(world).total_weight == PEERS
