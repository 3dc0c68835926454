"""Random ledgers: the sum is 0 at every cut, order does not matter, and two implementations agree."""

import random
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.settle.books import MoneyPart
from tests.core.settle import second, stories
from tests.core.settle.stories import Story, Teller, tariff_of
from tests.support.money import TARIFF

KEYS = [sha256(b"%d" % number).hex() for number in range(7)]
#: A tariff in which limits, curves and steps are reached within a few cuts.
NARROW = {**asdict(TARIFF), "vest_epochs": 3, "limit": 60_000, "dissent": 9_000}


def random_story(rng: random.Random, cuts: int = 14) -> Story:
    """A story in which peers work, cheat, leave, owe and pay, and clients without rows sign cheques."""
    members, clients = KEYS[:5], KEYS[5:]
    gone: set[str] = set()
    convicted: set[str] = set()
    told, epoch, counts = [], 0, Counter[tuple[str, str]]()
    base = members
    for number in range(cuts):
        epoch += rng.choice((1, 1, 1, 2, 5))
        if rng.random() < 0.1:
            convicted.add(rng.choice(members))
        if rng.random() < 0.1:
            gone.add(rng.choice(members))
        if rng.random() < 0.1 and gone:
            gone.discard(rng.choice(sorted(gone)))
        rows = sorted(set(members) - gone)
        weighted = [key for key in rows if key not in convicted or rng.random() < 0.5]
        cut: dict[str, Any] = {"epoch": epoch, "base": base, "rows": rows, "weighted": weighted}
        cut["had_weight"] = members[:4]
        cut["convicted"] = sorted(convicted - gone)
        what = ("answer", "audit", "vote", "dissent")
        cut["earned"] = [[rng.choice(what), rng.choice(members)] for _ in range(rng.randrange(9))]
        cut["rounds"] = [_round(rng, number // 3)] if rng.random() < 0.4 else []
        cut["pledges"] = [
            [rng.randrange(2), rng.choice(members), rng.choice((1, 7_000, 20_000, 70_000)), *_numbers(rng, number // 3)]
            for _ in range(rng.randrange(3))
        ]
        cut["cheques"] = []
        for _ in range(rng.randrange(3)):
            pair = rng.choice(members), rng.choice([*clients, members[0]])
            counts[pair] += rng.choice((0, 1, 1, 2))
            until = rng.choice((6, 20, 2**21)) if rng.random() < 0.9 else 2**30
            if pair[0] != pair[1]:
                cut["cheques"].append([*pair, until, 900 * counts[pair] + 1, counts[pair] + 1])
        cut["payments"] = [[*rng.sample(KEYS, 2), rng.choice((1, 900, 5_000, 40_000))] for _ in range(rng.randrange(5))]
        told.append(cut)
        base = weighted
    return {"tariff": NARROW, "cuts": told}


def _numbers(rng: random.Random, about: int) -> tuple[int, int]:
    first = max(0, about + rng.randrange(-1, 3))
    return first, first + rng.randrange(3)


def _round(rng: random.Random, number: int) -> Story:
    authors = rng.sample(KEYS, 4)
    return {
        "line": rng.randrange(2),
        "number": number,
        "gain": rng.choice((-5, 0, 90, 150, 12_000, 50_000)),
        "gain_min": 100,
        "gain_full": 20_000,
        "contributions": [[key, rng.randrange(-500, 9_000), rng.randrange(150), rng.randrange(6)] for key in authors],
    }


randoms = st.randoms(use_true_random=False)


@settings(max_examples=40, deadline=None)
@given(randoms)
def test_two_implementations_agree_and_the_sum_is_0_at_every_cut(rng: random.Random) -> None:
    story = random_story(rng)
    one, two = stories.play(story), second.play(story)
    assert one == two
    for cut in one:
        assert sum(row[1] + row[2] + row[8] for row in cut["rows"]) == 0
        assert all(row[1] >= -NARROW["limit"] for row in cut["rows"] if row[0])


@settings(max_examples=12, deadline=None)
@given(randoms)
def test_the_order_of_events_does_not_matter(rng: random.Random) -> None:
    story = random_story(rng)
    before = stories.play(story)
    for cut in story["cuts"]:
        for name in ("earned", "base", "rows", "weighted"):
            cut[name] = rng.sample(cut[name], len(cut[name]))
        for decided in cut["rounds"]:
            rng.shuffle(decided["contributions"])
    assert stories.play(story) == before


@settings(max_examples=12, deadline=None)
@given(randoms)
def test_movements_add_up_to_the_row_of_every_key(rng: random.Random) -> None:
    story = random_story(rng)
    teller = Teller(tariff_of(story))
    for cut in story["cuts"]:
        teller.tell(cut)
    sums: Counter[tuple[bytes, MoneyPart]] = Counter()
    for movement in teller.movements:
        sums[movement.key, movement.part] += movement.amount
    rows = {row.key: row for row in teller.rows}
    for key, part in sums:
        assert sums[key, part] == (getattr(rows[key], part) if key in rows else 0)
    assert {key for key, row in rows.items() if row.vested or row.escrow or row.claims} <= {key for key, _ in sums}


def test_random_stories_reach_all_refusals_and_all_movements() -> None:
    """So the tests above are about them."""
    refused, reasons = set[str](), set[str]()
    for seed in range(40):
        story = random_story(random.Random(seed))
        teller = Teller(tariff_of(story))
        for cut in story["cuts"]:
            refused.update(teller.tell(cut))
        reasons |= {movement.reason for movement in teller.movements}
    assert len(reasons) == 11
    assert refused == {
        "a greater one is known",
        "author has no weight",
        "author has one for the line",
        "its series ends too late",
        "its series is over",
        "more than author may owe",
        "more than is owed",
    }


def work(pairs: list[tuple[str, str]], *, epoch: int, convicted: list[str] = [], members: list[str]) -> Story:  # noqa: B006
    alive = [key for key in members if key not in convicted]
    facts = {"base": alive, "rows": members, "weighted": alive, "had_weight": members, "convicted": convicted}
    return {"epoch": epoch, **facts, "earned": [list(each) for each in pairs]}


@pytest.mark.parametrize("cheats_at", [0, 20])
def test_who_works_is_even_who_idles_owes_and_who_cheats_gets_nothing(cheats_at: int) -> None:
    """The full-time cheat forfeits what has not vested. The dues of all are what the others earn."""
    members, idle, cheat = KEYS[:5], KEYS[3], KEYS[4]
    cuts = []
    for epoch in range(1, 60):
        out = epoch > cheats_at + 4
        pairs = [("audit", key) for key in members if key != idle and not (out and key == cheat)]
        pairs += [("answer", key) for key in members if not (key == cheat and epoch > cheats_at)]
        if cheats_at < epoch <= cheats_at + 4:
            pairs.append(("dissent", cheat))
        cuts.append(work(pairs, epoch=epoch, members=members, convicted=[cheat] if out else []))
    rows = {row[0]: row for row in stories.play({"tariff": asdict(TARIFF), "cuts": cuts})[-1]["rows"]}
    assert rows[cheat][2] == 0
    assert rows[cheat][7] > 0
    assert rows[cheat][1] <= 0 or cheats_at > TARIFF.vest_epochs
    assert rows[idle][1] < 0
    assert all(rows[key][1] > 0 for key in KEYS[:3])
