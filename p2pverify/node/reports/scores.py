"""A view's scores as documents: one row for each member, and the speeds by claimed hardware."""

from collections.abc import Iterable

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.speed import Fit, Speed, median
from p2pverify.core.state import view
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import FAR_OFF, LOST_DISPUTES, WRONG_WHEN_LONG
from p2pverify.node.reports.documents.scores import HardwareGroup, LossesRerun, ScoreDocument, SpeedDocument


def score_document(score: view.Score, rerun: LossesRerun | None = None) -> ScoreDocument:
    """A member's row. Rates are fractions rounded to 6 digits. `rerun` is what this node found itself."""
    available = score.availability_ppm
    return ScoreDocument(
        peer_id=peer_id(score.peer),
        class_=score.class_name,
        standing=score.standing.value,
        reason=_reason(score),
        weight=score.weight,
        low=_fraction(score.low_ppm),
        high=_fraction(score.high_ppm),
        audits=score.audits,
        agreements=score.agreements,
        dissents=score.dissents,
        challengers=score.challengers,
        last_audit_epoch=score.last_audit_epoch if score.last_audit_epoch >= 0 else None,
        availability=None if available is None else _fraction(available),
        no_shows=score.no_shows,
        slots_owed=score.slots_owed,
        unopened=score.unopened,
        cusum=score.cusum,
        threshold=score.threshold,
        long_cusum=score.long_cusum,
        long_threshold=score.long_threshold,
        judged=score.judged,
        capital=score.capital,
        capital_threshold=score.capital_threshold,
        convicted_epoch=score.convicted_epoch,
        convicted_after_audits=score.convicted_after,
        conviction=score.conviction,
        fork_until_epoch=score.fork_until,
        contested_by=tuple(peer_id(peer) for peer in score.contested_by),
        rerun=rerun,
        sponsors=tuple(peer_id(peer) for peer in score.sponsors),
        rests=score.rests,
        hardware=None if score.speed is None else _speed(score.speed),
        version=score.version,
        behind=score.is_behind,
        handovers=score.handovers,
        handed_epoch=score.handed_epoch,
        moves_to=None if score.moves_to is None else peer_id(score.moves_to),
    )


def _reason(score: view.Score) -> str | None:
    """Why a peer is suspect, convicted or has lost its weight; None if there is nothing to explain."""
    if score.standing is Standing.CONVICTED:
        contesting = len(score.contested_by)
        return f"{score.conviction}; contested by {contesting}" if contesting else score.conviction
    if score.fork_until is not None:
        return f"log forked, until epoch {score.fork_until}"
    if score.standing is Standing.SUSPECT:
        if score.capital > 0:
            return FAR_OFF
        return WRONG_WHEN_LONG if score.long_cusum > score.cusum else LOST_DISPUTES
    if score.moves_to is not None:
        return f"about to move to {peer_id(score.moves_to)}"
    if score.rests:
        return "its weight rests, because it was silent for long"
    return None


def hardware_groups(scores: Iterable[view.Score]) -> tuple[HardwareGroup, ...]:
    """Speeds by the hardware that peers of a class claim: least, median and greatest.

    Only peers whose speed challengers know are counted.
    """
    groups: dict[tuple[str, str], list[Speed]] = {}
    for score in scores:
        if score.speed is not None:
            groups.setdefault((score.class_name, score.speed.claim), []).append(score.speed)
    return tuple(_group(class_name, claim, speeds) for (class_name, claim), speeds in sorted(groups.items()))


def _group(class_name: str, claim: str, speeds: list[Speed]) -> HardwareGroup:
    known = [speed.typical for speed in speeds if speed.typical is not None]
    first, step = [each.first_ms for each in known], [each.step_us for each in known if each.step_us]
    return HardwareGroup(
        class_=class_name,
        claim=claim,
        peers=len(speeds),
        measured=len(known),
        consistent=sum(speed.fit is Fit.CONSISTENT for speed in speeds),
        inconsistent=sum(speed.fit is Fit.INCONSISTENT for speed in speeds),
        first_token_ms=(min(first), median(first), max(first)) if first else None,
        tokens_per_s=tuple(_per_second(us) for us in (max(step), median(step), min(step))) if step else None,
    )


def _speed(speed: Speed) -> SpeedDocument:
    """Milliseconds to the first token, and tokens per second after it, as challengers measured them."""
    typical = speed.typical
    return SpeedDocument(
        claim=speed.claim,
        fit=speed.fit.value,
        challengers=speed.challengers,
        token_ms=None if typical is None else typical.token_us / 1000,
        first_token_ms=None if typical is None else typical.first_ms,
        tokens_per_s=_per_second(typical.step_us) if typical is not None and typical.step_us else None,
    )


def _per_second(microseconds: int) -> float:
    return round(1e6 / microseconds, 1)


def _fraction(ppm: int) -> float:
    return round(ppm / 1_000_000, 6)
