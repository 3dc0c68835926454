"""Peers that answer, audit or vote wrongly, each kind alone in a small world."""

import itertools
from dataclasses import replace
from typing import Any

from p2pverify.core.events import Computed
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import decode_audit
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.state.transition import class_steps
from p2pverify.testnet.world import World
from p2pverify.testnet.world.liars.challengers import LazyChallenger
from p2pverify.testnet.world.liars.expectations import FATES, audits_until_conviction, shows
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.peer.engine import Job, Outcome, Say, SimulatedEngine
from p2pverify.testnet.world.plan import HONEST
from tests.support.worlds import final, make_world, restart
from tests.testnet.world.looks import convictions, honest_numbers, ledger_of, member_of, views

PEERS = 6
BAD, CHEAT = 2, 5


def play(kind: str, epochs: int, *, partner: str | None = None, count: int = PEERS, **options: Any) -> World:
    """A world with one peer of a kind, and optionally one of another kind. It checks what must hold in every world."""
    kinds = {BAD: kind} if partner is None else {BAD: kind, CHEAT: partner}
    return finish(make_world(count, kinds=kinds, **options), epochs)


def play_gang(kind: str, epochs: int) -> World:
    """A world with two peers of a kind that have different outcomes."""
    world = make_world(PEERS, kinds={BAD: kind, CHEAT: kind})
    world.run_epochs(epochs)
    assert not set(convictions(world)) & set(honest_numbers(world))
    assert len(views(world)) == 1
    return world


def finish(world: World, epochs: int) -> World:
    world.run_epochs(epochs)
    assert not set(convictions(world)) & set(honest_numbers(world))
    assert len(views(world)) == 1
    assert min(final(world, name).index for name in honest_numbers(world)) >= epochs // 2
    for peer in world.peers:
        known = final(world).members.get(peer.key)
        assert peer.kind == HONEST or shows(FATES[peer.kind], known), (peer.kind, final(world).totals)
    return world


def audits_of(world: World, name: int) -> list[bytes]:
    records = ledger_of(world, 0).chain(world.peers[name].key)
    return [record.payload for record in records if record.kind == Kind.AUDIT]


def test_who_is_always_wrong_is_convicted_after_four_disputes() -> None:
    world = play("always-wrong", 10)
    member = member_of(world, BAD)
    assert convictions(world) == {BAD: "lost disputes"}
    assert (member.agreements, member.dissents, member.convicted_after) == (0, 4, 4)
    assert audits_until_conviction(world.network, 0, 1_000_000, certainty_ppm=999_999) == 4


def test_who_is_wrong_at_a_rate_is_convicted_within_the_tests_table() -> None:
    world = play("wrong", 22, rate_ppm=500_000)
    bound = audits_until_conviction(world.network, 0, 500_000, certainty_ppm=999_000)
    assert bound is not None
    assert convictions(world) == {BAD: "lost disputes"}
    assert member_of(world, BAD).agreements > 0
    assert 4 <= member_of(world, BAD).convicted_after <= bound


def test_who_lies_in_long_answers_alone_is_convicted_for_them() -> None:
    """Three audits in a hundred are long. Its right answers to the others keep its sum over all answers low."""
    world = play("long-only", 24, slots_milli=4_000, disputes_per_cut=4, long_permille=30, long_tokens=48)
    member, steps = member_of(world, BAD), class_steps(world.network)[0]
    assert convictions(world) == {BAD: "wrong in long answers"}
    assert member.cusum < steps.threshold < steps.long_threshold <= member.long_cusum
    assert 4 <= len(member.long_losses) <= 6
    assert member.agreements > 20 * member.dissents
    bound = audits_until_conviction(world.network, 0, 1_000_000, certainty_ppm=999_000, is_long=True)
    assert bound is not None
    assert member.convicted_after <= bound
    assert all(final(world).members[peer.key].long_cusum == 0 for peer in world.peers if peer.kind == HONEST)


def test_without_long_audits_nobody_knows_of_such_lies() -> None:
    """The rule that the tail replaces: all audits are of lengths about which it is honest."""
    world = make_world(PEERS, kinds={BAD: "long-only"})
    world.run_epochs(20)
    assert convictions(world) == {}
    assert (member_of(world, BAD).dissents, member_of(world, BAD).agreements > 20) == (0, True)


