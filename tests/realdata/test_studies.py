"""The case studies with real processes and real rows: the command, its report, and its page.

They need the group `cases`: `uv run --group cases pytest -n 0 tests/realdata`.
"""

import json
from pathlib import Path

import pytest

from p2pverify.testnet.cases.checks import AUC_SLACK
from p2pverify.testnet.cases.registry import STUDIES
from tests.testnet.support import running_testnet

#: On a busy machine; an idle one needs a fifth.
RUN_S = 600
#: The fate of each cheat, by its kind.
FATES = {
    "healthcare": {"poison-labels": "trusted", "overspend": "trusted", "stale-version": "convicted"},
    "finance": {"free-rider": "trusted", "copy-update": "trusted", "canned@0.333": "convicted"},
    "supply-chain": {"short-training": "convicted", "late": "trusted", "swap-lot": "trusted"},
}


@pytest.mark.parametrize("study", STUDIES)
def test_a_case_study_passes(study: str, tmp_path: Path) -> None:
    """Standard output is one JSON document. The page says the same, and each check of the verdict holds."""
    page = tmp_path / "report.html"
    arguments = [study, "--epoch-ms", "3000", "--timeout", str(RUN_S), "--json", "-", "--report", str(page)]
    with running_testnet(tmp_path / "tmp", *arguments) as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    case = document["case"]
    assert (document["verdict"], case["verdict"], case["study"]) == ("pass", "pass", study)
    assert all(check["holds"] for check in case["checks"])
    assert {one["cheat"]: one["standing"] for one in case["peers"] if one["cheat"]} == FATES[study]
    assert document["honest_convicted"] == []
    assert sum(one["stands"] for one in case["rounds"]) == 6
    assert any(one["repeats"] for one in case["rounds"]) == (study == "healthcare")
    assert case["versions"][-1]["auc"] > case["alone"] - AUC_SLACK > case["start"] == 0.5
    assert sum(one["share"] for one in case["peers"]) == pytest.approx(1)
    assert case["ledger"]["verified"]
    text = page.read_text(encoding="utf-8")
    assert f"{case['versions'][-1]['auc']:.3f}" in text
    assert case["ledger"]["cut"] in text
