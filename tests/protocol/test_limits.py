"""protocol/limits.md agrees with the code: the limit of every table, and its counter."""

import ast
import importlib
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core import admission
from p2pverify.core.limits import Rate
from p2pverify.net.protocols import read_rate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "protocol" / "limits.md").read_text(encoding="utf-8")
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "p2pverify").rglob("*.py"))}
LAYERS = ("core", "net", "node", "store", "api")
ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| (?P<bound>[\d,]+) \| `(?P<code>[\w.]+)` \| [^|]+ \| (?P<counter>[^|]+) \|$", re.M
)
SHARE = re.compile(
    r"^\| [^|]+ \| [^|]+ \| (?P<own>[^|]+) \| (?P<pool>[^|]+) \| `(?P<a>[\w.]+)`, `(?P<b>[\w.]+)` \| [^|]+ "
    r"\| (?P<counter>[^|]+) \|$",
    re.M,
)

#: Limits of one value, not of the amount held: sizes and counts in a record or message, which are on other pages, and
#: limits that no other peer can reach.
OTHER = {
    "core": {
        "ANSWER_TOKENS_MAX", "APART_EPOCHS_MAX", "ASKED_MAX", "AUDIT_ANSWER_TOKENS_MAX", "AUDIT_PROMPT_TOKENS_MAX",
        "AUDIT_REQUESTS_MAX", "BACKOFF_MAX", "BATCH_MAX", "CALIBRATIONS_MAX", "CANARIES_MAX", "CHUNK_IDS_MAX",
        "CHUNKS_MAX", "CLASSES_MAX", "COUNTERS_MAX", "CUTS_BACK_MAX", "DEPTH_MAX", "DIGESTED_IDS_MAX", "DIGESTS_MAX",
        "EPOCHS_AHEAD_MAX", "EPOCH_MAX", "EVERYONE_MAX", "EVIDENCE_PAYLOAD_MAX", "EXPIRY_EPOCHS_MAX", "FEE_MAX",
        "CHANGES_MAX", "OPEN_EPOCHS_MAX", "RANK_MAX", "ROW_TOKENS_MAX", "STEPS_MAX",
        "CELL_MAX", "CONTRIBUTORS_MAX", "OFFERED_ROWS_MAX", "DATA_ROWS_MAX", "HIDDEN_MAX", "HOUSE_MAX",
        "FEATURES_MAX", "LABELS_MAX", "PARENTS_MAX", "PERIOD_MAX",
        "AMOUNT_MAX", "CURVE_POINTS_MAX", "CURVE_X_MAX", "PRICE_MAX", "ROUND_MAX", "SERIES_EPOCHS_MAX",
        "VEST_EPOCHS_MAX",
        "COMMON_IDS_MAX", "FETCH_IDS_MAX", "PATH_MAX",
        "ASKED_LEAVES_MAX", "HASHES_MAX", "LEAVES_MAX", "SECTIONS_MAX",
        "FINGERPRINTS_MAX", "FOUNDERS_MAX", "GOLDEN_ANSWER_TOKENS_MAX", "GOLDEN_PATHS_MAX",
        "GOLDEN_PROMPT_TOKENS_MAX", "GOLDEN_QUESTIONS_MAX", "GROWTH_EPOCHS_MAX", "HEADS_MAX", "INTRODUCTION_MAX",
        "JUDGED_MAX", "LAYERS_MAX", "LAYER_MAX", "LINES_MAX", "LINE_MAX",
        "LIST_IDS_MAX", "MERGE_WEIGHT_MAX", "OPENINGS_MAX", "PANEL_MAX", "PEAK_MAX", "PLAN_REQUESTS_MAX",
        "PROMPT_TOKENS_MAX",
        "LINE_EPOCHS_MAX", "PROVISIONAL_MAX", "PUBLISHERS_MAX", "RANGES_MAX", "RELEASE_FILES_MAX",
        "RELEASE_LINE_MAX", "RELEASE_NUMBER_MAX",
        "REPORT_TOKENS_MAX",
        "ROUNDS_MAX", "SAMPLES_MAX", "SEQ_MAX", "SHAPES_MAX", "SHOWN_MAX", "SPONSORED_MAX", "STAGE_MAX", "STATES_MAX",
        "TEMPERATURE_MILLI_MAX", "THRESHOLD_MAX", "TOKEN_MAX", "TOTAL_MAX", "TURN_TOKENS_MAX", "UINT_MAX",
        "WEIGHTED_MAX",
        "BUDGET_MAX", "HELD_MAX", "LOSS_MICRONATS_MAX", "MICRONATS_MAX", "ROUND_NUMBER_MAX", "TRAINED_ROWS_MAX",
    },
    "net": set(),
    "node": {
        "ANNOUNCE_MAX", "BOOTSTRAP_MAX", "CASES_MAX", "COVER_PER_EPOCH_MAX", "FINAL_LAG_MAX", "LANES_MAX", "LISTEN_MAX",
        "NAMED_MAX", "SESSIONS_KEPT",
        "PROMPTS_KEPT", "PROMPT_TOKENS_MAX", "QUOTA_GB_MAX",
        "CREDIT_ANSWERS_MAX", "UPLOAD_MB_PER_S_MAX", "SEALED_NAMED_MAX", "TAIL_RECORDS_MAX", "VOTES_MAX",
        "TABLE_ROWS_MAX",
    },
    "store": set(),
    "api": {"AUDITS_MAX", "MESSAGES_MAX", "NAME_CHARS_MAX", "STOPS_MAX"},
}  # fmt: skip


