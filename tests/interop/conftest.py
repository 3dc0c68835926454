"""The JavaScript packages are installed before the first test, so that no test's timeout covers the installation."""

import pytest

from tests.interop import javascript


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    javascript.packages()
