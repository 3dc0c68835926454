"""The exact engine on the bundled model has the same bits with every BLAS kernel that runs here."""

import pytest

from tests.engine import exact_digest
from tests.engine.exact.test_engine import GOLDEN
from tests.support import kernels


@pytest.mark.parametrize("name", list(kernels.SETTINGS)[1:])
def test_a_kernel_gives_the_same_bits(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "exact"
    cache.mkdir(exist_ok=True)
    assert kernels.bits(name, exact_digest.__name__, cache) == GOLDEN