def _look_up(path: str) -> Any:
    """The object of a dotted name below p2pverify. The field of a class is looked up by its default."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["p2pverify", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            if is_dataclass(found) and isinstance(found, type):
                found = next(field.default for field in fields(found) if field.name == name)
            else:
                found = getattr(found, name)
        return found
    raise AssertionError(f"there is no {path}")


def _rows() -> list[dict[str, str]]:
    return [match.groupdict() for match in ROW.finditer(PAGE)]


def test_every_line_of_a_table_is_read() -> None:
    """No row is skipped because of its form."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "| code |" not in line]
    assert len(lines) == len(_rows()) + len(list(SHARE.finditer(PAGE)))
    assert len(_rows()) > 60


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["code"])
def test_bounds_are_those_of_the_code(row: dict[str, str]) -> None:
    """The number on the page equals the named constant."""
    assert _look_up(row["code"]) == int(row["bound"].replace(",", ""))


@pytest.mark.parametrize("row", [match.groupdict() for match in SHARE.finditer(PAGE)], ids=lambda row: row["b"])
def test_shares_are_those_of_the_code(row: dict[str, str]) -> None:
    """This covers the own share and the pool, per second and saved."""
    for text, name in ((row["own"], row["a"]), (row["pool"], row["b"])):
        per_second, burst = (int(part.replace(",", "")) for part in text.split(" / "))
        assert _look_up(name) == Rate(per_second, burst)


def test_figures_in_the_text() -> None:
    """This covers the sums on the page and the rate of one neighbour."""
    together = admission.NEIGHBOURS_MAX * admission.CHECKS.per_second
    together += admission.POOL_OF_MEMBERS.per_second + admission.POOL_OF_STRANGERS.per_second
    assert f"{together:,} checks a\nsecond" in PAGE
    assert (read_rate.FRAMES.per_second, read_rate.BYTES.per_second) == (2000, 4 * 1024 * 1024)
    assert f"{admission.CHECKS.per_second + admission.POOL_OF_STRANGERS.per_second:,} checks a second, without" in PAGE


def test_counters_are_counted_somewhere() -> None:
    """Each counter is a text in the code. One that ends with a star is a prefix."""
    rows = [*_rows(), *(match.groupdict() for match in SHARE.finditer(PAGE))]
    counters = {row["counter"].strip("`").rstrip("*") for row in rows} - {"-"}
    texts = "".join(SOURCES.values())
    assert len(counters) > 30
    assert [counter for counter in sorted(counters) if f'"{counter}' not in texts] == []


def _constants(layer: str) -> dict[str, str]:
    """Constants of a layer's modules with the name of a limit, and their places."""
    found = {}
    for path, text in SOURCES.items():
        if path.relative_to(ROOT / "p2pverify").parts[0] != layer:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name.endswith(("_MAX", "_KEPT")) and not name.startswith("_"):
                    module = ".".join(path.relative_to(ROOT / "p2pverify").with_suffix("").parts)
                    found[f"{module}.{name}"] = name
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_no_bound_is_left_out(layer: str) -> None:
    """Every limit in the code is on the page, unless it is a size or a time or is listed above."""
    on_page = {row["code"] for row in _rows()}
    sizes = ("_BYTES_MAX", "_SECONDS_MAX", "_CHARS_MAX", "_S_MAX", "_MS_MAX")
    left_out = {
        path
        for path, name in _constants(layer).items()
        if path not in on_page and name not in OTHER[layer] and not name.endswith(sizes)
    }
    assert left_out == set()
    assert OTHER[layer] <= set(_constants(layer).values())
