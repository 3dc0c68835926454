"""`p2pverify plan`: the table, the JSON document, and wrong numbers."""

import json
from pathlib import Path

from tests.cli.transcript import run


def test_the_table_and_the_document_have_the_same_figures(tmp_path: Path) -> None:
    """The default plan is the example of protocol/plan.md."""
    shown = run(tmp_path, "plan")
    assert shown.returncode == 0, shown.stderr
    assert "cost                  1.40" in shown.stdout
    assert " 10.0%   65.1%                   5.6" in shown.stdout
    document = json.loads(run(tmp_path, "plan", "--rate", "0.1", "--json").stdout)
    assert document["schema"] == "p2pverify/plan/1"
    assert (document["cost"], document["cost_unchecked"], document["cost_all_checked"]) == (
        1_400_000, 1_000_000, 5_000_000,
    )  # fmt: skip
    assert document["outlooks"] == [{"rate_ppm": 100_000, "caught_ppm": 651_321, "passed_milli": 5569}]


def test_without_checks_no_escrow_is_enough(tmp_path: Path) -> None:
    """A panel of one compares nothing."""
    assert "none is enough" in run(tmp_path, "plan", "--panel", "1").stdout