def test_a_sleeper_has_nothing_from_its_good_time() -> None:
    world = make_world(PEERS, kinds={BAD: "sleeper"}, onset_epoch=6)
    world.run_epochs(6)
    assert convictions(world) == {}
    assert member_of(world, BAD).agreements > 4
    finish(world, 8)
    assert member_of(world, BAD).disputes_lost == 4


def test_colluders_hide_what_they_find_but_not_what_others_find() -> None:
    """Three of ten peers give one wrong answer. Each of their own audits agrees with them or is not made."""
    world = make_world(10, kinds={1: "colluders", 4: "colluders", 8: "colluders"}, slots_milli=1500, disputes_per_cut=4)
    finish(world, 14)
    assert convictions(world) == dict.fromkeys((1, 4, 8), "lost disputes")
    found = [
        decode_audit(data, world.network.id, world.peers[n].key) for n in (1, 4, 8) for data in audits_of(world, n)
    ]
    assert not any(audit.differ for audit in found)
    dropped = [a for audit in found for a in audit.asked if a.receipt is None]
    assert {world.by_key[a.responder].number for a in dropped} <= set(honest_numbers(world))
    assert dropped  # a peer answered, and the audit says that it did not
    assert sum(member_of(world, n).no_shows for n in (1, 4, 8)) > 0


def test_who_is_aware_of_duplicates_meets_the_challengers_own_answer() -> None:
    """It lies only if no friend was asked the same, but it is still compared. Its votes are honest."""
    world = play("duplicate-aware", 16, partner="duplicate-aware")
    assert set(convictions(world)) == {BAD, CHEAT}
    assert member_of(world, BAD).dissents == 4


def test_a_copier_is_right_only_where_its_friend_was_asked_too() -> None:
    """One of the gang runs the model and is honest. The other guesses most answers and is convicted."""
    world = play_gang("copier", 12)
    runner, copier = sorted((BAD, CHEAT), key=lambda number: world.peers[number].key)
    assert convictions(world) == {copier: "lost disputes"}
    assert member_of(world, runner).dissents == 0


def test_colluders_that_sign_no_conviction_are_convicted_while_they_are_few() -> None:
    """Two of eight cannot prevent the certification of a cut. They sign the cuts that do not harm them."""
    world = play("stalling-colluders", 14, partner="stalling-colluders")
    assert set(convictions(world)) == {BAD, CHEAT}
    signed = {
        decode_cut_signature(record.payload).cut
        for name in (BAD, CHEAT)
        for record in ledger_of(world, 0).chain(world.peers[name].key)
        if record.kind == Kind.CUT_SIGNATURE
    }
    harmful = [
        state.id
        for cut_id in final(world).path
        if (state := world.peers[0].machine.fold.state(cut_id)) is not None
        and any(member.is_convicted for member in state.members.values())
    ]
    assert signed
    assert harmful
    assert not signed & set(harmful)


def test_a_proxy_has_another_answer() -> None:
    world = play("proxy", 12)
    assert convictions(world) == {BAD: "lost disputes"}
    assert member_of(world, BAD).agreements > 0  # its own audits are honest


def test_a_silent_peer_is_unavailable_and_nothing_worse() -> None:
    world = play("silent", 8)
    member = member_of(world, BAD)
    assert convictions(world) == {}
    assert (member.dissents, sum(c.answered for c in member.contacts.values())) == (0, 0)
    assert sum(c.asked for c in member.contacts.values()) > 3


def test_a_withholder_protects_nobody() -> None:
    """The others find what it hides. Missing audits and disputes that it never opened are counted beside its name."""
    world = play("withholder", 11, partner="always-wrong", slots_milli=3_000)
    member = member_of(world, BAD)
    assert convictions(world) == {CHEAT: "lost disputes"}
    assert member.no_shows + member.unopened > 0


def test_a_withheld_duty_is_a_missed_one() -> None:
    world = play("duty-withholder", 12, duty_epochs=3, anchor_window=2)
    honest = [member_of(world, name).missed_duties for name in honest_numbers(world)]
    assert member_of(world, BAD).duties_met == 0
    assert member_of(world, BAD).missed_duties >= 4
    assert max(honest) == 0


def test_a_slanderer_loses_the_disputes_that_it_opens() -> None:
    world = play("slanderer", 12)
    assert convictions(world) == {BAD: "lost disputes"}
    assert all(member_of(world, name).dissents == 0 for name in honest_numbers(world))


