"""Cases of judging across classes: measures, verdicts, and the fold of slots that ask across."""

from dataclasses import replace
from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case
from vectorgen.examples import ACROSS, DISPUTED, MEASURES

from p2pverify.core.contract.classes import ACROSS_BOUNDS
from p2pverify.core.contract.pool import Line, Pool, pool_value
from p2pverify.core.inference import pooled
from p2pverify.core.inference.compare import END_MISSING, Measure, measure, verdict, verdict_digest
from tests.support.across import BAD, CUT_EPOCH, GOOD, POOLED, UNSURE, Slotted, Story

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


def evidence() -> list[Case]:
    one_line = Pool(500_000, (Line(0, 100, 1),))
    rows = [
        ("below all lines", ACROSS.pool, Measure(64, 1_530_000, 0, 0)),
        ("above the first line", ACROSS.pool, Measure(64, 1_530_001, 0, 0)),
        ("as high as it can be below the second line", ACROSS.pool, Measure(64, 3_060_000, 0, 0)),
        ("above both lines", ACROSS.pool, Measure(64, 3_060_001, 0, 0)),
        ("a small total, and an end that is not taken", ACROSS.pool, Measure(64, 0, 0, 2_000_001)),
        ("one line, below it", one_line, Measure(64, 6_400, 0, 0)),
        ("one line of the smallest rate, above it", one_line, Measure(64, 6_401, 0, 0)),
        ("no token", one_line, Measure(0, 0, 0, END_MISSING)),
    ]
    found = []
    for comment, pool, measured in rows:
        inputs: dict[str, object] = {
            "measure": measured.to_value(),
            "end_max": ACROSS.end_max,
            "pool": pool_value(pool),
        }
        found.append(case(comment, inputs, pooled.evidence(measured, replace(ACROSS, pool=pool))))
    return found


def capitals() -> list[Case]:
    rows: list[tuple[str, int, list[tuple[list[int], bool]]]] = [
        ("honest answers: each start has its reserve", 1_000_000, [([-167], False)] * 9),
        ("five far answers do not convict, six do", 1_000_000, [([3_067], False)] * 6),
        ("all of one cut count at once", 1_000_000, [([-167, 3_067, 3_067, -167], False)] * 4),
        ("no start while a dispute is open", 1_000_000, [([-5_000], False), ([-167], True), ([-167], False)]),
        ("no start with evidence above 0", 1_000_000, [([-5_000], False), ([-167, 3_067], False), ([-167], False)]),
        ("the lowest odds", 10, [([3_067], False), ([3_067], False)]),
    ]
    found = []
    for comment, odds, cuts in rows:
        inputs: dict[str, object] = {
            "conviction_odds": odds,
            "cuts": [{"evidence": values, "disputed": disputed} for values, disputed in cuts],
        }
        found.append(case(comment, inputs, _capitals(odds, cuts)))
    return found


def _capitals(odds: int, cuts: list[tuple[list[int], bool]]) -> dict[str, object]:
    capital, answers, after = pooled.reserve(0), 0, []
    for values, disputed in cuts:
        capital = pooled.begin(capital, answers, values, is_disputed=disputed) + sum(values)
        answers += len(values)
        after.append(capital)
    threshold = pooled.threshold(odds)
    return {"capitals": after, "threshold": threshold, "convicted": max(after) >= threshold}


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
    return [
        _undisputed(),
        _dispute("a dispute across classes: a match, a mismatch, and one that cannot be told"),
        _far("the pooled test: one answer that is far enough off convicts at low odds"),
    ]


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


def _far(comment: str) -> Case:
    """At odds of 10, one dissent does not convict in the sequential test."""
    story = Story("aaabbb", POOLED, conviction_odds=10)
    slotted = story.panel_slot(story.seeds[0])
    found = (GOOD, BAD, UNSURE)
    story.decide(slotted, found, dict.fromkeys(story.seeds[1:], found))
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
        Path("compare/evidence.json"): evidence(),
        Path("score/capital.json"): capitals(),
        Path("fold/across.json"): folds(),
    }
