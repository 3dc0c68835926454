"""Random runs of the model keep the promises. Where a rule is missing, they break one."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import npm

HERE = Path(__file__).parent
MODEL = HERE.parent.parent / "protocol" / "model" / "cuts.qnt"
SAMPLES, STEPS, SEED = 400, 14, 1
SECONDS_MAX = 600


def quint(command: str, module: str, *options: str) -> str:
    """What Quint says about a module of the model."""
    program = npm.packages(HERE / "package.json") / "@informalsystems" / "quint" / "dist" / "src" / "cli.js"
    done = subprocess.run(
        [*npm.node(), str(program), command, str(MODEL), "--main", module, "--backend", "typescript", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    return done.stdout + done.stderr


def run(module: str, *options: str) -> str:
    """What Quint says about random runs of a module."""
    bounds = ("--max-samples", str(SAMPLES), "--max-steps", str(STEPS), "--seed", str(SEED), "--verbosity", "1")
    return quint("run", module, *bounds, *options)


@pytest.mark.parametrize(
    ("module", "promises", "reached"),
    [
        ("steady", "nested convictionsStand honestStandFree honestAreConsistent", "reachesSiblings reachesDepth"),
        ("moving", "nested honestStandFree honestAreConsistent", "reachesSiblings reachesDepth reachesNewWeights"),
        ("contested", "honestStandFree honestAreConsistent", "reachesConvictions"),
    ],
)
def test_promises_hold(module: str, promises: str, reached: str) -> None:
    """Random runs keep the promises, and some of them reach the cases that matter."""
    said = run(module, "--invariants", *promises.split(), "--witnesses", *reached.split())
    assert "No violation found" in said, said
    for witness in reached.split():
        found = re.search(rf"{witness} was witnessed in (\d+) trace", said)
        assert found is not None, said
        assert int(found[1]) > 0, said


@pytest.mark.parametrize(
    ("module", "promise"),
    [
        ("forgetful", "nested"),
        ("halves", "nested"),
        ("uncarried", "convictionsStand"),
        ("credulous", "honestStandFree"),
        ("withheld", "convictionsStand"),
    ],
)
def test_a_promise_is_broken(module: str, promise: str) -> None:
    """Without a rule, and at a known limit, random runs find a broken promise."""
    said = run(module, "--invariants", promise)
    assert "Invariant violated" in said, said


@pytest.mark.parametrize("module", ["restless", "hasty", "tight", "near", "nearest"])
def test_a_written_run_ends_as_the_model_says(module: str) -> None:
    """Random runs hardly ever find these cases. The model writes their steps down. All but `near` break a promise."""
    said = quint("test", module)
    assert "1 passing" in said, said
    assert "failed" not in said, said
