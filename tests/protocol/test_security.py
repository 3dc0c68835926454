"""The security page names tests that exist, and for each attack one that shows the rule, or says that there is none."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "protocol" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file: str) -> None:
    """Each is a function of its file, so that it is collected under its name."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert [name for each, name in NAMED if each == file and name not in found] == []


def test_every_attack_has_a_rule_and_a_test() -> None:
    """Four cells in each row: without a test the rule must be that something is not used, and what is left is said."""
    rows = [row for row in ROW.findall(PAGE) if row[0] not in {"attack", "cause", "---"}]
    assert len(rows) > 40
    without = [attack for attack, rule, tests, _ in rows if "::" not in tests and not rule.startswith("None is used")]
    assert without == []


def test_what_is_not_met_is_told() -> None:
    """The known shortfalls have their paragraphs."""
    left = PAGE.split("\n## What is not met\n", 1)[1]
    told = ("key-grinder", "mute slanderer", "Spot checks", "Proxies", "sold", "evidence", "referee needs", "word")
    assert [each for each in told if each not in left] == []
    assert left.count("\n- **") >= 12
