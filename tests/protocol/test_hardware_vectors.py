"""The vectors of hardware by latency, recomputed from the page's rules without the code that made them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "hardware"


def _load(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return found


def _id(case: Any) -> str:
    return str(case["comment"])


def _sample(elapsed_ms: int, tokens: int, first_token_ms: int, total_ms: int) -> list[int] | None:
    if not elapsed_ms or tokens < 8:
        return None
    later = min(elapsed_ms, max(0, total_ms - first_token_ms))
    return [1000 * elapsed_ms // tokens, elapsed_ms - later, 1000 * later // (tokens - 1)]


def _median(numbers: Iterable[int]) -> int:
    found = sorted(numbers)
    return found[(len(found) - 1) // 2]


@pytest.mark.parametrize("case", _load("claim.json"), ids=_id)
def test_claims(case: Any) -> None:
    claim = case["input"]["claim"]
    inside = re.compile(r"[a-z0-9 ._+/-]*", re.ASCII)
    ends = set("abcdefghijklmnopqrstuvwxyz0123456789")
    fits = not claim or (len(claim) <= 64 and bool(inside.fullmatch(claim)) and {claim[0], claim[-1]} <= ends)
    assert case["expect"] is fits


@pytest.mark.parametrize("case", _load("sample.json"), ids=_id)
def test_samples(case: Any) -> None:
    asked = case["input"]
    assert case["expect"] == _sample(*(asked[name] for name in ("elapsed_ms", "tokens", "first_token_ms", "total_ms")))


@pytest.mark.parametrize("case", _load("windows.json"), ids=_id)
def test_windows(case: Any) -> None:
    found: dict[int, list[list[int]]] = {}
    for epoch, elapsed_ms in case["input"]["epochs_and_ms"]:
        one = _sample(elapsed_ms, 10, elapsed_ms // 2, elapsed_ms)
        assert one is not None
        found.setdefault(epoch // 128, []).append(one)
    newest = max(found)
    kept = [[n, len(found[n]), sorted(found[n])[:4]] for n in (newest - 1, newest) if n in found]
    assert case["expect"] == kept


@pytest.mark.parametrize("case", _load("speed.json"), ids=_id)
def test_speeds(case: Any) -> None:
    measured = case["input"]["measured"]
    known = {}
    for name, by_challenger in measured.items():
        counting = []
        for times in by_challenger:
            samples = sorted(_sample(ms, 10, ms // 2, ms) or [] for ms in times)
            if len(samples) >= 5:
                counting.append(samples[min(len(samples) // 16, 3)])
        known[name] = counting
    typical = {name: [_median(s[at] for s in found) for at in range(3)] for name, found in known.items() if found}
    expected = {}
    for name, found in known.items():
        others = [
            typical[other][0]
            for other in measured
            if other not in (name, case["input"]["weightless"]) and len(known[other]) >= 3
        ]
        fit = "too few"
        if len(found) >= 3 and len(others) >= 3:
            middle = _median(others)
            deviation = _median(abs(other - middle) for other in others)
            limit = middle + max(middle // 2, 6 * deviation, 2000)
            fit = "inconsistent" if typical[name][0] > limit else "consistent"
        expected[name] = [fit, len(found), typical.get(name, [])]
    assert case["expect"] == expected


def test_every_fit_is_shown() -> None:
    fits = {fit for case in _load("speed.json") for fit, _, _ in case["expect"].values()}
    assert fits == {"consistent", "inconsistent", "too few"}