def test_who_never_opens_its_answer_opens_few_disputes() -> None:
    """It cannot lose them, so each unopened dispute blocks its next ones until the dispute's time is over."""
    world = play("mute-slanderer", 20, slots_milli=2_000, dispute_epochs=8)
    totals = final(world).totals
    member = member_of(world, BAD)
    assert convictions(world) == {}
    assert (member.dissents, member.unopened > 0) == (0, True)
    assert totals["disputes"] <= 12 < totals["lapsed disputes"]
    assert all(member_of(world, name).dissents == 0 for name in honest_numbers(world))


class WithoutLogits(SimulatedEngine):
    def outcome(self, job: Job, total_ms: int, say: Say) -> Outcome:
        made = super().outcome(job, total_ms, say)
        if not isinstance(made, Computed):
            return made
        return replace(made, output=replace(made.output, logits=bytes(32)))


def test_a_lazy_challenger_agrees_with_whom_it_copies() -> None:
    """It never answers a slot itself, and it loses the disputes in which it copied a lie.

    Answers have no logits here, because it copies only the tokens.
    """

    def engine(actor: Actor) -> SimulatedEngine:
        return WithoutLogits(150, 150, actor.machine.context.class_index)

    world = play("lazy-challenger", 14, partner="always-wrong", spot_check_permille=500, engine=engine)
    actor = world.peers[BAD].actor
    assert isinstance(actor, LazyChallenger)
    assert actor.copied > 5
    assert CHEAT in convictions(world)
    audits = [decode_audit(data, world.network.id, world.peers[BAD].key) for data in audits_of(world, BAD)]
    solo = [audit for audit in audits if len(audit.asked) == 1]
    assert solo
    assert not any(audit.differ for audit in solo)


def test_a_lazy_voters_seals_open_for_nobody() -> None:
    world = play("lazy-voter", 12, partner="always-wrong")
    assert CHEAT in convictions(world)
    assert final(world).totals["vote: does not open the commit"] > 0
    assert member_of(world, BAD).dissents == 0
    votes = [r for r in ledger_of(world, 0).chain(world.peers[BAD].key) if r.kind == Kind.VOTE]
    assert votes


def test_a_lazy_voter_copies_the_opened_answer_of_a_spot_check() -> None:
    """Spot checks are not blind, as the README says."""
    world = play("lazy-voter", 10, spot_check_permille=1000)
    totals = final(world).totals
    assert totals["decided disputes"] > 0
    assert "vote: does not open the commit" not in totals
    assert any(r.kind == Kind.VOTE for r in ledger_of(world, 0).chain(world.peers[BAD].key))


def test_the_same_seed_plays_the_same_world() -> None:
    worlds = [make_world(5, kinds={BAD: "wrong"}, rate_ppm=300_000, seed=seed) for seed in (5, 5, 6)]
    for world in worlds:
        world.run_epochs(5)
    one, again, other = (final(world).id for world in worlds)
    assert one == again != other


def test_a_lie_is_the_same_before_and_after_a_restart() -> None:
    """A lie follows from the question, so a peer that has lost its memory gives the same answer again."""
    world = make_world(PEERS, kinds={BAD: "colluders"}, rate_ppm=500_000)
    world.run_epochs(6)
    restart(world, BAD)
    finish(world, 16)
    keys = [bytes([n]) * 32 for n in range(64)]
    one, two = world.peers[BAD]._make(), world.peers[BAD]._make()
    assert [one.lies(key) for key in keys] == [two.lies(key) for key in keys]  # type: ignore[attr-defined]
    assert 16 < sum(one.lies(key) for key in keys) < 48  # type: ignore[attr-defined]


def test_the_table_of_audits_is_that_of_the_design() -> None:
    """The median and the worst of 1,000, by the exact chain of the test."""
    network = make_world(2, kinds={}).network
    medians = [audits_until_conviction(network, 0, ppm) for ppm in (1_000_000, 500_000, 200_000, 100_000, 50_000)]
    assert medians == [4, 7, 19, 37, 86]
    assert audits_until_conviction(network, 0, 200_000, certainty_ppm=999_000) == 64
    assert audits_until_conviction(network, 0, 20_000) is None
    assert all(one < two for one, two in itertools.pairwise(medians) if one and two)
