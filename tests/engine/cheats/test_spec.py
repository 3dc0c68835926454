"""`KIND[:ARGUMENT][@RATE]`: what it means, what is refused, and that the table has a lie for every kind."""

import pytest

from p2pverify.engine.cheats.contributors import CONTRIBUTORS
from p2pverify.engine.cheats.kinds import KINDS, CheaterFate, CheatPlace
from p2pverify.engine.cheats.make import LIES, MODELS, USES
from p2pverify.engine.cheats.spec import CheatSpec, parse_spec
from p2pverify.engine.cheats.training import TRAININGS

LONG_PATH = "x" * 255


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("silent", CheatSpec("silent")),
        ("canned@0.25", CheatSpec("canned", rate=0.25)),
        ("canned@.5", CheatSpec("canned", rate=0.5)),
        ("garbage@1", CheatSpec("garbage")),
        ("quantize:q4_0@0.5", CheatSpec("quantize", "q4_0", 0.5)),
        ("other-model:/tmp/a.gguf", CheatSpec("other-model", "/tmp/a.gguf")),
    ],
)
def test_what_a_text_means(text: str, spec: CheatSpec) -> None:
    """Without a rate a cheat always cheats, and only some kinds take an argument."""
    assert parse_spec(text) == spec


@pytest.mark.parametrize("rate", [1, 1.0, 0.5, 0.333, 1 / 3, 0.1 + 0.2, 0.0001])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cheat_reads_back_from_its_text(kind: str, rate: float) -> None:
    """A peer does what the plan of its testnet says, whatever the kind, argument and rate."""
    for argument in ("", "x", LONG_PATH) if KINDS[kind].takes else ("",):
        spec = CheatSpec(kind, argument, rate)
        assert parse_spec(str(spec)) == spec


def test_how_a_cheat_is_shown() -> None:
    """A peer is told the rate in any case; people are told only if it is a share."""
    assert [str(CheatSpec("prune")), CheatSpec("prune").label] == ["prune@1", "prune"]
    spec = CheatSpec("quantize", "q4_0", 0.333)
    assert [str(spec), spec.label, spec.name] == ["quantize:q4_0@0.333", "quantize:q4_0@0.333", "quantize:q4_0"]


@pytest.mark.parametrize("text", ["lie", "prune@", "prune@0", "prune@1.1", "prune@nan", "prune:6", "canned@x", ""])
def test_cheats_are_read_strictly(text: str) -> None:
    """An unknown kind, an impossible rate or an argument of a kind that takes none is refused."""
    with pytest.raises(ValueError):
        parse_spec(text)


@pytest.mark.parametrize(
    ("argument", "rate"), [("a b", 1.0), ("q4_0@0.3", 1.0), ("ä", 1.0), ("x" * 256, 1.0), ("q4_0", 1e-5)]
)
def test_what_a_peer_would_not_understand(argument: str, rate: float) -> None:
    """It is refused when the value is made, and not by a peer that was started with it."""
    with pytest.raises(ValueError, match="is not KIND"):
        CheatSpec("quantize", argument, rate)


def test_an_unknown_kind_is_told_apart() -> None:
    """The error names the kind, and lists those that there are."""
    with pytest.raises(ValueError, match="'lie'; there are prune, quantize"):
        CheatSpec("lie", rate=7)


def test_every_kind_is_made() -> None:
    """Each kind of an engine has a lie, or the other model that it needs."""
    places = dict.fromkeys(MODELS, CheatPlace.MODEL)
    places |= {"silent": CheatPlace.SILENCE, "stale-version": CheatPlace.VERSION, "false-chunks": CheatPlace.FILES}
    places |= dict.fromkeys((*TRAININGS, *CONTRIBUTORS), CheatPlace.TRAINING)
    assert {name: kind.place for name, kind in KINDS.items() if name not in LIES} == places
    assert {KINDS[name].place for name in LIES} == {CheatPlace.ANSWER, CheatPlace.DELAY}
    assert set(USES) < set(MODELS)
    assert {name for name in KINDS if CheatSpec(name).has_lie} == {*LIES, *MODELS}


def test_only_silence_is_no_lie() -> None:
    """No answer counts against availability, everything else against honesty."""
    assert [kind.place for kind in KINDS.values() if kind.fate is CheaterFate.UNAVAILABLE] == [CheatPlace.SILENCE]
