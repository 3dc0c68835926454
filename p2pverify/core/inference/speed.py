"""Hardware by latency: how fast a peer answers, compared with other peers that claim the same hardware.

Challengers measure the time, less the round trip, because a peer cannot answer faster than its machine. The times in a
receipt only divide that time. A loaded peer is slow sometimes, a slow machine always. So one of the fastest samples of
each challenger counts, and then the median over challengers. All of it is an opinion beside the score: standing, weight
and the sequential test never use it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from p2pverify.core.errors import DecodeError

CLAIM_CHARS_MAX = 64
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9 ._+/-]*[a-z0-9])?")
#: Samples are kept by window of epochs: the newest window, and the one before it.
WINDOW_EPOCHS = 128
WINDOWS_KEPT = 2
#: The number of fastest samples kept of a window. One in `PASSED_OVER` does not count, so that a few answers from
#: another machine do not make a peer fast.
FASTEST_KEPT = 4
PASSED_OVER = 16
#: The least tokens of a sample; a shorter answer says little about the speed.
TOKENS_MIN = 8
#: A judgement needs at least: samples of a challenger, weighted challengers, and weighted others with the same claim.
SAMPLES_MIN = 5
CHALLENGERS_MIN = 3
OTHERS_MIN = 3
#: A peer may be slower than the median of the others by the greatest of: half of that median, this many median absolute
#: deviations, and this many microseconds per token.
DEVIATIONS = 6
FLOOR_US = 2_000


class Fit(StrEnum):
    """Whether a peer is as fast as others that claim its hardware."""

    CONSISTENT = "consistent"
    INCONSISTENT = "inconsistent"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """One answer: the whole time in microseconds per token, and its division by the receipt.

    The receipt divides the time into milliseconds until the first token, and microseconds for each further token.
    """

    token_us: int
    first_ms: int
    step_us: int


@dataclass(frozen=True, slots=True)
class Window:
    """One challenger's samples of a peer in a window of epochs: their number, and the fastest ones in order."""

    number: int
    count: int
    fastest: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of a peer: medians over its `challengers` (None without any), and whether it fits its claim."""

    claim: str
    challengers: int
    typical: Sample | None
    fit: Fit


def check_claim(text: str) -> str:
    """Return a valid hardware claim: "" for none, or lower-case letters and digits with ` ._+/-` between them.

    Raises DecodeError for any other text.
    """
    if text and (len(text) > CLAIM_CHARS_MAX or not text.isascii() or not _CLAIM.fullmatch(text)):
        raise DecodeError(f"hardware: not 1 to {CLAIM_CHARS_MAX} lower-case letters, digits and ' ._+/-' between them")
    return text


def sample(elapsed_ms: int, token_count: int, first_token_ms: int, total_ms: int) -> Sample | None:
    """The sample from one answer; None if it is too short or its time is unknown.

    The receipt's times only move time between the first token and the others; they do not change the sum.
    """
    if elapsed_ms < 1 or token_count < TOKENS_MIN:
        return None
    later_ms = min(elapsed_ms, max(0, total_ms - first_token_ms))
    return Sample(1000 * elapsed_ms // token_count, elapsed_ms - later_ms, 1000 * later_ms // (token_count - 1))


def observe(windows: tuple[Window, ...], epoch: int, found: Sample) -> tuple[Window, ...]:
    """A challenger's windows with one more sample. The order of samples does not matter."""
    number = epoch // WINDOW_EPOCHS
    by_number = {window.number: window for window in windows}
    before = by_number.get(number, Window(number, 0, ()))
    by_number[number] = Window(number, before.count + 1, tuple(sorted((*before.fastest, found))[:FASTEST_KEPT]))
    newest = max(by_number)
    return tuple(by_number[each] for each in sorted(by_number) if each > newest - WINDOWS_KEPT)


def fastest_of(windows: Sequence[Window]) -> Sample | None:
    """The sample that counts for a challenger; None if it has fewer than `SAMPLES_MIN` samples."""
    count = sum(window.count for window in windows)
    if count < SAMPLES_MIN:
        return None
    fastest = sorted(found for window in windows for found in window.fastest)[:FASTEST_KEPT]
    return fastest[min(count // PASSED_OVER, FASTEST_KEPT - 1)]


def typical(by_challenger: Iterable[Sequence[Window]]) -> tuple[int, Sample | None]:
    """The number of challengers with enough samples, and the medians over them, one for each figure."""
    known = [found for windows in by_challenger if (found := fastest_of(windows)) is not None]
    if not known:
        return 0, None
    return len(known), Sample(
        median(each.token_us for each in known),
        median(each.first_ms for each in known),
        median(each.step_us for each in known),
    )


def judge(own: int, others: Sequence[int]) -> Fit:
    """Whether a peer's microseconds per token fit those of others with the same claim.

    Only a slower peer is inconsistent: slower than the median absolute deviation allows (Hampel 1974).
    """
    if len(others) < OTHERS_MIN:
        return Fit.TOO_FEW
    middle = median(others)
    deviation = median(abs(each - middle) for each in others)
    slack = max(middle // 2, DEVIATIONS * deviation, FLOOR_US)
    return Fit.INCONSISTENT if own > middle + slack else Fit.CONSISTENT


def median(numbers: Iterable[int]) -> int:
    """The median of at least one number; for an even count, the lower of the two middle ones."""
    found = sorted(numbers)
    return found[(len(found) - 1) // 2]


@dataclass(frozen=True, slots=True)
class Claimant:
    """A peer that claims some hardware, with the windows of its weighted challengers.

    `counts`: others are compared with it, because it is active, has weight, and was not convicted.
    """

    class_index: int
    claim: str
    windows: tuple[tuple[Window, ...], ...]
    counts: bool


def speeds(claimants: Mapping[bytes, Claimant]) -> dict[bytes, Speed]:
    """The speed of each claimant, compared with claimants of its class that make the same claim."""
    known = {peer: typical(claimant.windows) for peer, claimant in claimants.items()}
    groups: dict[tuple[int, str], list[bytes]] = {}
    for peer in sorted(claimants):
        claimant = claimants[peer]
        if claimant.counts and known[peer][0] >= CHALLENGERS_MIN:
            groups.setdefault((claimant.class_index, claimant.claim), []).append(peer)
    found = {}
    for peer in sorted(claimants):
        claimant, (challengers, own) = claimants[peer], known[peer]
        fit = Fit.TOO_FEW
        if own is not None and challengers >= CHALLENGERS_MIN:
            group = groups.get((claimant.class_index, claimant.claim), [])
            fit = judge(own.token_us, [_token_us(known[other]) for other in group if other != peer])
        found[peer] = Speed(claimant.claim, challengers, own, fit)
    return found


def _token_us(known: tuple[int, Sample | None]) -> int:
    assert known[1] is not None  # a group has only peers with a sample
    return known[1].token_us
