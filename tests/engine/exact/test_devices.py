"""Variants of the exact engine: each names a device, and one that is not there is a clear error."""

import sys

import pytest

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact.devices import open_device
from p2pverify.engine.exact.devices.host import NumpyDevice
from p2pverify.engine.registry import EngineOpening, open_engine


def test_numpy_is_the_usual_device() -> None:
    assert isinstance(open_device(""), NumpyDevice)


@pytest.mark.parametrize("variant", ["torch", "torch/cuda"])
def test_without_pytorch_the_error_says_what_to_install(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any weights are read."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=r"PyTorch is not installed .*pip install 'p2pverify\[torch\]'"):
        open_engine("exact", EngineOpening(variant=variant))


@pytest.mark.parametrize("variant", ["torch/", "/cuda", "cuda", "numpy", "torches/cpu", " torch"])
def test_other_variants_are_refused(variant: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"has no variant '{variant}': choose"):
        open_engine("exact", EngineOpening(variant=variant))
