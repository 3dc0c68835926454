"""What tests of commands share."""

from pathlib import Path

import pytest

from p2pverify.node.files.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home directory of its own, not made yet."""
    return Home(tmp_path / "home")
