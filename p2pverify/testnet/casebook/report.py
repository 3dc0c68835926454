"""The report of the book: a table and a summary for people, and a JSON document for programs."""

from collections.abc import Iterator, Sequence
from math import comb

from p2pverify.core.state.score import interval_ppm
from p2pverify.testnet.casebook.book import CheatBook
from p2pverify.testnet.casebook.rows import CONVICTED, HonestRow, NumericRow, SimulatedRow
from p2pverify.testnet.world.liars.expectations import MILLION

SCHEMA = "p2pverify/cheat-book/1"
HEADERS = (
    *("CHEAT", "RATE", "JUDGED", "FATE", "FOUND", "SAVED", "PAID"),
    *("EXPECTED", "AUDITS", "95 %", "MISSED", "HONEST CONVICTED"),
)
#: The rates in the table. The document has all rates.
TABLE_RATES = (1.0, 0.2)
LOW, HIGH = 0.025, 0.975
#: A detection rate is below the promised one if so few finds are less probable than this. A book compares forty rates.
CHANCE = 0.001


def rows(book: CheatBook) -> list[Sequence[object]]:
    """The table's rows, with the columns of HEADERS."""
    found: list[Sequence[object]] = [_numeric(row) for row in book.numeric if row.rate in TABLE_RATES]
    found += [_simulated(row) for row in book.simulated]
    found += [_honest(row) for row in book.honest]
    return found


def _numeric(row: NumericRow) -> Sequence[object]:
    audits = row.measured
    spread = None if not audits.audits else f"{audits.quantile(LOW)}-{audits.quantile(HIGH)}"
    return (
        row.entry.kind,
        f"{row.rate:g}",
        row.by,
        row.fate,
        f"{row.found}/{row.asked}",
        f"{row.saved:.0%}",
        None,
        _short(row.expected),
        _short(audits.mean),
        spread,
        f"{audits.missed}/{audits.trials}",
        None,
    )


def _simulated(row: SimulatedRow) -> Sequence[object]:
    mean = sum(row.audits) / len(row.audits) if row.audits else None
    blocking = row.entry.is_blocking
    return (
        name_of(row),
        f"{row.entry.rate:g}",
        "simulated",
        "provisional" if blocking else row.fate,
        f"{row.provisional if blocking else row.shown}/{row.hostile}",
        None if row.gains is None or row.gains.saved is None else f"{row.gains.saved:.0%}",
        None if row.gains is None else f"{row.gains.paid / MILLION:.2f} ({row.gains.usual / MILLION:.2f})",
        _short(row.expected),
        _short(mean),
        f"{row.audits[0]}-{row.audits[-1]}" if row.audits else None,
        f"{row.missed}/{row.hostile}",
        row.honest_convicted,
    )


def _honest(row: HonestRow) -> Sequence[object]:
    name = f"(honest: {row.path})"
    return (
        name,
        None,
        "across",
        "trusted",
        f"{row.found}/{row.asked}",
        None,
        None,
        None,
        None,
        None,
        None,
        f"{row.convicted}/{row.peers}",
    )


def name_of(row: SimulatedRow) -> str:
    """A simulated cheat's name, with the number of classes or of hostile peers if there are several."""
    entry = row.entry
    if entry.classes > 1:
        return f"{entry.kind} ({entry.classes} classes)"
    return f"{entry.kind} ({entry.hostile} of {entry.peers})" if entry.hostile > 1 else entry.kind


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def notes(book: CheatBook) -> list[str]:
    """The reasons why cheats are not caught, each once, and other remarks."""
    # Cheats that are not caught come first.
    found = {row.entry.kind: row.entry.why for row in book.numeric if row.fate != CONVICTED and row.entry.why}
    found |= {row.entry.kind: row.entry.why for row in book.numeric if row.entry.why}
    found |= {name_of(row): row.entry.reason for row in book.simulated if row.fate != CONVICTED or row.entry.why}
    lines = [f"{name}: {why}" for name, why in found.items()]
    lines += [
        f"{name_of(row)} at rate {row.entry.rate:g}: convicted in provisional views {row.provisional}, in final ones "
        f"{row.convicted}"
        for row in book.simulated
        if row.entry.is_blocking
    ]
    return lines


def summary(book: CheatBook) -> str:
    """The lines below the table."""
    plan = book.plan
    shape = plan.bench.shape
    played = (
        f"class, across: {plan.bench.questions} held-out questions of up to {shape.answer_tokens} tokens to real "
        f"engines (seed {plan.bench.seed}); audits until conviction are {plan.trials} plays of the test over what came "
        "out, and 95 % is the middle 95 % of them"
    )
    lines = [
        played,
        f"simulated: {plan.worlds} worlds each; 95 % is the least and the greatest number",
        *(
            f"honest, {row.path}: {row.peers} peers with {row.audits} audits each, put together from measured margins: "
            f"{row.alarms} false alarms"
            for row in book.honest
        ),
        *notes(book),
        *(f"broken: {fault}" for fault in faults(book)),
    ]
    return "\n".join([*lines, f"verdict: {'fail' if faults(book) else 'pass'}"])


