"""Judging the receipts of a slot across classes: whether measures fit an audit, whether it sealed them, and verdicts.

`duties` and `disputes` share this module, and decide the effect of the verdicts.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from p2pverify.core.contract.network import Network
from p2pverify.core.inference.compare import Measures, Verdict, as_usual, verdict
from p2pverify.core.inference.pooled import evidence
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


class JudgedReceipt(NamedTuple):
    """The judgement of one receipt.

    `evidence` is what it adds to the pooled test (1/1024 nat), None if it is not pooled.
    """

    responder: bytes
    class_index: int
    verdict: Verdict
    evidence: int | None


def verdicts(network: Network, asked: tuple[AskedPeer, ...], measures: Measures) -> list[JudgedReceipt]:
    """The judgement of each receipt. The measures must fit; a class has its own bounds.

    The bets of the pooled test were fitted to answers of the usual length, so a longer one is not pooled.
    """
    usual, found = network.params.answer_tokens, []
    for each, measure in zip(asked, measures, strict=True):
        if each.receipt is None or measure is None:
            continue
        bounds = network.classes[each.receipt.class_index].across
        assert bounds is not None  # only members of classes with bounds are asked across classes
        judged = verdict(as_usual(measure, usual), bounds)
        pooled = evidence(measure, bounds) if measure.count <= usual else None
        found.append(JudgedReceipt(each.responder, each.receipt.class_index, judged, pooled))
    return found


def is_suspicious(judged: Iterable[JudgedReceipt]) -> bool:
    """Whether an answer is a mismatch, or adds to the pooled test: a challenger with weight disputes such a slot."""
    return any(one.verdict is Verdict.MISMATCH or (one.evidence or 0) > 0 for one in judged)


def settle(step: Transition, audit: Audit, judged: Sequence[JudgedReceipt], *, is_decided: bool, is_long: bool) -> None:
    """Count each verdict for its responder, and its evidence in the pooled test.

    On the challenger's word alone (not `is_decided`) no evidence against a peer counts.
    """
    for one in judged:
        match one.verdict:
            case Verdict.MATCH:
                step.agree(one.responder, audit, is_long=is_long, across=one.class_index)
            case Verdict.MISMATCH:
                step.dissent(one.responder, audit, is_long=is_long, across=one.class_index)
            case Verdict.INCONCLUSIVE:
                step.state.count("inconclusive answers")
                step.abstain(one.responder)
        if one.evidence is not None and (is_decided or one.evidence <= 0):
            step.bet(one.responder, audit, one.evidence)
