"""The cheat book with toy engines: its entries, and its rows, which follow from measured outcomes."""

import json
from dataclasses import replace

import pytest

from p2pverify.cli.main import main
from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.core.inference.compare import measure
from p2pverify.engine.calibrate.questions import CALIBRATION, pose
from p2pverify.engine.cheats.kinds import KINDS as CHEAT_KINDS
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.spec import parse_spec
from p2pverify.engine.toy import ToyEngine
from p2pverify.testnet.casebook import answers, work
from p2pverify.testnet.casebook.answers import Audited, AuditOutcome, JudgedAnswer, Subject
from p2pverify.testnet.casebook.book import RENTED, play_book
from p2pverify.testnet.casebook.entries import FALSE_CHUNKS, NUMERIC, SIMULATED, Numeric, Simulated
from p2pverify.testnet.casebook.plans import TOY_BOUNDS, make_plan
from p2pverify.testnet.casebook.report import HEADERS, SCHEMA, TABLE_RATES, document, faults, rows, summary
from p2pverify.testnet.casebook.rows import honest_row, numeric_row
from p2pverify.testnet.casebook.trials import MarginPool, play, play_honest
from p2pverify.testnet.casebook.worlds import play_world
from p2pverify.testnet.world.liars.expectations import FATES
from p2pverify.testnet.world.liars.registry import KINDS as WORLD_KINDS

ACROSS = steps_of(10_000, 100_000, 1_000_000)
DISSENT, AGREEMENT = Audited(AuditOutcome.DISSENT), Audited(AuditOutcome.AGREEMENT)
#: Kinds that the book must have.
WANTED = {
    *("prune", "quantize:q5_0", "quantize:q4_0", "quantize:q3", "quantize:q8_0", "other-model", "canned", "cache"),
    *("truncate", "wrong-seed", "temperature", "system-prompt", "sleeper", "duplicate-aware", "colluders"),
    *("prefill-evidence", "copier", "lazy-challenger", "lazy-voter", "withholder", "slanderer", "equivocator"),
    *("sybils", "proxy", "silent", "draft", "budget", "certain", "long-only", "takeover", "takeover-slow"),
    *("lies-to-clients", "false-reporter", "sponsored", "bloat", "join-flood", "late-support", "objection-troll"),
    *("stale-version", "rollback", "stolen-publisher-key", "two-bodies", "freeze", FALSE_CHUNKS),
    *("poison-labels", "poison-sign", "boost", "free-rider", "copy-update", "overspend", "short-training"),
    *("lazy-evaluator", "wash-trader", "escrow-slanderer"),
}


