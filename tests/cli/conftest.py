"""Fixtures for tests of commands."""

from pathlib import Path

import pytest

from p2pverify.node.files.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A test's own home directory, not made yet."""
    return Home(tmp_path / "home")
