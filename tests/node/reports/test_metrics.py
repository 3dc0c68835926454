"""The metrics have the values that an alert needs, and keep to Prometheus' conventions."""

import ast
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import p2pverify
from p2pverify.api.metrics import Counts, new_registry
from p2pverify.node.reports.metrics import LEVELS, PREFIX, ROUTER_SIZES
from p2pverify.node.timing import BOUNDS_S, Times

UNITS_BUT_BASE = ("_ms", "milliseconds", "minutes", "hours", "kilobytes", "megabytes", "percent", "ppm")


def exposition(stage) -> str:
    counts = Counts()
    counts.count_request("/livez", 200)
    counts.count_connection("served")
    return generate_latest(new_registry(stage.reports, counts)).decode()


def samples(stage) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(stage))
        for sample in family.samples
    }


def lint(text: str) -> list[str]:
    """The faults that `promtool check metrics` would find, and families that are not there exactly once."""
    faults = []
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    faults += [f"{name}: twice" for name in {name for name, _ in names} if [n for n, _ in names].count(name) > 1]
    for name, kind in names:
        if len(helps.get(name, "")) < 10:
            faults.append(f"{name}: no help")
        if kind not in ("counter", "gauge", "histogram"):
            faults.append(f"{name}: of no kind")
        if (kind == "counter") != name.endswith("_total"):
            faults.append(f"{name}: _total is for counters")
        if kind != "histogram" and name.endswith(("_bucket", "_count", "_sum")):
            faults.append(f"{name}: the suffix of a histogram")
        if any(unit in name for unit in UNITS_BUT_BASE) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            faults.append(f"{name}: not in base units, or no snake case")
        if re.search(r"gauge|counter|histogram|_(limit|max|min)(_|$)", name) and not name.startswith("process_"):
            faults.append(f"{name}: a kind or a limit in the name")
    listed = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}
    histograms = [name for name, kind in names if kind == "histogram"]
    known = {name for name, _ in names} | {name + end for name in histograms for end in ("_bucket", "_count", "_sum")}
    return faults + [f"{name}: untyped" for name in listed - known]


async def test_the_exposition_is_clean(stage):
    """It follows the conventions, and promtool accepts it if it is installed."""
    stage.driver.answer_times.note(0.3)
    text = exposition(stage)
    assert lint(text) == []
    assert sum(line.startswith("# TYPE p2pverify_") for line in text.splitlines()) > 40
    promtool = shutil.which("promtool")
    if promtool:
        done = await trio.to_thread.run_sync(
            partial(
                subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
            )
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_lint_sees_faults():
    """The lint finds one violation of each convention."""
    good = "# HELP p2pverify_x_seconds Something in seconds.\n# TYPE p2pverify_x_seconds gauge\np2pverify_x_seconds 1\n"
    assert lint(good) == []
    for old, new in [
        ("_seconds", "_ms"),
        (" gauge", " untyped"),
        (" gauge", " counter"),
        ("p2pverify_x_seconds", "p2pverify_x_total"),
        ("p2pverify_x_seconds", "p2pverify_x_count"),
        ("p2pverify_x_seconds", "p2pverify_queue_max"),
        ("Something in seconds.", "-"),
        (good, good + good),
        (good, good + "p2pverify_y 1\n"),
    ]:
        assert lint(good.replace(old, new)) != []


async def test_what_an_alert_needs_is_true(stage):
    """Each family that an alert uses follows the node's state."""
    params = stage.world.network.params
    healthy = samples(stage)
    assert healthy["p2pverify_ready", ()] == 1
    assert healthy["p2pverify_own_weight", ()] == 1
    assert healthy["p2pverify_weight", ()] == 4
    assert healthy["p2pverify_weight_connected", ()] == 2
    assert healthy["p2pverify_cuts_final_total", ()] == stage.world.peers[0].machine.fold.latest.index
    stage.now += 10 * params.epoch_ms
    stage.change(
        convicted_epoch=2,
        conviction="lost disputes",
        fork_until=99,
        no_shows=3,
        slots_owed=7,
        dissents=5,
        agreements=6,
        weight=0,
    )
    fold = stage.world.peers[0].machine.fold
    fold.latest.convicted = frozenset({stage.world.peers[0].machine.key})
    fold.latest.totals["forks"] = 2
    stage.driver.answer_times.note(0.3)
    stage.driver.answer_times.note(1000)
    found = samples(stage)
    assert found["p2pverify_ready", ()] == 0
    assert found["p2pverify_unready_reasons", ()] >= 3
    assert found["p2pverify_cut_age_seconds", ()] > 3 * params.epoch_ms / 1000
    assert found["p2pverify_own_standing", (("standing", "convicted"),)] == 1
    assert sum(value for key, value in found.items() if key[0] == "p2pverify_own_standing") == 1
    assert found["p2pverify_members", (("standing", "convicted"),)] == 1
    assert found["p2pverify_own_forked", ()] == 1
    assert found["p2pverify_own_weight", ()] == 0
    assert found["p2pverify_convictions_total", ()] == 1
    assert found["p2pverify_forks_total", ()] == 2
    assert found["p2pverify_own_no_shows_total", ()] == 3
    assert found["p2pverify_own_slots_owed_total", ()] == 7
    assert found["p2pverify_own_dissents_total", ()] == 5
    assert 0 < found["p2pverify_own_score_low_ratio", ()] < found["p2pverify_own_score_high_ratio", ()] < 1
    assert found["p2pverify_answer_duration_seconds_count", ()] == 2
    assert found["p2pverify_answer_duration_seconds_bucket", (("le", "0.5"),)] == 1
    assert found["p2pverify_engine_oldest_job_age_seconds", ()] == 0
    for name in ("engine_jobs_dropped_total", "engine_jobs_late_total", "dials_failed_total", "neighbours"):
        assert (PREFIX + name, ()) in found


async def test_the_names_that_the_readme_gives_exist(stage):
    """An alert with a name from the README finds its series."""
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(p2pverify_[a-z_]+)`", readme))
    assert len(named) > 5
    assert named <= {name for name, _ in samples(stage)}


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.011, 300.0, 301.0])
def test_times_fall_into_the_right_bucket(seconds):
    """A bucket counts times up to its bound, and the last bucket counts all."""
    times = Times()
    times.note(seconds)
    for bound, count in times.buckets():
        assert count == (seconds <= float(bound))
    assert len(times.buckets()) == len(BOUNDS_S) + 1


def test_somebody_said_of_each_figure_what_it_is():
    """A literal name in a `statistics` is a level with its family. Events are in `Counters`."""
    package = Path(p2pverify.__file__).parent
    parts = {"store": "store ", "net": "net ", "node": "driver ", "core": ""}
    unknown = []
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).parts[0]
        if part not in parts:
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(function, ast.FunctionDef) and function.name in ("statistics", "disk_figures")):
                continue
            keys = [key for each in ast.walk(function) if isinstance(each, ast.Dict) for key in each.keys]
            for key in keys:
                if isinstance(key, ast.Constant):
                    names = {
                        f"{of}{key.value}"
                        for of in (parts[part], "driver ", "clients ", "blobs ", "lines ", "net router_")
                    }
                    if not any(name in LEVELS or name.startswith(ROUTER_SIZES) for name in names):
                        unknown.append(f"{path.name}: {key.value}")
    assert unknown == []
