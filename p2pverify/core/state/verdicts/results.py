"""What a vote and an objection have in common: they say a result for a dispute, and cite a certified cut."""

from p2pverify.core.inference.compare import Measures, verdict_digest
from p2pverify.core.records.payloads.vote import UNDERIVABLE
from p2pverify.core.state.transition import Transition
from p2pverify.core.state.verdicts import cross_class
from p2pverify.core.state.verdicts.notes import Dispute


def refuse_certificate(step: Transition, dispute: Dispute, certificate: bytes) -> str | None:
    """Why a cited cut does not show that the sealing of a dispute was closed, or None."""
    if not step.is_certified(certificate):
        return "certificate is not one here"
    cited = step.past(certificate)
    then = None if cited is None else cited.disputes.get(dispute.key)
    return "certificate is before the sealing was closed" if then is None or not then.is_closed else None


def refuse_result(
    step: Transition,
    dispute: Dispute,
    class_index: int,
    output: bytes,
    measures: Measures,
    *,
    may_be_underivable: bool = True,
) -> str | None:
    """Why a result does not fit the kind of its dispute, or None.

    `may_be_underivable`: it can say that the question does not follow from the slot, which a challenger cannot.
    """
    audit = dispute.audit
    if not dispute.is_across:
        if class_index != step.state.members[audit.challenger].class_index:
            return "another class"
        return "measures in a dispute within a class" if measures else None
    if output == UNDERIVABLE and may_be_underivable:
        return "measures of what cannot be derived" if measures else None
    if not cross_class.fits(audit, measures):
        return "measures do not fit the receipts"
    is_digest = output == verdict_digest(audit.question, measures)
    return None if is_digest else "not the digest of its measures"
