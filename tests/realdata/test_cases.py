"""Training over real rows keeps its promises: `uv run --group cases pytest -n 0 tests/realdata`."""

import numpy as np
import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.engine.tabular.model import decode_rows
from p2pverify.testnet.cases.datasets import CASES, load_case
from tests.bench.training.bench_auc import play

SPLITS = 10
#: How many rows there are, how many of them have label 1, and the first bytes of the SHA-256 over all.
FACTS = {
    "wdbc": (569, 357, "0aca7a8ef4662a50"),
    "german-credit": (1000, 700, "8bad298c11f602d5"),
    "flights": (2201, 428, "493301941b97affe"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rows_are_the_published_ones(name: str) -> None:
    """Numbers and digest, so that a case means the same rows everywhere."""
    case = load_case(name)
    labels = sum(case.schema.cells(row)[1] for row in case.rows)
    assert (len(case.rows), labels, sha256(b"".join(case.rows)).hex()[:16]) == FACTS[name]


@pytest.mark.parametrize("name", CASES)
def test_rounds_come_near_a_model_of_all_rows(name: str) -> None:
    """After six rounds: within .02 of a regression in floats over all rows, and above the models trained alone."""
    case = load_case(name)
    rows = decode_rows(case.schema, case.rows)
    central, alone, *rounds = np.mean([play(case, rows, name, 0, split) for split in range(SPLITS)], axis=0)
    assert rounds[-1] >= central - 0.02
    assert rounds[-1] > alone


def test_noise_leaves_wdbc_accurate() -> None:
    """With an eps of 4 over six rounds, for the rows of each hospital."""
    case = load_case("wdbc")
    rows = decode_rows(case.schema, case.rows)
    assert np.mean([play(case, rows, "wdbc", 4, split)[-1] for split in range(SPLITS)]) >= 0.985
