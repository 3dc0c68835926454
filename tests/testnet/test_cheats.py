"""The meaning of `--cheat KIND[:ARGUMENT][@RATE][*COUNT]`, and its refused values."""

import re

import pytest

from p2pverify.engine.cheats.kinds import KINDS
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.resources import resource
from p2pverify.testnet.cheats import Cheaters, parse_cheat, parse_cheats


@pytest.mark.parametrize(
    ("text", "cheat"),
    [
        ("prune", Cheaters(CheatSpec("prune"))),
        ("canned@0.333", Cheaters(CheatSpec("canned", rate=0.333))),
        ("canned@.5", Cheaters(CheatSpec("canned", rate=0.5))),
        ("wrong-seed*3", Cheaters(CheatSpec("wrong-seed"), 3)),
        ("garbage@1*2", Cheaters(CheatSpec("garbage"), 2)),
        ("quantize:q4_0@0.5*2", Cheaters(CheatSpec("quantize", "q4_0", 0.5), 2)),
        ("other-model:/tmp/a.gguf", Cheaters(CheatSpec("other-model", "/tmp/a.gguf"))),
        ("temperature:1.2*2", Cheaters(CheatSpec("temperature", "1.2"), 2)),
    ],
)
def test_what_a_cheat_means(text, cheat):
    """The rate is 1 and the count is 1 unless they are given, and only some kinds take an argument."""
    assert parse_cheat(text) == cheat


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prunes",
        "prune@",
        "prune@0",
        "prune@1.1",
        "prune@-1",
        "prune@nan",
        "prune@1e-3",
        "prune*0",
        "prune*65",
        "prune*9999999999",
        "prune*2@0.5",
        "Prune",
        "prune ",
        "prune@0.5\n",
        "prune@٣",
        "prune:6",
        "quantize:",
        "quantize:a b",
        "x" * 1000,
    ],
)
def test_what_is_no_cheat(text):
    """Unknown kinds, rates outside 0 to 1 and counts out of range are refused with a short sentence."""
    with pytest.raises(ValueError) as caught:
        parse_cheat(text)
    assert 10 < len(str(caught.value)) < 480


def test_none_stands_alone():
    """`none` means no cheaters. Together with other kinds it is refused."""
    assert parse_cheats(["none"]) == ()
    assert len(parse_cheats(["prune", "canned@0.5*2"])) == 2
    with pytest.raises(ValueError, match="stands alone"):
        parse_cheats(["prune", "none"])


def test_the_guide_has_a_row_for_every_kind():
    """In the order of the table, with the argument of those that take one."""
    page = (resource("testnet") / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([a-z-]+)(\[:[A-Z]+\])?` \|", page.partition("## Kinds of cheater")[2].partition("\n## ")[0], re.M
    )
    assert [(name, bool(argument)) for name, argument in rows] == [(k.name, bool(k.takes)) for k in KINDS.values()]
