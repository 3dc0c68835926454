"""The JavaScript peers: how a script in this folder is run, beside the packages that it needs."""

import shutil
from pathlib import Path

from tests.support import npm

FOLDER = Path(__file__).parent


def command(script: Path, directory: Path) -> list[str]:
    """The command that runs a script, copied into `directory` beside its packages."""
    link = directory / "node_modules"
    if not link.exists():
        link.symlink_to(packages())
    return [*npm.node(), str(shutil.copy(script, directory))]


def packages() -> Path:
    """A folder with what package.json names, installed now if it is not there yet."""
    return npm.packages(FOLDER / "package.json")
