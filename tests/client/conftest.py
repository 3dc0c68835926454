"""A served home for the tests of clients."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.client.serving import ServedHome, grown_toys, serving
from tests.support.toyworld import ToyWorld


@pytest.fixture(scope="package")
def world() -> ToyWorld:
    return grown_toys()


@pytest.fixture
async def served(tmp_path: Path, world: ToyWorld) -> AsyncIterator[ServedHome]:
    with trio.fail_after(120):
        async with serving(tmp_path, world) as found:
            yield found
