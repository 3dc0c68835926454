"""Computes gossip scores from a list of events in plain JSON, as in the test vectors."""

from dataclasses import asdict, replace
from typing import Any

from p2pverify.core.gossip.params import ScoreParams
from p2pverify.core.gossip.score import PeerScores

Event = dict[str, Any]


def run_trace(changes: dict[str, int], events: list[Event]) -> dict[str, dict[str, int]]:
    """The parts of every kept score after the events."""
    scores = PeerScores(replace(ScoreParams(), **changes))  # type: ignore[arg-type]
    for event in events:
        peer = event.get("peer", "").encode().ljust(32, b"\x00")
        topic = event.get("topic", "t")
        match event["event"]:
            case "connect":
                scores.add(peer, event.get("ip", ""), event["at"])
            case "disconnect":
                scores.remove(peer, event["at"])
            case "graft":
                scores.grafted(peer, topic, event["at"])
            case "leave":
                scores.left(peer, topic)
            case "heartbeat":
                scores.decay(event["at"])
            case "appraise":
                scores.appraise(peer, event["score"])
            case "misbehave":
                for _ in range(event.get("times", 1)):
                    scores.misbehaved(peer)
            case other:
                took = {
                    "first": scores.delivered_first,
                    "near-first": scores.delivered_near_first,
                    "invalid": scores.delivered_invalid,
                }[other]
                for _ in range(event.get("times", 1)):
                    took(peer, topic)
    return {peer.rstrip(b"\x00").decode(): asdict(parts) for peer, parts in scores.all_parts().items()}
