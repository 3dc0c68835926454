"""Runs the JavaScript peers: a script of this folder beside its packages."""

import shutil
from pathlib import Path

from tests.support import npm

FOLDER = Path(__file__).parent


def command(script: Path, directory: Path) -> list[str]:
    """The command that runs a script. The script is copied into `directory` beside its packages."""
    directory.mkdir(exist_ok=True)
    link = directory / "node_modules"
    if not link.exists():
        link.symlink_to(packages())
    return [*npm.node(), str(shutil.copy(script, directory))]


def packages() -> Path:
    """A folder with the packages of package.json, installed now if it does not exist yet."""
    return npm.packages(FOLDER / "package.json")
