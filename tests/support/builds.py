"""llama.cpp's builds for processors from the npm package: the self-test of each, in a process of its own.

One process can load only one of the package's builds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from p2pverify.engine.llama import variants
from tests.support import npm

AVX2 = "x86-64-avx2/fa1/kv-q8_0"


def folder() -> Path:
    """The folder with the npm package."""
    return npm.packages(Path(__file__).parents[1] / "engine" / "package.json")


def check_class(variant: str, path: str, *, is_known: bool) -> None:
    """A build is in the class whose golden answers it gives, or its error names the missing instructions.

    With `is_known`, the manifest has golden answers of the numeric path `path`.
    """
    done = subprocess.run(
        [sys.executable, "-m", "p2pverify", "model", "selftest", "--json", "--variant", variant],
        env={**os.environ, variants.ENVIRONMENT: str(folder()), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if lacking := variants.missing(variant):
        assert done.returncode == 1
        assert lacking[0] in done.stderr
        return
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["engine"], document["numeric_path"]) == (variants.NPM.id, path)
    assert [one["numeric_path"] for one in document["classes"] if one["is_ours"]] == ([path] if is_known else [])