def faults(book: CheatBook) -> list[str]:
    """Sentences about outcomes that are not the expected ones."""
    return [*_numeric_faults(book), *_simulated_faults(book)]


def _chance(found: int, asked: int, rate: float) -> float:
    """The probability that at most `found` of `asked` answers are found at a rate, by the binomial distribution."""
    return sum(comb(asked, k) * rate**k * (1 - rate) ** (asked - k) for k in range(found + 1))


def _numeric_faults(book: CheatBook) -> Iterator[str]:
    for row in book.numeric:
        promised = row.entry.in_class if row.by == "class" else row.entry.across
        if row.rate == 1 and promised and _chance(row.found, row.asked, promised) < CHANCE:
            yield f"{row.entry.kind} is found ({row.by}) in {row.found} of {row.asked} answers, not in {promised:.0%}"
        missed = row.measured.missed
        if row.rate == 1 and row.fate == CONVICTED and missed:
            yield f"{row.entry.kind} at rate 1 is missed ({row.by}) in {missed} of {row.measured.trials} plays"
    for honest in book.honest:
        if honest.convicted:
            yield f"{honest.convicted} of {honest.peers} honest peers on {honest.path} are convicted"


def _simulated_faults(book: CheatBook) -> Iterator[str]:
    for row in book.simulated:
        for fault in row.broken:
            yield f"{name_of(row)}: {fault}"
        if row.honest_convicted:
            yield f"{name_of(row)}: {row.honest_convicted} honest peers are convicted"
        if row.gains is not None and row.missed:
            yield f"{name_of(row)}: {row.missed} of {row.hostile} gain by it, or do not show that they are {row.fate}"
        found = row.provisional if row.entry.is_blocking else row.convicted
        if row.entry.is_crowd and found < row.hostile:
            yield f"{name_of(row)} at rate {row.entry.rate:g}: {found} of {row.hostile} are convicted"


def document(book: CheatBook) -> dict[str, object]:
    """The JSON document. Rates are between 0 and 1, and unknown values are null."""
    plan = book.plan
    return {
        "schema": SCHEMA,
        "seed": plan.bench.seed,
        "engine": plan.bench.engine,
        "referee": plan.bench.referee,
        "questions": plan.bench.questions,
        "answer_tokens": plan.bench.shape.answer_tokens,
        "trials": plan.trials,
        "numeric": [_numeric_item(row) for row in book.numeric],
        "simulated": [_simulated_item(row) for row in book.simulated],
        "honest": [_honest_item(row) for row in book.honest],
        "faults": faults(book),
        "verdict": "fail" if faults(book) else "pass",
    }


def _numeric_item(row: NumericRow) -> dict[str, object]:
    low, high = interval_ppm(row.found, row.asked - row.found)
    return {
        "cheat": row.entry.kind,
        "what": row.entry.what,
        "rate": row.rate,
        "judged": row.by,
        "fate": row.fate,
        "answers": row.asked,
        "found": row.found,
        "inconclusive": row.unclear,
        "saved": row.saved,
        "found_interval": [low / MILLION, high / MILLION],
        "expected_audits": row.expected,
        "mean_audits": row.measured.mean,
        "audits_interval": [row.measured.quantile(LOW), row.measured.quantile(HIGH)],
        "trials": row.measured.trials,
        "missed": row.measured.missed,
        "why": row.entry.why,
    }


def _simulated_item(row: SimulatedRow) -> dict[str, object]:
    return {
        "cheat": row.entry.kind,
        "rate": row.entry.rate,
        "judged": "simulated",
        "fate": row.fate,
        "worlds": row.worlds,
        "peers": row.entry.peers,
        "classes": row.entry.classes,
        "hostile": row.hostile,
        "convicted": row.convicted,
        "convicted_provisionally": row.provisional,
        "shown": row.shown,
        "missed": row.missed,
        "expected_audits": row.expected,
        "audits": list(row.audits),
        "honest_convicted": row.honest_convicted,
        "saved": None if row.gains is None else row.gains.saved,
        "paid": None if row.gains is None else row.gains.paid / MILLION,
        "usually_paid": None if row.gains is None else row.gains.usual / MILLION,
        "broken": list(row.broken),
        "why": row.entry.reason,
    }


def _honest_item(row: HonestRow) -> dict[str, object]:
    return {
        "path": row.path,
        "judged": "across",
        "answers": row.asked,
        "mismatches": row.found,
        "inconclusive": row.unclear,
        "mean_micronats": row.mean_micronats,
        "simulated_peers": row.peers,
        "audits_each": row.audits,
        "false_alarms": row.alarms,
        "convicted": row.convicted,
    }
