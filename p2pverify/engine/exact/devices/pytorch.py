"""The device of the exact engine on which PyTorch computes the large sums: a CPU or a GPU. An extra.

The bits are numpy's, because no matrix product that is computed here is ever rounded:

- All summands are integers. The magnitudes of all summands of a sum add up to at most 2^24 in float32, and to at most
  2^53 in float64: see `linear` and `attention`. So every partial sum is an integer that the format holds, whichever
  summands it covers. The order of a sum, its division among threads and fused multiply-add change nothing.
- Only the parts of `attention` may exceed 2^53 when they are added up. They are added one by one, in the same order.
- This needs IEEE multiplications and additions in float32 and float64. So TF32 and bfloat16 are turned off in products
  of float32. Reductions of half precision do not occur. A small product of the largest integers shows at the start
  whether the device rounds, whatever the settings of drivers and libraries are.
- Roundings, exponentials and norms stay in numpy, because a GPU may fuse or approximate these.

The bits were compared on PyTorch's CPU path, and not yet on a GPU. On one CPU core it is slower than numpy.
"""

import importlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact.devices.host import NumpyDevice

GET_IT = "run `pip install 'p2pverify[torch]'`"
THREADS = 1
# A trial reaches the bounds: 32 * 8 * 65,535 is just below 2^24, 8 * (2^26 - 1) times this just below 2^53, and so is
# 128 * (2^23 - 1)^2.
BLOCKS, ROWS, ENTRIES, WIDTH, HEAD = 8, 32, 32, 256, 128
NUMBER, ACTIVATION, SCALE, VALUE = 8, 65_535, 2**26 - 1, 2**23 - 1


class TorchDevice:
    """Fulfils `Device`."""

    def __init__(self, name: str) -> None:
        """`name` is PyTorch's name of a device. Raises EngineUnavailable if the device is absent or rounds sums.

        Sets PyTorch's number of threads and its precision of float32 products, for the whole process.
        """
        try:
            self._torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise EngineUnavailable(f"PyTorch is not installed ({error}): {GET_IT}") from None
        self.name = name
        self._torch.set_num_threads(THREADS)
        self._torch.set_float32_matmul_precision("highest")
        self._held: dict[int, tuple[NDArray[Any], Any]] = {}  # an array is kept, so that no other one gets its id
        try:
            is_exact = self._is_exact()
        except (RuntimeError, TypeError, AssertionError) as error:
            raise self._unavailable("cannot compute", error) from None
        if not is_exact:
            raise EngineUnavailable(
                f"PyTorch rounds sums of integers on {name!r}: unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and other "
                f"settings of lower precision, or choose another device"
            )

    def hold(self, array: NDArray[Any]) -> Any:
        if id(array) not in self._held:
            try:
                self._held[id(array)] = array, self.put(array)
            except RuntimeError as error:
                raise self._unavailable("has no room for the weights", error) from None
        return self._held[id(array)][1]

    def put(self, array: NDArray[Any]) -> Any:
        with warnings.catch_warnings():
            # Packed weights are read-only maps of a file, and nothing here writes to them.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            return self._torch.from_numpy(array).to(self.name)

    def get(self, array: Any) -> NDArray[Any]:
        found: NDArray[Any] = array.cpu().numpy()
        return found

    def empty(self, *shape: int) -> Any:
        return self._torch.empty(shape, dtype=self._torch.float64, device=self.name)

    def tile(self, activations: Any, numbers: Any, scales: Any) -> Any:
        """See `Device`. PyTorch widens the float32 products to float64 before it multiplies them with scales."""
        return (self._torch.bmm(activations, numbers.float()) * scales[:, None]).sum(0)

    def _unavailable(self, what: str, error: Exception) -> EngineUnavailable:
        reason = " ".join(str(error).split())[:200]
        return EngineUnavailable(f"PyTorch's device {self.name!r} {what} ({reason}): choose another variant")

    def _is_exact(self) -> bool:
        """Whether sums up to the bounds are numpy's, of many rows and of one."""
        # The lowest bits vary, so that a shortened number differs from the whole one.
        lower = np.arange(BLOCKS * ENTRIES * WIDTH) % 3
        numbers = (NUMBER - lower).astype(np.float32).reshape(BLOCKS, ENTRIES, WIDTH)
        activations = (ACTIVATION - lower[: BLOCKS * ROWS * ENTRIES]).astype(np.float32).reshape(BLOCKS, ROWS, ENTRIES)
        scales = (SCALE - lower[: BLOCKS * WIDTH]).astype(np.float64).reshape(BLOCKS, WIDTH)
        values = (VALUE - lower[: ROWS * HEAD]).astype(np.float64).reshape(ROWS, HEAD)
        host, equal = NumpyDevice(), []
        for rows in (ROWS, 1):
            some = np.ascontiguousarray(activations[:, :rows])
            found = self.tile(self.put(some), self.put(numbers), self.put(scales))
            equal.append(np.array_equal(self.get(found), host.tile(some, numbers, scales)))
            scores = self.put(values[:rows]) @ self.put(values).swapaxes(0, 1)
            equal.append(np.array_equal(self.get(scores), values[:rows] @ values.T))
        return all(equal)
