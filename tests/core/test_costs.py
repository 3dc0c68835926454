"""The estimated costs of the engine's jobs."""

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.contract.output import Ask
from p2pverify.core.costs import Costs
from p2pverify.core.events import OWN, REFEREE, Compute, MeasureJob
from p2pverify.core.inference.jobs import Purpose


def written(prompt_tokens: int, tokens_max: int = 0, role: str = OWN) -> Compute:
    return Compute(1, Purpose.AUDIT, 0, Ask((), tokens_max, 0, bytes(32)), bytes(16), prompt_tokens, role)


def asked(prompt_tokens: int, tokens_max: int) -> Compute:
    return Compute(1, Purpose.REQUEST, 0, Ask((7,) * prompt_tokens, tokens_max, 0, bytes(32)), None, 0)


def claimed(prompt_tokens: int, tokens: int) -> MeasureJob:
    return MeasureJob(1, Purpose.VOTE, 0, Ask((7,) * prompt_tokens, 0, 0, bytes(32)), (7,) * tokens)


def test_what_was_never_done_is_tried() -> None:
    assert Costs().estimate(asked(100, 100)) == Costs().estimate(claimed(100, 100)) == 0


def test_longer_jobs_take_longer_by_what_each_of_their_tokens_takes() -> None:
    """Reading, writing and answering have separate costs, and a job costs the sum of its parts."""
    costs = Costs()
    costs.learn(asked(10, 20), 250, first_token_ms=50, total_ms=250)  # 5 ms to read a token, 10 to answer one
    assert costs.estimate(asked(10, 20)) == 250
    assert costs.estimate(asked(100, 20)) == 700
    assert costs.estimate(asked(10, 2)) == 70
    costs.learn(written(30, 20), 500, first_token_ms=0, total_ms=200)  # 10 ms to write one
    assert costs.estimate(written(60)) == 600
    assert costs.estimate(written(60, 20)) == 800


def test_the_referee_has_figures_of_its_own() -> None:
    costs = Costs()
    costs.learn(written(10, role=REFEREE), 1000)
    costs.learn(claimed(10, 10), 400)
    assert costs.estimate(written(10, role=REFEREE)) == 1000
    assert costs.estimate(claimed(10, 30)) == 800
    assert costs.estimate(written(10)) == 0


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_estimates_follow_the_machine(before_ms: int, after_ms: int) -> None:
    """Estimates follow a change within sixty jobs, up and down, to a twentieth."""
    costs = Costs()
    for _ in range(3):
        costs.learn(asked(0, 1), before_ms, first_token_ms=0, total_ms=before_ms)
    for _ in range(60):
        costs.learn(asked(0, 1), after_ms, first_token_ms=0, total_ms=after_ms)
    assert abs(costs.estimate(asked(0, 1)) - after_ms) <= max(1, after_ms // 20)


def test_one_job_during_which_a_laptop_slept_does_not_spoil_the_estimate() -> None:
    costs = Costs()
    costs.learn(asked(0, 1), 100, first_token_ms=0, total_ms=100)
    costs.learn(asked(0, 1), 36_000_000, first_token_ms=0, total_ms=36_000_000)
    assert costs.estimate(asked(0, 1)) < 200


def test_a_doubted_estimate_is_halved() -> None:
    costs = Costs()
    costs.learn(written(10, 10), 800, first_token_ms=0, total_ms=400)
    costs.doubt(written(10, 10))
    assert costs.estimate(written(10, 10)) == 400
    assert costs.estimate(written(10)) == 200
