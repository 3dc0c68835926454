"""The exact engine's sums in PyTorch: numpy's bits. Needs the extra `torch`, so the default suite leaves it out:

`uv run --extra torch pytest -o addopts= tests/engine/test_exact_torch.py`

It runs on PyTorch's CPU, and on a GPU if PyTorch has one that it calls "cuda".
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact import ExactEngine, loader
from p2pverify.engine.exact.devices import open_device
from p2pverify.engine.exact.devices.host import NumpyDevice
from p2pverify.engine.exact.devices.pytorch import TorchDevice
from p2pverify.engine.gguf import weights
from tests.engine.exact.test_engine import GOLDEN
from tests.engine.exact.test_linear import FORMS, extreme, extreme_activations, pack
from tests.engine.exact.test_model import MODELS
from tests.engine.exact_digest import digests, small_digest
from tests.support.tiny_model import write


def variants() -> list[str]:
    try:
        open_device("torch/cuda")
    except EngineUnavailable:
        return ["torch"]
    return ["torch", "torch/cuda"]


@pytest.fixture(scope="module", params=variants())
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the packed weights, removed after the tests because it needs half a gigabyte."""
    folder = tmp_path_factory.mktemp("exact")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=MODELS)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model: they cover each architecture and each quantisation."""
    return write(tmp_path_factory.mktemp("small") / "tiny.gguf", MODELS[request.param])


@pytest.mark.parametrize("weights_max", [loader.FLOAT_WEIGHTS_MAX, 1000], ids=["wide", "packed small"])
def test_small_models_have_numpys_bits(
    weights_max: int, variant: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "FLOAT_WEIGHTS_MAX", weights_max)
    assert small_digest(small, tmp_path, variant) == small_digest(small, tmp_path)


def test_golden_digests(variant: str, cache: Path) -> None:
    """The class is numpy's, and so are prompts, answers, scores and logits of the bundled model."""
    engine = ExactEngine(weights.bundled(), expect_sha256=weights.SHA256, cache=cache, variant=variant)
    assert (engine.info.engine, engine.info.numeric_path) == ("exact/1", "integer")
    assert digests(engine) == GOLDEN
    engine.close()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("inputs", [64, 4096])
def test_the_largest_sums_have_numpys_bits(inputs: int, small: bool, form: tuple[int, int, int], variant: str) -> None:
    """Products of the largest numbers and activations within the bounds, all of one sign."""
    rng = np.random.default_rng(11)
    largest = 2**20 if inputs == 64 else max(1, 2**24 // form[1])
    matrix = pack([extreme(rng, 300, inputs // form[0], form, largest, minima=True)], small=small)
    x = extreme_activations(rng, 33, inputs, matrix.activation_max)
    device = open_device(variant)
    for rows in (33, 1):
        assert matrix.apply(x[:rows], device).tobytes() == matrix.apply(x[:rows], NumpyDevice()).tobytes()


def test_a_device_that_rounds_is_refused(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 keeps 11 bits of a factor. An activation of 16 bits loses its lowest bits then, and the trial shows it."""
    tile = TorchDevice.tile

    def rounded(self, activations, numbers, scales):
        bits = activations.view(self._torch.int32)
        return tile(self, ((bits + (1 << 12)) & -(1 << 13)).view(self._torch.float32), numbers, scales)

    monkeypatch.setattr(TorchDevice, "tile", rounded)
    with pytest.raises(EngineUnavailable, match="rounds sums"):
        open_device(variant)


@pytest.mark.parametrize("name", ["meta", "nonsense", "cuda:99"])
def test_devices_that_cannot_compute_are_refused(name: str) -> None:
    with pytest.raises(EngineUnavailable, match=rf"'{name}' cannot compute .*choose another variant"):
        open_device(f"torch/{name}")


def test_weights_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's error becomes one that says what to do."""
    device = TorchDevice("cpu")

    def full(array: np.ndarray) -> None:
        raise device._torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(device, "put", full)
    with pytest.raises(EngineUnavailable, match=r"has no room for the weights \(out of memory\)"):
        device.hold(np.zeros(3))
