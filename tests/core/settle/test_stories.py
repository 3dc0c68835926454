"""Random ledgers: the sum is 0 at every cut, order does not matter, and two implementations agree."""

import random
from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.settle.books import MoneyPart
from tests.core.settle import second, stories
from tests.core.settle.stories import KEYS, NARROW, Story, Teller, random_story, tariff_of
from tests.support.money import TARIFF

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
