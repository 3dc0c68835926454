"""The victim of every attack: a fixture, fresh for each test."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.attack.live import Live, start_both


@pytest.fixture
async def live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Live]:
    """A running node and an honest neighbour. Both end after the test."""
    caplog.set_level(logging.DEBUG, "p2pverify")
    async with trio.open_nursery() as nursery:
        with trio.fail_after(30):
            yielded = await start_both(nursery, tmp_path, monkeypatch, caplog)
        yield yielded
        nursery.cancel_scope.cancel()
