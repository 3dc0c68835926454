"""Cases of judging across classes: measures, verdicts, and the fold of slots that ask across."""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case
from vectorgen.examples import ACROSS, DISPUTED, MEASURES

from p2pverify.core.contract.network import ACROSS_BOUNDS
from p2pverify.core.inference.compare import END_MISSING, Measure, measure, verdict, verdict_digest
from tests.support.across import BAD, CUT_EPOCH, GOOD, UNSURE, Slotted, Story

UNDISPUTED = "an undisputed slot across classes: a match, an answer that cannot be told, and a match"


def case(comment: str, inputs: dict[str, object], expect: object) -> Case:
    return {"comment": comment, "input": inputs, "expect": expect, "reason": None}


def measures() -> list[Case]:
    rows: list[tuple[str, tuple[int, ...], list[bool], str, int]] = [
        ("ended by its length", (0, 150_000, 0), [False] * 3, "length", 3),
        ("ended by a token, whose margin is the end's", (0, 150_000, 70_000), [False, False, True], "stop", 9),
        ("the greatest square counts half, rounded down", (3_000, 3_000), [False] * 2, "length", 2),
        ("each square is rounded down", (999, 1_000, 1_999), [False] * 3, "length", 3),
        ("each square counts up to the cap, the peak is not capped", (2_000_001, 1_999_999), [False] * 2, "length", 2),
        ("no margin is shown above 2^32 - 1", (2**32, 0), [False] * 2, "length", 2),
        ("cut short", (0, 0), [False] * 2, "stop", 9),
        ("cut short, and it says so of its length", (0, 0), [False] * 2, "length", 9),
        ("a token that ends it, and more behind it", (0, 0, 0), [False, True, False], "length", 3),
        ("more tokens than were asked for", (0, 0, 0), [False, False, True], "stop", 2),
        ("no token at all", (), [], "stop", 9),
    ]
    found = []
    for comment, deficits, ends, finish, tokens_max in rows:
        inputs: dict[str, object] = {
            "deficits": list(deficits),
            "ends": ends,
            "finish": finish,
            "tokens_max": tokens_max,
        }
        found.append(case(comment, inputs, measure(deficits, ends, finish, tokens_max).to_value()))
    return found


def verdicts() -> list[Case]:
    rows = [
        ("as low as a match may be", Measure(64, 1_530_000, 400_000, 0)),
        ("one more", Measure(64, 1_530_001, 400_000, 0)),
        ("as high as it can be without being a mismatch", Measure(64, 3_060_000, 400_000, 0)),
        ("one more is a mismatch", Measure(64, 3_060_001, 400_000, 0)),
        ("the least likely end that is taken", Measure(64, 0, 0, 2_000_000)),
        ("a less likely one", Measure(64, 0, 0, 2_000_001)),
        ("an end that is missing", Measure(64, 0, 0, END_MISSING)),
        ("a great margin alone is no mismatch", Measure(64, 1_000_000, 4_294_967_295, 0)),
    ]
    bounds = {name: getattr(ACROSS, name) for name, _ in ACROSS_BOUNDS}
    return [
        case(comment, {"measure": found.to_value(), "across": bounds}, str(verdict(found, ACROSS)))
        for comment, found in rows
    ]


def digests() -> list[Case]:
    rows = [("two measures", MEASURES), ("one, and a peer without a receipt", (None, MEASURES[0])), ("none", ())]
    return [
        case(
            comment,
            {"question": DISPUTED.question.hex(), "measures": [None if m is None else m.to_value() for m in found]},
            verdict_digest(DISPUTED.question, found).hex(),
        )
        for comment, found in rows
    ]


def folds() -> list[Case]:
    """A few records each, of six founders in two classes."""
    return [_undisputed(), _dispute("a dispute across classes: a match, a mismatch, and one that cannot be told")]


def _begun() -> tuple[Story, Slotted]:
    story = Story("aaabbb")
    return story, story.panel_slot(story.seeds[0])


def _undisputed() -> Case:
    story, slotted = _begun()
    story.undisputed(slotted, (GOOD, UNSURE, GOOD))
    return _case(story, UNDISPUTED)


def _dispute(comment: str) -> Case:
    """One voter finds other measures than the others."""
    story, slotted = _begun()
    found = (GOOD, BAD, UNSURE)
    votes = dict.fromkeys(story.seeds[1:], found)
    votes[story.seeds[2]] = (GOOD, GOOD, GOOD)
    story.decide(slotted, found, votes)
    story.cut(CUT_EPOCH + 5)
    return _case(story, comment)


def _case(story: Story, comment: str) -> Case:
    book = Book(story.network, story.book.order)
    return book.case(comment, story.latest.id)


def cases() -> dict[Path, list[Case]]:
    return {
        Path("compare/measure.json"): measures(),
        Path("compare/verdict.json"): verdicts(),
        Path("compare/digest.json"): digests(),
        Path("fold/across.json"): folds(),
    }
