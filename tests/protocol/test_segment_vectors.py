"""Vectors of segments of an archive."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.archives import read_back, shown_segment
from tests.support.grammar import conforms

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "segment"
VALID, INVALID = (json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8")) for name in ("valid", "invalid"))


@pytest.mark.parametrize("case", VALID, ids=[case["comment"] for case in VALID])
def test_valid(case: dict[str, Any]) -> None:
    file = bytes.fromhex(case["input"]["segment"])
    assert shown_segment(file) == case["expect"]
    assert conforms("segment-header", read_back(file)[0].header.encode())


@pytest.mark.parametrize("case", INVALID, ids=[case["comment"] for case in INVALID])
def test_invalid(case: dict[str, Any]) -> None:
    """A file of which some items are others or left out, with a correct trailer."""
    of = next(each for each in VALID if each["comment"] == case["input"]["of"])
    parts, _ = read_back(bytes.fromhex(of["input"]["segment"]))
    items = ((each["item"], each["bytes"]) for each in case["input"]["items"])
    changed = parts.changed((place, None if text is None else bytes.fromhex(text)) for place, text in items)
    assert shown_segment(changed.file()) == case["reason"]