def test_every_known_cheat_stands_in_the_book():
    """The book has the lies of engines and the attacks on the protocol. Each simulated kind has a fate."""
    named = {entry.kind for entry in NUMERIC} | {entry.kind for entry in SIMULATED}
    assert named >= WANTED
    engines = {parse_spec(entry.kind).kind for entry in NUMERIC if entry.kind != RENTED}
    others = {"sleeper", "duplicate-aware", "slow-hardware", "busy", "silent", "takeover", "stale-version"}
    others |= {name for name, kind in CHEAT_KINDS.items() if kind.place is CheatPlace.TRAINING}  # in simulated worlds
    assert engines | others | {FALSE_CHUNKS} == set(CHEAT_KINDS)
    assert {entry.kind for entry in SIMULATED} - {FALSE_CHUNKS} <= set(WORLD_KINDS) & set(FATES)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The plan of a small book with toy engines."""
    plan = make_plan(tmp_path_factory.mktemp("book"), engine="toy", seed=3, quick=True)
    chosen = [
        entry for entry in NUMERIC if entry.kind in {"prune", "wrong-seed", "rented", "long-only", "lies-to-clients"}
    ]
    return replace(
        plan,
        bench=replace(plan.bench, questions=20),
        numeric=tuple(chosen),
        simulated=(Simulated("wrong", peers=7, epochs=12), Simulated("silent", peers=7, epochs=12)),
        trials=30,
        rates=TABLE_RATES,
        honest_audits=500,
        processes=2,
    )


@pytest.fixture(scope="module")
def book(small):
    seen = []
    found = play_book(small, lambda what, done, whole: seen.append((what, done, whole)))
    assert [done for _, done, _ in seen] == list(range(1, seen[-1][2] + 1))
    return found


def test_what_a_small_book_finds(book):
    """Lies are dissents within a class and across classes, a rented machine's answers are not, and no honest peer is
    convicted."""
    table = {(row.entry.kind, row.by, row.rate): row for row in book.numeric}
    assert len(table) == len(book.numeric) == 5 * 2 * len(TABLE_RATES)
    for by, audits in (("class", 4), ("across", 7)):
        prune = table["prune", by, 1.0]
        assert (prune.found, prune.asked, prune.measured.missed) == (20, 20, 0)
        assert set(prune.measured.audits) == {audits}
        rented = table["rented", by, 1.0]
        assert (rented.found, rented.measured.missed, rented.measured.mean) == (0, 30, None)
        longer = table["long-only", by, 1.0]
        assert (longer.found, longer.asked, longer.fate, longer.measured.missed) == (5, 5, "convicted", 0)
        assert longer.expected == pytest.approx(100 * audits, rel=0.02)
        assert longer.measured.mean == pytest.approx(longer.expected, rel=0.3)
        assert (prune.saved, rented.saved, longer.saved) == (1, 0, 1)
        told = table["lies-to-clients", by, 1.0]
        assert (told.found, told.asked, told.fate, told.saved) == (20, 20, "convicted", 1)
        assert set(told.measured.audits) == {audits}
        seeded = table["wrong-seed", by, 1.0]
        greedy = sum(question.temperature_milli == 0 for question in work.prepare(book.plan.bench).questions)
        assert 0 < greedy < 10
        assert seeded.found == seeded.asked == 20 - greedy
        assert seeded.expected > prune.expected
    assert [row.path for row in book.honest] == list(book.plan.paths)
    assert all((row.found, row.convicted) == (0, 0) for row in book.honest)
    wrong, silent = book.simulated
    assert (wrong.convicted, wrong.honest_convicted, wrong.broken) == (1, 0, ())
    assert (silent.convicted, silent.shown) == (0, 1)


def test_how_the_book_is_told(book):
    """There is one row for each cheat, rate and way to judge it. The document has its schema and is JSON."""
    table = rows(book)
    assert len(table) == 5 * 2 * len(TABLE_RATES) + 2 + 3
    assert {len(row) for row in table} == {len(HEADERS)}
    told = summary(book)
    assert "rented: Its answers are right." in told
    assert told.endswith("verdict: pass")
    found = json.loads(json.dumps(document(book)))
    assert (found["schema"], found["verdict"], found["faults"]) == (SCHEMA, "pass", [])
    assert {item["saved"] for item in found["numeric"] if item["cheat"] == "prune"} == {1}
    assert len(found["numeric"]) == len(book.numeric)


def test_what_does_not_come_out_as_it_must_is_said(book):
    """A broken promise, a missed cheat and a convicted honest peer are faults."""
    assert not faults(book)
    lame = replace(book.numeric[0], found=3)
    assert "prune is found (class) in 3 of 20" in faults(replace(book, numeric=(lame,)))[0]
    promise = replace(lame.entry, in_class=0.95)
    for found, is_fault in ((14, True), (15, False)):  # 3.3e-4 and 2.6e-3 at 0.95
        unlucky = replace(lame, entry=promise, found=found)
        assert bool(faults(replace(book, numeric=(unlucky,)))) is is_fault
    wronged = replace(book.honest[0], convicted=1)
    assert "honest peers on" in faults(replace(book, honest=(wronged,)))[0]
    broken = replace(book.simulated[0], broken=("views differ",), honest_convicted=2)
    assert len(faults(replace(book, simulated=(broken,)))) == 2


def test_the_same_seed_gives_the_same_book(small, book):
    """The result does not depend on the order of the processes."""
    some = tuple(entry for entry in small.numeric if entry.kind in {"prune", "rented"})
    again = play_book(replace(small, processes=1, simulated=(), numeric=some))
    assert again.numeric == tuple(row for row in book.numeric if row.entry in some)
    assert again.honest == book.honest


def test_questions_are_not_those_of_calibration(small):
    """Every hash includes the purpose, so no seed gives equal questions."""
    writer = ToyEngine()
    asked = answers.ask_all(small.bench, writer)
    calibrated = [pose(writer, CALIBRATION, small.bench.seed, n, small.bench.shape) for n in range(len(asked))]
    assert not {q.prompt for q in asked} & {q.prompt for q in calibrated}
    assert not {q.sampler_key for q in asked} & {q.sampler_key for q in calibrated}


def test_another_numeric_path_is_a_dissent_in_class_only(small):
    """Its near ties fall differently, which gives other digests but small margins."""
    bench = replace(small.bench, questions=60)
    found = work.judge(bench, Subject("toy/b"), work.prepare(bench)).judged
    assert any(not one.same for one in found)
    assert any(one.measure.total for one in found)
    assert all(one.across(TOY_BOUNDS).outcome is AuditOutcome.AGREEMENT for one in found)


# ---------------------------------------------------------------- worlds


def test_who_blocks_cuts_is_convicted_provisionally():
    """Like 40 of 100, on a small scale: no honest peer is convicted, cuts stay nested, and no new cut is final."""
    entry = Simulated("stalling-colluders", 10, 4, 1.0, 9, founders=True)
    assert entry.is_blocking
    found = play_world(entry, 1)
    assert (found.convicted, found.provisional, found.honest_convicted) == (0, 4, 0)
    assert found.broken == ()
    assert 4 <= found.cuts < 9


def test_a_slow_machine_is_told_apart():
    """Its speed does not fit its claim, while the speed of every honest peer does. It is not convicted for it."""
    entry = next(entry for entry in SIMULATED if entry.kind == "slow-hardware")
    found = play_world(replace(entry, epochs=44), 1)
    assert (found.shown, found.convicted, found.honest_convicted, found.broken) == (1, 0, 0, ())


def test_false_chunks_are_refused_at_the_first():
    """Each of three liars is asked for one chunk, and the file is exact. Liars alone deliver no file."""
    entry = next(entry for entry in SIMULATED if entry.kind == FALSE_CHUNKS)
    found = play_world(entry, 1)
    assert (found.shown, found.hostile, found.missed, found.broken) == (3, 3, 0, ())
    alone = play_world(replace(entry, peers=3), 1)
    assert (alone.shown, alone.missed) == (0, 3)
    assert "the file was not fetched" in alone.broken[0]


# ---------------------------------------------------------------- plays


def test_plays_miss_nobody_who_always_lies():
    """Seven dissents convict across classes for every draw. Honest answers alone never convict."""
    lies, honest = [DISSENT], [AGREEMENT]
    sure = play(ACROSS, lies, honest, 1.0, seed=1, trials=20)
    assert (sure.mean, sure.missed, sure.quantile(0.5)) == (7, 0, 7)
    none = play(ACROSS, honest, honest, 1.0, seed=1, trials=5, audits_max=500)
    assert (none.mean, none.missed, none.trials, none.quantile(0.5)) == (None, 5, 5, None)


def test_plays_count_how_far_off_answers_are():
    """Answers that are never a mismatch convict in the pooled test, if they are far off often enough."""
    far, honest = [Audited(AuditOutcome.NOTHING, 1_800)], [Audited(AuditOutcome.AGREEMENT, -160)]
    sure = play(ACROSS, far, honest, 1.0, seed=1, trials=5)
    assert (sure.mean, sure.missed) == (-(-(16_277 + 710) // 1_800), 0)
    late = play(ACROSS, far, [*honest, Audited(AuditOutcome.NOTHING, -160)], 0.5, seed=1, trials=20)
    assert late.missed == 0
    assert min(late.audits) > max(sure.audits)
    assert play(ACROSS, honest, honest, 1.0, seed=1, trials=5, audits_max=500).missed == 5


def test_plays_of_long_answers_alone_take_as_long_as_the_share_says():
    """A tenth of the audits is long, and each of them is a lie. Right answers to the others do not help."""
    found = play(ACROSS, [DISSENT], [AGREEMENT], 1.0, seed=1, trials=200, long_share=0.1)
    assert found.missed == 0
    assert found.mean == pytest.approx(70, rel=0.1)
    half = play(ACROSS, [DISSENT], [AGREEMENT], 0.5, seed=1, trials=200, long_share=0.1)
    assert half.mean == pytest.approx(157, rel=0.1)
    assert play(ACROSS, [AGREEMENT], [AGREEMENT], 1.0, seed=1, trials=5, audits_max=500, long_share=0.1).missed == 5


def test_plays_at_a_rate_have_the_expected_mean():
    """The mean over plays is near the mean of the exact chain."""
    entry = Numeric("prune", "")
    outcomes = [DISSENT] * 99 + [Audited(AuditOutcome.NOTHING)], [AGREEMENT]
    row = numeric_row(entry, "across", 0.2, outcomes, [True] * 100, ACROSS, saved=1.0, seed=1, trials=1_500)
    assert row.expected == pytest.approx(38.1, abs=0.1)
    assert row.measured.mean == pytest.approx(row.expected, rel=0.05)
    assert (row.fate, row.found, row.unclear, row.asked) == ("convicted", 99, 1, 100)


def judged(*margins: int) -> JudgedAnswer:
    """An answer with these margins."""
    return JudgedAnswer(False, False, measure(margins, [False] * len(margins), "length", len(margins)), margins)


#: A match up to a mean square of 0.01 square nats a token; a mismatch above 0.02, or if the end is 0.05 nats off.
BOUNDS = Across(0, 10_000, 0, 20_000, 50_000, 10_000)


def test_answers_put_together_keep_length_and_stretches():
    """New answers have the margins of measured ones. If all margins are small, so is their sum. Ends stay."""
    small = MarginPool([judged(*[50_000] * 64), judged(*[90_000] * 16)], BOUNDS, 1)
    assert {small.draw() for _ in range(200)} == {AGREEMENT}
    large = MarginPool([judged(*[150_000] * 64)], BOUNDS, 1)
    assert {large.draw() for _ in range(50)} == {DISSENT}
    fine = judged(*[0] * 8)
    ended = MarginPool([replace(fine, measure=replace(fine.measure, end=60_000))], BOUNDS, 1)
    assert ended.draw() == DISSENT
    mixed = MarginPool([judged(*[0] * 32, *[200_000] * 32)], BOUNDS, 1)
    assert len({mixed.draw() for _ in range(200)}) > 1


def test_honest_peers_are_convicted_only_by_alarms():
    """The allowed rate of alarms convicts no peer. A path that is always misjudged is found."""
    fine = MarginPool([judged(*[1_000] * 8)], BOUNDS, 2)
    assert play_honest(fine, ACROSS, 3, 500) == (0, 0)
    bad = MarginPool([judged(*[900_000] * 8)], BOUNDS, 2)
    assert play_honest(bad, ACROSS, 3, 100) == (300, 3)


def test_an_honest_row_counts_what_was_measured():
    """The row has the answers, the mismatches, the mean margin, and the plays."""
    answers_given = [judged(*[1_000] * 8)] * 3 + [judged(*[900_000] * 8)]
    row = honest_row("x", answers_given, BOUNDS, ACROSS, seed=1, audits=100)
    assert (row.path, row.asked, row.found, row.unclear, row.mean_micronats) == ("x", 4, 1, 0, 225_750)
    assert row.alarms > 0


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    "arguments", [["--book", "toy"], ["--book", "--simulate"], ["--book", "--peers", "9"], ["--quick"]]
)
def test_what_does_not_go_with_the_book(capsys, arguments):
    """An option that the book cannot use is a usage error that says so."""
    with pytest.raises(SystemExit) as ended:
        main.main(args=["testnet", *arguments])
    assert ended.value.code == 2
    assert "--book" in capsys.readouterr().err
