"""A file of matrices in the layout of `linear`: written once, then memory-mapped by every process of the machine.

    arrays, each at a multiple of 64 bytes | index as JSON | size of the index, 8 B | SHA-256 of all before, 32 B

The digest is checked whenever the file is opened. A file with a wrong digest or index counts as absent and is written
again, because it is only a cache in the user's cache folder.
"""

import fcntl
import hashlib
import json
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.exact.linear import Linear

ALIGNMENT = 64
INDEX_BYTES_MAX = 1 << 20
DIGEST_BYTES = 32
CHUNK_BYTES = 1 << 24
SCALARS = ("activation_max", "outputs", "limbs")
NUMBERS, SMALL_NUMBERS, FACTORS = "<f4", "|i1", "<f8"

Named = Iterable[tuple[str, Linear]]
Counter = Callable[[int], None]
"""Called with the number of bytes read."""


def read(path: Path, counter: Counter) -> dict[str, Linear] | None:
    """The matrices of a file, as read-only maps of it; None if the file is absent or damaged."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    end = len(data) - DIGEST_BYTES
    if end < 8 or _digest(data, end, counter) != data[end:]:
        return None
    size = int.from_bytes(data[end - 8 : end], "little")
    if not 0 < size <= min(INDEX_BYTES_MAX, end - 8):
        return None
    try:
        index = json.loads(data[end - 8 - size : end - 8])
        return {name: _linear(entry, data) for name, entry in index.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def write(path: Path, matrices: Named) -> None:
    """Write a file whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            _write(file, matrices)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for writing a file; blocks while another process holds it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(file: IO[bytes], matrices: Named) -> None:
    digest = hashlib.sha256()
    at = 0

    def put(data: bytes | memoryview) -> None:
        nonlocal at
        file.write(data)
        digest.update(data)
        at += len(data)

    index: dict[str, Any] = {}
    for name, matrix in matrices:
        entry: dict[str, Any] = {name: getattr(matrix, name) for name in SCALARS}
        for field, array in _arrays(matrix).items():
            put(bytes(-at % ALIGNMENT))
            entry[field] = [array.dtype.str, at, *array.shape]
            put(np.ascontiguousarray(array).data.cast("B"))
        index[name] = entry
    text = json.dumps(index).encode()
    put(text)
    put(len(text).to_bytes(8, "little"))
    file.write(digest.digest())


def _digest(data: mmap.mmap, end: int, counter: Counter) -> bytes:
    digest = hashlib.sha256()
    with memoryview(data) as view:
        for start in range(0, end, CHUNK_BYTES):
            with view[start : min(end, start + CHUNK_BYTES)] as chunk:
                digest.update(chunk)
                counter(len(chunk))
    return digest.digest()


def _arrays(matrix: Linear) -> dict[str, NDArray[Any]]:
    """The arrays of a matrix, little endian."""
    found: dict[str, NDArray[Any]] = {
        "numbers": matrix.numbers.astype(SMALL_NUMBERS if matrix.small else NUMBERS, copy=False),
        "scales": matrix.scales.astype(FACTORS, copy=False),
    }
    if matrix.minima is not None:
        found["minima"] = matrix.minima.astype(FACTORS, copy=False)
    return found


def _linear(entry: dict[str, Any], data: mmap.mmap) -> Linear:
    return Linear(
        numbers=_array(entry["numbers"], (NUMBERS, SMALL_NUMBERS), data),
        scales=_array(entry["scales"], (FACTORS,), data),
        minima=_array(entry["minima"], (FACTORS,), data) if "minima" in entry else None,
        **{name: int(entry[name]) for name in SCALARS},
    )


def _array(place: list[Any], kinds: tuple[str, ...], data: mmap.mmap) -> NDArray[Any]:
    """Raises ValueError if the array is of none of the `kinds` or does not lie in the file."""
    kind, start, *shape = place
    if kind not in kinds:
        raise ValueError(kind)
    return np.frombuffer(data, kind, math.prod(shape), start).reshape(shape)
