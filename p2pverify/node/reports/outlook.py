"""What a node waits for, in epochs and seconds: a part of its status."""

from dataclasses import dataclass

from p2pverify.core import outlook
from p2pverify.core.roles.cut_maker import cut_due_ms
from p2pverify.node.reports.documents.status import Due, LackDocument, WayToWeight
from p2pverify.node.reports.readiness import Node


@dataclass(frozen=True, slots=True)
class Waits:
    """The next cut, the first score if there is none yet, and the steps to weight if there is none."""

    next_cut: Due
    first_score: Due | None
    weight: int
    way_to_weight: WayToWeight | None


def report(node: Node) -> Waits:
    """What the node waits for now."""
    machine, now_ms = node.machine, node.driver.now_ms()
    first = None
    if node.own is None or not node.own.audits:
        first = outlook.first_score_epoch(
            machine.network, node.latest, machine.key, machine.context.class_index, now_ms
        )
    next_epoch, _ = outlook.next_cut(machine.network.params, node.latest, now_ms)
    return Waits(
        _due(node, next_epoch, now_ms),
        None if first is None else _due(node, first, now_ms),
        0 if node.own is None else node.own.weight,
        _way_to_weight(node, now_ms),
    )


def _way_to_weight(node: Node, now_ms: int) -> WayToWeight | None:
    prospect = outlook.prospect(node.machine.network.params, node.latest, node.machine.key, now_ms)
    if prospect is None:
        return None
    lacks = tuple(LackDocument(what=lack.what, has=lack.has, needs=lack.needs) for lack in prospect.lacks)
    return WayToWeight(lacks=lacks, turn=_due(node, prospect.turn_epoch, now_ms), earned=prospect.earned)


def _due(node: Node, epoch: int, now_ms: int) -> Due:
    due_ms = cut_due_ms(node.machine.network.params, epoch)
    return Due(epoch=epoch, due_s=max(0, -(-(due_ms - now_ms) // 1000)))
