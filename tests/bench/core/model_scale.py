"""A model of very large networks: what each member pays, and how safe drawn signers and districts are.

    uv run python -m tests.bench.core.model_scale [--districts 20000]

The tables of protocol/scale.md come from here. Costs are of counted records and of figures measured on one machine;
odds of drawn groups are exact (hypergeometric), and those of districts that change their members are simulated.
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb

EPOCH_S = 60
WEIGHTED_MAX = 512
RECORD_BYTES = 542  # mean of a record in a batch
JUDGE_S = 0.31e-3  # of one processor, signature and proof included
COPY_S = 0.12e-3  # of a copy that comes or goes
COPIES = 3
PANEL = 3  # peers asked by a slot; half of the slots ask one
PERIOD_MAX = 16
AUDITS_TO_CONVICT = 4.1  # lost disputes times the rate of lying, at every rate: protocol/view.md


@dataclass(frozen=True, slots=True)
class Rate:
    """Records of an epoch in a network."""

    audits: float
    duties: float
    signatures: float
    votes: float

    @property
    def records(self) -> float:
        return self.audits + self.duties + self.signatures + self.votes

    @property
    def processor(self) -> float:
        """Share of one processor."""
        return self.records * (JUDGE_S + COPIES / 2 * COPY_S) / EPOCH_S

    @property
    def bytes_per_s(self) -> float:
        return self.records * RECORD_BYTES * COPIES / EPOCH_S


def today(members: int, slots: float = 2) -> Rate:
    """Every member owes its slots, and a duty, in each epoch."""
    audits = slots * members
    return Rate(audits, members, min(members, WEIGHTED_MAX), _votes(audits))


def constant(members: int, audits: float, signers: int = WEIGHTED_MAX) -> Rate:
    """So many audits in all, and a duty of each member in a period."""
    audits = min(audits, 2 * members)
    return Rate(audits, members / period(members, audits), min(members, signers), _votes(audits))


def period(members: int, audits: float) -> int:
    """Epochs that a duty covers: a power of two, at most the epochs in which a member owes one audit."""
    length = 1
    while 2 * length <= min(PERIOD_MAX, members / audits):
        length *= 2
    return length


def _votes(audits: float) -> float:
    """Two disputes a cut with committees of nine and thirty-one, sealed and opened; fewer if there are few audits."""
    return min(2 * (9 + 31), 2 * 9 * audits)


def asked(members: int, audits: float) -> float:
    """Times that a member is asked in an epoch."""
    return min(audits, 2 * members) * (1 + PANEL) / 2 / members


@cache
def tail(population: int, hostile: int, drawn: int, least: int) -> Fraction:
    """The odds that at least so many of the drawn are hostile. Hypergeometric, exact."""
    ways = sum(
        comb(hostile, bad) * comb(population - hostile, drawn - bad) for bad in range(least, min(hostile, drawn) + 1)
    )
    return Fraction(ways, comb(population, drawn))


def third(size: int) -> int:
    """The fewest hostile members of a group of this size that can stop it: a third of it."""
    return -(-size // 3)


def splits(size: int) -> int:
    """The fewest hostile members that can certify two cuts, each with half of the others: more than a third."""
    return size // 3 + 1


def lone_epochs(odds: Fraction) -> float:
    """Epochs until a group that is drawn anew in each is bad for the first time, in the mean."""
    return float("inf") if not odds else float(1 / odds)


def span(epochs: float) -> str:
    """A number of epochs as a time."""
    seconds = epochs * EPOCH_S
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("hours", 3_600)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}" if seconds < 1e13 else f"> 300,000 {unit}"
    return f"{seconds / 60:,.0f} minutes"


def drift(size: int, districts: int, hostile: Fraction, moved: Fraction, steps: int, seed: int) -> tuple[int, float]:
    """Districts that exchange a share of their members at each step, at random over the whole network.

    Returns how many districts held more than a third of hostile members in any step, and the mean share of steps.
    """
    dice = random.Random(seed)
    members = size * districts
    bad_members = int(members * hostile)
    marks = [1] * bad_members + [0] * (members - bad_members)
    dice.shuffle(marks)
    places = [marks[at : at + size] for at in range(0, members, size)]
    count = max(1, int(size * moved))
    least, ever, held = splits(size), set(), 0
    for _ in range(steps):
        leaving = [dice.sample(range(size), count) for _ in places]
        pool = [place[at] for place, chosen in zip(places, leaving, strict=True) for at in chosen]
        dice.shuffle(pool)
        spare = iter(pool)
        for place, chosen in zip(places, leaving, strict=True):
            for at in chosen:
                place[at] = next(spare)
        bad = {number for number, place in enumerate(places) if sum(place) >= least}
        ever |= bad
        held += len(bad)
    return len(ever), held / (steps * districts)


def costs() -> Iterator[str]:
    yield "| members | records today | 200 audits | and 128 signers | processor today | then | kB/s today | then |"
    yield "|---|---|---|---|---|---|---|---|"
    for members in (100, 1_000, 3_000, 10_000, 100_000):
        now, flat, few = today(members), constant(members, 200), constant(members, 200, 128)
        yield (
            f"| {members:,} | {now.records:,.0f} | {flat.records:,.0f} | {few.records:,.0f} "
            f"| {100 * now.processor:.1f} % | {100 * few.processor:.1f} % "
            f"| {now.bytes_per_s / 1000:,.0f} | {few.bytes_per_s / 1000:,.0f} |"
        )


def verdicts() -> Iterator[str]:
    yield "| members | asked once in | all answers false | one in ten |"
    yield "|---|---|---|---|"
    for members in (100, 1_000, 10_000, 100_000):
        often = asked(members, 200)
        wait = (period(members, 200) - 1) / 2  # until the period of the last audit ends
        full, tenth = AUDITS_TO_CONVICT / often + wait, 10 * AUDITS_TO_CONVICT / often + wait
        yield f"| {members:,} | {1 / often:,.1f} epochs | {span(full)} | {span(tenth)} |"


def committees() -> Iterator[str]:
    yield "| drawn of 512 | hostile | a third or more of the drawn | once in | two thirds or more | once in |"
    yield "|---|---|---|---|---|---|"
    for size in (64, 128, 256):
        for share in (Fraction(1, 10), Fraction(1, 5), Fraction(1, 4), Fraction(3, 10)):
            bad = int(WEIGHTED_MAX * share)
            stops = tail(WEIGHTED_MAX, bad, size, third(size))
            rules = tail(WEIGHTED_MAX, bad, size, -(-2 * size // 3))
            yield (
                f"| {size} | {float(share):.2f} | {float(stops):.1e} | {span(lone_epochs(stops))} "
                f"| {float(rules):.0e} | {span(lone_epochs(rules))} |"
            )


def size_needed(share: Fraction, years: float) -> int:
    """The fewest drawn of 512 so that a third is hostile less than once in so many years."""
    epochs = years * 31_557_600 / EPOCH_S
    bad = int(WEIGHTED_MAX * share)
    fine = (size for size in range(9, WEIGHTED_MAX + 1) if tail(WEIGHTED_MAX, bad, size, third(size)) * int(epochs) < 1)
    return next(fine, WEIGHTED_MAX)


def districts(members: int) -> Iterator[str]:
    yield f"{members:,} members, 5 % of each district moved at a step of 4,096 epochs, 200 steps (1.6 years):"
    yield "| district | hostile | one draw: more than a third of a district | ever in 200 steps | share of the time |"
    yield "|---|---|---|---|---|"
    for size in (250, 500, 1_000):
        for share in (Fraction(1, 5), Fraction(1, 4), Fraction(3, 10)):
            count = members // size
            odds = tail(size * count, int(size * count * share), size, splits(size))
            ever, held = drift(size, count, share, Fraction(1, 20), 200, seed=size)
            yield f"| {size} | {float(share):.2f} | {float(odds):.1e} | {ever} of {count} | {held:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--districts", type=int, default=20_000, metavar="MEMBERS")
    options = parser.parse_args()
    print("\nWhat a member pays\n", *costs(), sep="\n")
    print("\nHow long until a conviction, with 200 audits an epoch\n", *verdicts(), sep="\n")
    print("\nSigners drawn for each cut\n", *committees(), sep="\n")
    print("\nDrawn, so that a third is hostile less than once in a hundred years:")
    for share in (Fraction(1, 10), Fraction(1, 5), Fraction(1, 4), Fraction(3, 10)):
        print(f"  hostile {float(share):.2f}: {size_needed(share, 100)} of {WEIGHTED_MAX}")
    print("\nDistricts\n", *districts(options.districts), sep="\n")


if __name__ == "__main__":
    main()
