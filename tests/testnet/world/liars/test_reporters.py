"""Peers that report right answers as wrong, in a small world."""

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.report import report_of
from tests.support.worlds import final
from tests.testnet.world.liars.test_answers import BAD, play
from tests.testnet.world.looks import convictions, honest_numbers, ledger_of, member_of


def test_slander_by_reports_costs_the_reporter_alone() -> None:
    """It reports several members, each dispute is decided for the accused, and four lost ones convict it."""
    world = play("false-reporter", 24, count=6, slots_milli=200)
    totals, chain = final(world).totals, ledger_of(world, 0).chain(world.peers[BAD].key)
    reported = {report_of(record).responder for record in chain if record.kind == Kind.REPORT}
    assert len(reported) >= 3
    assert totals["disputes about reports"] >= 4
    assert convictions(world) == {BAD: "lost disputes"}
    assert member_of(world, BAD).dissents >= 4
    assert all(member_of(world, number).dissents == 0 for number in honest_numbers(world))
