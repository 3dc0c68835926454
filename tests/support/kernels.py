"""The code paths of numpy on this machine, and the exact engine's bits on each, in a process of its own."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.support.commands import REPOSITORY


def _settings() -> dict[str, dict[str, str]]:
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    plain = {"OPENBLAS_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": " ".join(simd)}
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return {"two threads, no vector extensions": plain}
    oldest = {"OPENBLAS_CORETYPE": "Prescott"} | plain
    found = {"Prescott, two threads, no vector extensions": oldest}
    kernels = [
        "Nehalem",
        *(["Haswell", "Zen"] if "X86_V3" in simd else []),
        *(["SkylakeX"] if "X86_V4" in simd else []),
    ]
    return {
        **found,
        **{kernel: {"OPENBLAS_CORETYPE": kernel} for kernel in kernels},
        "Prescott, no vector extensions": oldest | {"OPENBLAS_NUM_THREADS": "1"},
    }


#: Environments in which numpy uses other code paths, as far as they run here. The first sets several at once. It is
#: for small models: two threads that wait for each other use whole cores, ten times as much as the work itself.
SETTINGS = _settings()


def bits(name: str, program: str, *arguments: Path) -> dict[str, str]:
    """What a program prints, a module that is run in an environment: digests by name."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", program, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **SETTINGS[name]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
