"""The mixed networks are played beside the other tests, which mostly leave a core idle."""

import pytest

from tests.simulation.support import Run, start_all

SCENARIO, SEEDS = "mixed", tuple(range(1, 11))
_RUNS: pytest.StashKey[list[Run]] = pytest.StashKey()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start as soon as it is known that a test needs them."""
    wanted = any("mixed_networks" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_RUNS] = start_all(SCENARIO, SEEDS)


def pytest_sessionfinish(session: pytest.Session) -> None:
    for run in session.config.stash.get(_RUNS, []):
        run.stop()


@pytest.fixture
def mixed_networks(request: pytest.FixtureRequest) -> list[Run]:
    """The processes that play the seeds of the scenario `mixed`, each some of them."""
    return request.config.stash[_RUNS]
