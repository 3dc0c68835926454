"""Plays the transcripts beside this file through the real program."""

from pathlib import Path

import pytest

from tests.cli.transcript import Player, Step, matches, read_steps

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_transcript(path: Path, tmp_path: Path) -> None:
    """Every command has the output and the exit code of the transcript."""
    Player(tmp_path).play(path.read_text())


def test_a_transcript_that_is_wrong_fails(tmp_path: Path) -> None:
    """The player finds other output and another exit code."""
    with pytest.raises(AssertionError):
        Player(tmp_path).play("$ p2pverify --version\np2pverify 99\n")
    with pytest.raises(AssertionError):
        Player(tmp_path).play("$ p2pverify --version\np2pverify ...\n[1]\n")


def test_transcripts_are_read_as_documented() -> None:
    """Commands, wildcards and exit codes are parsed."""
    assert read_steps("text\n$ a b\nx ... y\n[3]\n$ c\n") == [Step("a b", ("x ... y",), 3), Step("c", (), 0)]
    assert matches(("x ... y",), "x 1 2 y\n")
    assert not matches(("x ... y",), "x 1 y\nz\n")
    assert not matches(("x.y",), "x-y\n")
