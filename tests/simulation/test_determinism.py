"""Equal numbers give equal runs, in another process and with another seed of Python's hashes."""

from tests.simulation.support import Run

OPTIONS = ("--peers", "40", "--epochs", "7")


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    """All events are equal, in order and to the byte. Another seed gives another run."""
    runs = [Run("mixed", "3", *OPTIONS, hash_seed=hash_seed) for hash_seed in ("1", "2")]
    one, two = (run.results()[0] for run in runs)
    assert one["trace"] == two["trace"]
    assert {**one, "cpu_seconds": 0} == {**two, "cpu_seconds": 0}
    (other,) = Run("mixed", "4", *OPTIONS).results()
    assert other["trace"] != one["trace"]
