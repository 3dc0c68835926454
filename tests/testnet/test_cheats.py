"""`--cheat KIND[:ARGUMENT][@RATE][*COUNT]`: what it means and what is refused."""

import pytest

from p2pverify.app import SILENT
from p2pverify.engine import cheats
from p2pverify.testnet.cheats import KINDS, Cheat, CheaterFate, parse_cheat, parse_cheats


@pytest.mark.parametrize(
    ("text", "cheat"),
    [
        ("prune", Cheat("prune")),
        ("canned@0.333", Cheat("canned", 0.333)),
        ("canned@.5", Cheat("canned", 0.5)),
        ("wrong-seed*3", Cheat("wrong-seed", 1, 3)),
        ("garbage@1*2", Cheat("garbage", 1, 2)),
        ("quantize:q4_0@0.5*2", Cheat("quantize", 0.5, 2, "q4_0")),
        ("other-model:/tmp/a.gguf", Cheat("other-model", argument="/tmp/a.gguf")),
        ("temperature:1.2*2", Cheat("temperature", 1, 2, "1.2")),
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
    """Unknown kinds, rates that are no share and counts out of range are refused with a short sentence."""
    with pytest.raises(ValueError) as caught:
        parse_cheat(text)
    assert 10 < len(str(caught.value)) < 320


def test_none_stands_alone():
    """`none` means no cheaters, and together with others it means nothing."""
    assert parse_cheats(["none"]) == ()
    assert len(parse_cheats(["prune", "canned@0.5*2"])) == 2
    with pytest.raises(ValueError, match="stands alone"):
        parse_cheats(["prune", "none"])


def test_a_peer_understands_what_it_is_told():
    """Every kind is one that engines or the node know, and the argument reads back to the same."""
    assert set(KINDS) == {*cheats.KINDS, SILENT}
    for kind in KINDS.values():
        told = Cheat(kind.name, 0.333, 2, "x" if kind.takes else "")
        assert parse_cheat(str(told.spec)) == Cheat(kind.name, 0.333, 1, told.argument)


@pytest.mark.parametrize(
    ("argument", "rate"), [("a b", 1.0), ("q4_0@0.3", 1.0), ("ä", 1.0), ("x" * 256, 1.0), ("q4_0", 1e-5)]
)
def test_what_a_peer_would_not_understand(argument, rate):
    """It is refused here, and not by a peer that was started with it."""
    with pytest.raises(ValueError, match="is not KIND"):
        Cheat("quantize", rate, argument=argument)


def test_only_silence_is_no_lie():
    """No answer counts against availability, everything else against honesty."""
    assert {kind.name for kind in KINDS.values() if kind.fate is CheaterFate.UNAVAILABLE} == {"silent"}
