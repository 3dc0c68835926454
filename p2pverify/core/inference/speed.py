"""Hardware by latency: how fast a peer answered, held against the others that claim the same hardware.

Time is what challengers measured, the way there and back taken off: a peer cannot answer sooner than its machine is
able to. What a receipt says of the time only divides it. A loaded peer is slow at times and a slow machine always, so
of each challenger's samples one of the fastest counts, and of those the median. All of it is an opinion beside the
score: standing, weight and the sequential test never look at it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from p2pverify.core.errors import DecodeError

CLAIM_CHARS_MAX = 64
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9 ._+/-]*[a-z0-9])?")
#: Samples are kept by the window of their epoch: the newest, and the one before it.
WINDOW_EPOCHS = 128
WINDOWS_KEPT = 2
#: The fastest samples of a window. One in `PASSED_OVER` does not count: a few answers that came from elsewhere do not
#: make a machine fast.
FASTEST_KEPT = 4
PASSED_OVER = 16
#: A shorter answer says little of the speed.
TOKENS_MIN = 8
#: What a judgement needs: samples of a challenger, weighted challengers, and weighted others with the same claim.
SAMPLES_MIN = 5
CHALLENGERS_MIN = 3
OTHERS_MIN = 3
#: How much slower than the median of the others a peer may be: half as much again, or so many median absolute
#: deviations, or so many microseconds per token; whichever is most.
DEVIATIONS = 6
FLOOR_US = 2_000


class Fit(StrEnum):
    """Whether a peer is as fast as others that claim its hardware."""

    CONSISTENT = "consistent"
    INCONSISTENT = "inconsistent"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """One answer: microseconds per token of the whole time, and how its receipt divides that time into milliseconds
    until the first token and microseconds for each further one."""

    token_us: int
    first_ms: int
    step_us: int


@dataclass(frozen=True, slots=True)
class Window:
    """What one challenger measured of a peer in a window of epochs: how often, and the fastest samples in order."""

    number: int
    count: int
    fastest: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """What the network knows of a peer's speed: medians over its `challengers`, None without any, and the fit."""

    claim: str
    challengers: int
    typical: Sample | None
    fit: Fit


def check_claim(text: str) -> str:
    """A hardware claim, or DecodeError: "" for none, or lower-case letters, digits and ` ._+/-` inside."""
    if text and (len(text) > CLAIM_CHARS_MAX or not text.isascii() or not _CLAIM.fullmatch(text)):
        raise DecodeError(f"hardware: not 1 to {CLAIM_CHARS_MAX} lower-case letters, digits and ' ._+/-' between them")
    return text


def sample(elapsed_ms: int, token_count: int, first_token_ms: int, total_ms: int) -> Sample | None:
    """What one answer tells, None if it is too short or its time is not known.

    The receipt's times move time between the first token and the others, and take none away.
    """
    if elapsed_ms < 1 or token_count < TOKENS_MIN:
        return None
    later_ms = min(elapsed_ms, max(0, total_ms - first_token_ms))
    return Sample(1000 * elapsed_ms // token_count, elapsed_ms - later_ms, 1000 * later_ms // (token_count - 1))


def observe(windows: tuple[Window, ...], epoch: int, found: Sample) -> tuple[Window, ...]:
    """A challenger's windows with one more sample; the same in whatever order samples come."""
    number = epoch // WINDOW_EPOCHS
    by_number = {window.number: window for window in windows}
    before = by_number.get(number, Window(number, 0, ()))
    by_number[number] = Window(number, before.count + 1, tuple(sorted((*before.fastest, found))[:FASTEST_KEPT]))
    newest = max(by_number)
    return tuple(by_number[each] for each in sorted(by_number) if each > newest - WINDOWS_KEPT)


def fastest_of(windows: Sequence[Window]) -> Sample | None:
    """The sample of a challenger that counts, None below `SAMPLES_MIN` samples."""
    count = sum(window.count for window in windows)
    if count < SAMPLES_MIN:
        return None
    fastest = sorted(found for window in windows for found in window.fastest)[:FASTEST_KEPT]
    return fastest[min(count // PASSED_OVER, FASTEST_KEPT - 1)]


def typical(by_challenger: Iterable[Sequence[Window]]) -> tuple[int, Sample | None]:
    """How many challengers know enough, and the medians over them: each figure for itself, the lower of two."""
    known = [found for windows in by_challenger if (found := fastest_of(windows)) is not None]
    if not known:
        return 0, None
    return len(known), Sample(
        median(each.token_us for each in known),
        median(each.first_ms for each in known),
        median(each.step_us for each in known),
    )


def judge(own: int, others: Sequence[int]) -> Fit:
    """Whether microseconds per token fit those of the others that claim the same.

    Only slower is inconsistent, by more than the median absolute deviation allows (Hampel 1974).
    """
    if len(others) < OTHERS_MIN:
        return Fit.TOO_FEW
    middle = median(others)
    deviation = median(abs(each - middle) for each in others)
    slack = max(middle // 2, DEVIATIONS * deviation, FLOOR_US)
    return Fit.INCONSISTENT if own > middle + slack else Fit.CONSISTENT


def median(numbers: Iterable[int]) -> int:
    """The median of at least one number; of an even count the lower of the two in the middle."""
    found = sorted(numbers)
    return found[(len(found) - 1) // 2]


@dataclass(frozen=True, slots=True)
class Claimant:
    """A peer that claims some hardware: the windows of its weighted challengers. `counts` if others are held against
    it: it is active, has weight, and was not convicted."""

    class_index: int
    claim: str
    windows: tuple[tuple[Window, ...], ...]
    counts: bool


def speeds(claimants: Mapping[bytes, Claimant]) -> dict[bytes, Speed]:
    """The speed of each claimant, held against those of its class with the same claim."""
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
    assert known[1] is not None  # of the group are only those that challengers know
    return known[1].token_us
