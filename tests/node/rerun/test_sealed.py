"""Decided reports of a ledger: they are named, because nobody else can run them again."""

import random

from p2pverify.core.replica.cases import find_cases
from p2pverify.node.rerun.draw import Obstacle, draw_cases
from tests.core.machine.test_reports_world import LIAR, REPORTER, found, report
from tests.support.worlds import make_world


def test_decided_reports_are_named() -> None:
    """A reader gets the case with its decision, whose question was shown to the seats alone."""
    world = make_world(6)
    world.run_epochs(6)
    key = report(world, found(world))
    world.run_epochs(8)
    fold = world.peers[2].machine.fold
    (case,) = [each for each in find_cases(fold, fold.latest.id) if each.is_sealed]
    assert (case.audit.key, case.is_disputed, case.is_across) == (key, True, False)
    assert case.audit.parties == {world.peers[n].machine.key for n in (REPORTER, LIAR)}
    draw = draw_cases([case], None, lambda each: Obstacle.SEALED if each.is_sealed else None, random.Random(1))
    assert (draw.sealed, draw.cases, draw.left_out[Obstacle.SEALED]) == ([case], [], 1)
