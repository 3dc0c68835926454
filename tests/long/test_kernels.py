"""The exact engine on the bundled model, and training, have the same bits with every BLAS kernel that runs here."""

import pytest

from tests.engine import exact_digest
from tests.engine.exact.test_engine import GOLDEN
from tests.engine.tabular import digest, test_bits
from tests.support import kernels


@pytest.mark.parametrize("name", list(kernels.SETTINGS)[1:])
def test_a_kernel_gives_the_same_bits(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "exact"
    cache.mkdir(exist_ok=True)
    assert kernels.bits(name, exact_digest.__name__, cache) == GOLDEN


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("name", list(kernels.SETTINGS)[1:])
def test_a_kernel_trains_to_the_same_bits(name: str, threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.SETTINGS, name, kernels.SETTINGS[name] | {"OPENBLAS_NUM_THREADS": threads})
    assert kernels.bits(name, digest.__name__) == test_bits.GOLDEN
