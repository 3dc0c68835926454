"""Explaining a dispute that a report opened: who reported, what the reporter shows, and what the seats found."""

from dataclasses import replace

import pytest

from p2pverify.cli.show.explain import explained as told
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.reports.documents.explained import ReportDocument
from p2pverify.testnet.world import World
from tests.core.machine.test_reports_world import LIAR, REPORTER, found, report
from tests.node.reports.test_explain import explained, node
from tests.support.worlds import make_world

OBSERVER = 3
WIDTH = 100


@pytest.fixture
def world() -> World:
    """Six peers, before the report."""
    world = make_world(6)
    world.run_epochs(6)
    return world


def id_of(world: World, number: int) -> str:
    return peer_id(world.peers[number].machine.key)


def name_of(world: World) -> str:
    ((_, epoch),) = world.peers[OBSERVER].machine.fold.latest.reports
    return f"e{epoch}-255-{id_of(world, REPORTER)[8:16]}"


@pytest.mark.parametrize("is_private", [False, True])
@pytest.mark.parametrize("honest", [False, True])
async def test_a_report_that_was_decided(world, honest, is_private):
    """A reported lie costs the liar, and slander costs the reporter. Four seats voted; nobody else has the question."""
    report(world, replace(found(world, honest=honest), is_private=is_private))
    world.run_epochs(8)
    async with node(world, OBSERVER) as reports:
        listed = reports.audits(limit=1000)
        (dispute,) = [each.id for each in listed.disputes if each.slot == 255]
        assert all(each.slot != 255 for each in listed.audits)
        seen = await explained(reports, dispute)
    loser = id_of(world, REPORTER if honest else LIAR)
    assert (dispute, seen.status, seen.question) == (name_of(world), "decided", None)
    assert seen.report == ReportDocument(shows="seats", private=is_private, own_output=None, equals_own=None)
    assert seen.dispute is not None
    assert seen.dispute.losers == (loser,)
    (output,) = seen.dispute.outputs
    assert (output.votes, output.decided) == (4, True)
    assert output.verdicts == {id_of(world, LIAR): "match" if honest else "mismatch"}
    voters = {voter.peer_id for voter in seen.dispute.voters if voter.seat}
    assert voters == {id_of(world, number) for number in range(6) if number not in (REPORTER, LIAR)}
    assert len(seen.dispute.voters) == 4
    text = "\n".join(told(seen, WIDTH))
    assert f"reporter    {id_of(world, REPORTER)}" in text
    shows = "private: readable by the seats" if is_private else "the question, to the seats of the dispute"
    assert f"shows       {shows}" in text
    assert f"lost  {loser}" in text
    assert text.count(" seat ") == 4
    assert "alone, so no answer is shown here" in text


async def test_a_report_without_the_question(world):
    """It has digests: of the receipt, and of the reporter's own answer. No dispute opens."""
    report(world, found(world, shows=False))
    world.run_epochs(3)
    async with node(world, OBSERVER) as reports:
        seen = await explained(reports, name_of(world))
    assert seen.report == ReportDocument(shows="nobody", private=False, own_output="00" * 32, equals_own=False)
    assert (seen.status, seen.dispute) == ("closed", None)
    text = "\n".join(told(seen, WIDTH))
    assert "own answer  0000000000000000, not the answer of the receipt" in text
    assert "digests alone" in text
