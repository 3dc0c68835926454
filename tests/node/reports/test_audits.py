"""The list's status of an opened audit equals the fold's."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.inference.question import Opening
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.roles.context import Context
from p2pverify.node.reports.audits import AuditLog
from tests.support.across import BAD, COUNT, CUT_EPOCH, GOOD, UNSURE, Slotted, Story


class Opened(Story):
    """A story whose challengers open their slots as a test says. Their nonces match these openings."""

    def __init__(self, *, across_percent: int, **changes: object) -> None:
        self.changes = changes
        super().__init__("aaaabbb", across_percent=across_percent)

    def opening(self, slotted: Slotted, measures: object = ()) -> Opening:
        opening = replace(super().opening(slotted), measures=measures)
        if not slotted.panel.is_across:
            right = Output(tuple(range(COUNT)), "length", bytes(32)).digest(slotted.question.id)
            opening = replace(opening, class_index=0, output=right)
        return replace(opening, **self.changes)

    def publish_slot(self, measures: object) -> None:
        """Publish the audit of the first peer's first panel slot and the duty that opens it, in a cut."""
        slotted = self.panel_slot(self.seeds[0], is_across=bool(measures))
        unsealed = {} if slotted.panel.is_across else {"sealed": None}
        self.publish(self.audit(slotted, measures, **unsealed), [self.opening(slotted, measures)])
        self.cut(CUT_EPOCH + 2)

    def status(self) -> object:
        context = Context(self.network, self.seeds[-1], 1)
        context.ledger, context.fold = self.book.ledger, self.book.fold
        (audit,) = AuditLog(context).audits(10)
        return audit.status


@pytest.mark.parametrize(
    ("measures", "status"),
    [
        ((), "agreed"),
        ((GOOD, GOOD, GOOD), "agreed"),
        ((GOOD, UNSURE, GOOD), "inconclusive"),
        ((GOOD, BAD, GOOD), "void"),
    ],
)
def test_an_opening_that_holds(measures: object, status: str) -> None:
    """Valid openings have this status within a class and across classes."""
    story = Opened(across_percent=100 if measures else 0)
    story.publish_slot(measures)
    assert story.status() == status
    assert story.member(story.seeds[0]).void_audits == (status == "void")


@pytest.mark.parametrize(
    ("across_percent", "changes", "reason"),
    [
        (100, {"output": b"\1" * 32}, "forged opening"),
        (100, {"class_index": 0}, "forged opening"),
        (0, {"class_index": 1}, "forged opening"),
        (0, {"measures": (GOOD, GOOD, GOOD)}, "measures in a slot within a class"),
        (0, {"output": b"\1" * 32}, "called different answers equal"),
    ],
)
def test_what_the_fold_voids_is_void(across_percent: int, changes: dict[str, object], reason: str) -> None:
    """It is void although the opening gives every nonce and its other parts are right."""
    story = Opened(across_percent=across_percent, **changes)
    story.publish_slot((GOOD, GOOD, GOOD) if across_percent else ())
    assert story.latest.totals[f"void audit: {reason}"] == 1
    assert story.status() == "void"


def test_an_audit_keeps_its_status_when_its_challenger_changes_class() -> None:
    """The status depends on the class that the challenger had."""
    story = Opened(across_percent=0)
    story.publish_slot(())
    seed = story.seeds[0]
    story.book.say(seed, Kind.LEAVE, b"\x80", CUT_EPOCH + 3)
    story.cut(CUT_EPOCH + 3, proposer=1)
    story.book.say(seed, Kind.JOIN, Join(1, vrf.public_key(vrf.derive_seed(seed))).encode(), CUT_EPOCH + 4)
    story.cut(CUT_EPOCH + 4, proposer=1)
    assert story.latest.members[sign.public_key(seed)].class_index == 1
    assert story.status() == "agreed"
