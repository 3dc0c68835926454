"""The security page names existing tests, and each attack has a test of its rule or says that there is none."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "protocol" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
ITEM = re.compile(r"^- \*\*(.+?)\.\*\*\s+(.+?)(?=\n- \*\*|\Z)", re.MULTILINE | re.DOTALL)
PROMISES = "What is promised, and to whom"
ATTACKS = (
    "Cheating with answers",
    "Cheating with audits and votes",
    "Attacks on versions of a model",
    "Attacks on training rounds",
    "Honest peers that look like cheaters",
    "Attacks on the network",
    "Attacks on files from peers",
    "Attacks on the door for clients",
    "Attacks on data",
    "Attacks on keys",
    "Attacks on accounts",
)
WEIGHT = "What hostile weight can do"
UNMET = "What is not met"


def _parts(text: str, level: str) -> dict[str, str]:
    """The text below each heading of this level."""
    pieces = re.split(rf"^{level} (.+)$", text, flags=re.MULTILINE)[1:]
    headings = pieces[::2]
    assert len(headings) == len(set(headings))
    return dict(zip(headings, pieces[1::2], strict=True))


CHAPTERS = _parts(PAGE, "##")


def _items(section: str) -> list[tuple[str, str]]:
    """The labels of a section in order, each with its text."""
    return [(label, text.strip()) for label, text in ITEM.findall(section.strip())]


def _attacks() -> dict[str, list[tuple[str, str]]]:
    sections = [_parts(CHAPTERS[chapter], "###") for chapter in ATTACKS]
    found = {heading: _items(text) for section in sections for heading, text in section.items()}
    assert len(found) == sum(len(section) for section in sections)
    return found


def test_every_chapter_is_read() -> None:
    """No attack is in another chapter or before the first heading, where it would be skipped."""
    assert list(CHAPTERS) == [PROMISES, WEIGHT, *ATTACKS, UNMET]
    assert [chapter for chapter in ATTACKS if CHAPTERS[chapter].split("\n### ", 1)[0].strip()] == []


def test_every_share_of_hostile_weight_has_tests() -> None:
    """Each row of the table names its own tests by number, and every number is listed with a test."""
    rows = re.findall(r"^\| (.+) \|$", CHAPTERS[WEIGHT], re.MULTILINE)[1:]  # without the header
    assert [row.split(" | ")[0] for row in rows] == ["0", "below 1/3", "1/3 to 1/2", "1/2 to 2/3", "2/3 to 1"]
    used = {int(number) for row in rows for number in re.findall(r"\((\d+)\)", row)}
    listed = dict(re.findall(r"^(\d+)\. (.+)$", CHAPTERS[WEIGHT], re.MULTILINE))
    assert used == set(map(int, listed))
    assert [number for number, text in listed.items() if "::test_" not in text] == []
    assert all(re.search(r"\(\d+\)", row) for row in rows)


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file: str) -> None:
    """Each is a function of its file, so it is collected by its name."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert [name for each, name in NAMED if each == file and name not in found] == []


def test_tests_named_by_file_alone_exist() -> None:
    """A whole file of tests can be named too."""
    files = set(re.findall(r"`([\w/]+\.py)`", PAGE))
    assert [file for file in sorted(files) if not (TESTS / file).is_file()] == []


def test_every_attack_has_a_rule_and_a_test() -> None:
    """Each attack has four items. Without a test, the rule says that a feature is not used. The remaining risk is
    described."""
    attacks = _attacks()
    assert len(attacks) > 40
    forms = {
        ("Attack", "What stops it", "Tests", "What remains"),
        ("What happens", "What stops it", "Tests", "What remains"),
    }
    assert [attack for attack, items in attacks.items() if tuple(label for label, _ in items) not in forms] == []
    assert [attack for attack, items in attacks.items() if not all(text for _, text in items)] == []
    texts = {attack: dict(items) for attack, items in attacks.items()}
    without = [
        attack
        for attack, said in texts.items()
        if "::" not in said["Tests"] and not said["What stops it"].startswith("None is used")
    ]
    assert without == []


def test_every_promise_has_a_condition_and_a_test() -> None:
    """Each has a condition and its tests. An additional assumption has no test."""
    promises = _parts(CHAPTERS[PROMISES], "###")
    del promises["What is assumed besides"]
    assert len(promises) >= 6
    for promise, section in promises.items():
        said = dict(_items(section[section.index("- **") :]))
        assert list(said) == ["Holds while", "Tests"], promise
        assert "::" in said["Tests"], promise


def test_what_is_not_met_is_told() -> None:
    """The known shortfalls have their paragraphs."""
    left = CHAPTERS[UNMET]
    told = ("key-grinder", "mute slanderer", "Spot checks", "Proxies", "sold", "evidence", "referee needs", "word")
    assert [each for each in told if each not in left] == []
    assert left.count("\n- **") >= 12
