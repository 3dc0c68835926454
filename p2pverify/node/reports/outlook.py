"""What a node waits for, in epochs and seconds: JSON values of its status."""

from dataclasses import asdict

from p2pverify.core import outlook
from p2pverify.core.roles.cut_maker import cut_due_ms
from p2pverify.node.reports.readiness import Node


def report(node: Node) -> dict[str, object]:
    """The next cut, the first score if there is none yet, and the steps to weight if there is none."""
    machine, now_ms = node.machine, node.driver.now_ms()
    network, params, latest = machine.network, machine.network.params, node.latest

    def due(epoch: int) -> dict[str, object]:
        return {"epoch": epoch, "due_s": max(0, -(-(cut_due_ms(params, epoch) - now_ms) // 1000))}

    first = None
    if node.own is None or not node.own.audits:
        first = outlook.first_score_epoch(network, latest, machine.key, machine.context.class_index, now_ms)
    prospect = outlook.prospect(params, latest, machine.key, now_ms)
    return {
        "next_cut": due(outlook.next_cut(params, latest, now_ms)[0]),
        "first_score": None if first is None else due(first),
        "weight": 0 if node.own is None else node.own.weight,
        "way_to_weight": prospect
        and {
            "lacks": [asdict(lack) for lack in prospect.lacks],
            "turn": due(prospect.turn_epoch),
            "earned": prospect.earned,
        },
    }
