"""The JavaScript packages, installed before the first test, so that no test's patience has to hold for that."""

import pytest

from tests.interop import javascript


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    javascript.packages()
