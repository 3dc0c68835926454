"""Cases of hardware by latency: claims, samples, the kept values, and the result for a peer."""

from pathlib import Path
from typing import Any

from vectorgen.case import Case

from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.speed import Claimant, Sample, Speed, Window, check_claim, observe, sample, speeds


def case(comment: str, inputs: dict[str, Any], expect: object) -> Case:
    return {"comment": comment, "input": inputs, "expect": expect, "reason": None}


def _claim(comment: str, claim: str) -> Case:
    try:
        check_claim(claim)
    except DecodeError:
        return case(comment, {"claim": claim}, False)
    return case(comment, {"claim": claim}, True)


def _sample(comment: str, elapsed_ms: int, tokens: int, first_token_ms: int, total_ms: int) -> Case:
    inputs = {"elapsed_ms": elapsed_ms, "tokens": tokens, "first_token_ms": first_token_ms, "total_ms": total_ms}
    found = sample(elapsed_ms, tokens, first_token_ms, total_ms)
    return case(comment, inputs, None if found is None else _values(found))


def _values(found: Sample) -> list[int]:
    return [found.token_us, found.first_ms, found.step_us]


def _windows(items: list[tuple[int, int]]) -> tuple[Window, ...]:
    """The windows after answers of 10 tokens: epochs, and the milliseconds of each answer, half of them for the first
    token."""
    windows: tuple[Window, ...] = ()
    for epoch, elapsed_ms in items:
        found = sample(elapsed_ms, 10, elapsed_ms // 2, elapsed_ms)
        assert found is not None
        windows = observe(windows, epoch, found)
    return windows


def _kept(comment: str, items: list[tuple[int, int]]) -> Case:
    kept = [[w.number, w.count, [_values(each) for each in w.fastest]] for w in _windows(items)]
    return case(comment, {"epochs_and_ms": [list(item) for item in items]}, kept)


Measured = dict[str, list[list[int]]]


def _speeds(comment: str, measured: Measured, *, weightless: str = "") -> Case:
    """The milliseconds of answers of 10 tokens, by peer and challenger."""
    windows = {name: tuple(_windows([(0, ms) for ms in times]) for times in by) for name, by in measured.items()}
    claimants = {name.encode(): Claimant(0, "testbox", windows[name], name != weightless) for name in measured}
    found = {name.decode(): _speed(speed) for name, speed in speeds(claimants).items()}
    return case(comment, {"measured": measured, "weightless": weightless}, found)


def _speed(speed: Speed) -> list[object]:
    return [str(speed.fit), speed.challengers, [] if speed.typical is None else _values(speed.typical)]


def _even(ms: int) -> list[list[int]]:
    return [[ms, ms + 50, ms + 900, ms + 10, ms + 10] for _ in range(3)]


USUAL: Measured = {"alice": _even(1000), "bob": _even(1020), "carol": _even(1100), "dave": _even(980)}


def cases() -> dict[Path, list[Case]]:
    folder = Path("hardware")
    return {
        folder / "claim.json": [
            _claim("none", ""),
            _claim("one letter", "x"),
            _claim("a name with all kinds of characters", "2x epyc-7543/a_b+c.d"),
            _claim("64 characters", "a" * 64),
            _claim("65 characters", "a" * 65),
            _claim("capitals", "RTX 4090"),
            _claim("a blank in front", " x"),
            _claim("a blank at the end", "x "),
            _claim("a line end", "x\n"),
            _claim("not ASCII", "x\u00fc"),
            _claim("a digit that is not ASCII", "x\u0661"),
        ],
        folder / "sample.json": [
            _sample("time is divided as the receipt says", 1000, 11, 200, 900),
            _sample("a receipt that claims more than was measured", 1000, 11, 0, 5000),
            _sample("a receipt that claims no time", 1000, 11, 0, 0),
            _sample("a first token later than the last", 1000, 11, 900, 200),
            _sample("eight tokens", 999, 8, 100, 800),
            _sample("seven tokens", 999, 7, 100, 800),
            _sample("the time is not known", 0, 64, 100, 800),
        ],
        folder / "windows.json": [
            _kept("the four least of six", [(5, 300), (6, 100), (7, 200), (8, 600), (9, 500), (127, 400)]),
            _kept("the window before the newest", [(127, 300), (128, 100)]),
            _kept("an older window is dropped", [(127, 300), (128, 100), (256, 200)]),
            _kept("and not taken late", [(256, 200), (127, 300)]),
        ],
        folder / "speed.json": [
            _speeds("four alike", USUAL),
            _speeds("a slow one", {**USUAL, "eve": _even(3000)}),
            _speeds("half as slow again", {**USUAL, "eve": _even(1500)}),
            _speeds("a fast one", {**USUAL, "eve": _even(1)}),
            _speeds("mostly loaded", {**USUAL, "eve": [[5000, 9000, 1010, 4000, 8000] for _ in range(3)]}),
            _speeds("two challengers", {**USUAL, "eve": _even(3000)[:2]}),
            _speeds("four samples of one of three", {**USUAL, "eve": [*_even(3000)[:2], [3000] * 4]}),
            _speeds("three with the claim", {name: USUAL[name] for name in ("alice", "bob", "carol")}),
            _speeds("one of them without weight", USUAL, weightless="dave"),
            _speeds("one challenger says that it is fast", {**USUAL, "eve": [[1] * 5, *_even(3000)[:2]]}),
        ],
    }
