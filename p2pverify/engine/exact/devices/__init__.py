"""Where the exact engine computes its large sums: numpy (`host`), or PyTorch on any device (`pytorch`).

Both give the same bits, so a variant of this engine is no numeric path of its own. The names of variants are:

- "" is numpy;
- "torch" is PyTorch on the CPU;
- "torch/DEVICE" is PyTorch on a device that it knows by this name, such as "torch/cuda" or "torch/cuda:1".
"""

from typing import Any, Protocol

from numpy.typing import NDArray

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact.devices.host import NumpyDevice
from p2pverify.engine.exact.devices.pytorch import TorchDevice

TORCH = "torch"


class Device(Protocol):
    """A device and the arrays on it. They have numpy's operators, slices and `swapaxes`, as PyTorch's tensors do."""

    def hold(self, array: NDArray[Any]) -> Any:
        """Weights on the device. The same array is moved only once. Raises EngineUnavailable if they do not fit."""

    def put(self, array: NDArray[Any]) -> Any:
        """An array on the device."""

    def get(self, array: Any) -> NDArray[Any]:
        """An array of the device as numpy's, which the caller may change."""

    def empty(self, *shape: int) -> Any:
        """An array of float64 on the device, with any content."""

    def tile(self, activations: Any, numbers: Any, scales: Any) -> Any:
        """The sum over all blocks of (activations times numbers) times scales: float64 (rows, width).

        activations is float32 (blocks, rows, entries), numbers float32 or int8 (blocks, entries, width), and scales
        float64 (blocks, width). Products of a block are summed in float32.
        """


def open_device(variant: str) -> Device:
    """The device of a variant of the exact engine. Raises EngineUnavailable."""
    library, _, name = variant.partition("/")
    if not variant:
        return NumpyDevice()
    if library != TORCH or variant.endswith("/"):
        raise EngineUnavailable(
            f"the exact engine has no variant {variant!r}: choose 'torch', 'torch/cuda' or another device of PyTorch, "
            f"or none for numpy"
        )
    return TorchDevice(name or "cpu")
