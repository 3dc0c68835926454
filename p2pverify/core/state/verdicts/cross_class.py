"""Judging the receipts of a slot across classes: whether measures fit an audit, whether it sealed them, and verdicts.

`duties` and `disputes` share this module, and decide the effect of the verdicts.
"""

from p2pverify.core.contract.network import Network
from p2pverify.core.inference.compare import Measures, Verdict, verdict
from p2pverify.core.records.payloads.audit import AskedPeer, Audit, sealed_measures
from p2pverify.core.state.transition import Transition


def fits(audit: Audit, measures: Measures) -> bool:
    """Whether each receipt of an audit has a measure with its token count, and peers without a receipt have none."""
    if len(measures) != len(audit.asked):
        return False
    return all(
        measure is None if asked.receipt is None else measure is not None and measure.count == asked.receipt.token_count
        for asked, measure in zip(audit.asked, measures, strict=True)
    )


def is_sealed_in(audit: Audit, network_id: bytes, measures: Measures, salts: tuple[bytes, ...]) -> bool:
    """Whether an audit committed to these measures."""
    return audit.sealed == sealed_measures(network_id, audit.key, audit.question, measures, salts)


def verdicts(network: Network, asked: tuple[AskedPeer, ...], measures: Measures) -> list[tuple[bytes, int, Verdict]]:
    """The responder, its class and the verdict for each receipt. The measures must fit; a class has its own bounds."""
    found = []
    for each, measure in zip(asked, measures, strict=True):
        if each.receipt is None or measure is None:
            continue
        bounds = network.classes[each.receipt.class_index].across
        assert bounds is not None  # only members of classes with bounds are asked across classes
        found.append((each.responder, each.receipt.class_index, verdict(measure, bounds)))
    return found


def settle(step: Transition, audit: Audit, judged: list[tuple[bytes, int, Verdict]]) -> None:
    """Count each verdict for its responder."""
    for peer, class_index, found in judged:
        match found:
            case Verdict.MATCH:
                step.agree(peer, audit, across=class_index)
            case Verdict.MISMATCH:
                step.dissent(peer, audit, across=class_index)
            case Verdict.INCONCLUSIVE:
                step.state.count("inconclusive answers")
                step.abstain(peer)
