"""What the faults need of Linux: small file systems, limits of running processes, damage to files, and measurements.

Small file systems need no root: the soak starts again inside namespaces of its own, where it may mount. Where the
kernel refuses them, a full disk is played by a limit on the size of files.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_MARK = "P2PVERIFY_SOAK_MOUNTS"
_HOME_BYTES = 1 << 30
_PAGE_BYTES = 4096
DAMAGED_PAGES = 4
DAMAGED_BYTES = 64


def enter_namespace(arguments: list[str]) -> None:
    """Start this program again where it may mount file systems, if it may. Returns if that is done or impossible."""
    if _MARK in os.environ or shutil.which("unshare") is None:
        return
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[_MARK] = "1"
        os.execvp("unshare", [*command, sys.executable, "-m", "tests.soak", *arguments])


def mounts() -> bool:
    """Whether homes get file systems of their own."""
    return _MARK in os.environ


def mount_small(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_HOME_BYTES}", "soak", str(folder)], check=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


@contextmanager
def full_disk(folder: Path, pid: int) -> Iterator[None]:
    """No room for another page in a folder that `mount_small` has made; otherwise no file grows beyond its size."""
    if mounts():
        used = shutil.disk_usage(folder).used
        _resize(folder, used + _PAGE_BYTES)
        try:
            yield
        finally:
            _resize(folder, _HOME_BYTES)
        return
    largest = max((file.stat().st_size for file in folder.iterdir() if file.is_file()), default=0)
    with limited(pid, resource.RLIMIT_FSIZE, largest):
        yield


def _resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@contextmanager
def limited(pid: int, which: int, soft: int) -> Iterator[None]:
    """A lower soft limit for a running process. If the process ends, nothing is left to restore."""
    try:
        before, hard = resource.prlimit(pid, which)
        resource.prlimit(pid, which, (soft, hard))
    except ProcessLookupError:
        yield
        return
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, which, (before, hard))


def damage(file: Path, draw: int) -> int:
    """Overwrite bytes in some pages of a file. Returns how many pages."""
    dice = random.Random(draw)
    data = bytearray(file.read_bytes())
    pages = len(data) // _PAGE_BYTES
    chosen = dice.sample(range(1, pages), min(DAMAGED_PAGES, pages - 1)) if pages > 1 else []
    for page in chosen:
        begin = page * _PAGE_BYTES + dice.randrange(_PAGE_BYTES - DAMAGED_BYTES)
        data[begin : begin + DAMAGED_BYTES] = dice.randbytes(DAMAGED_BYTES)
    file.write_bytes(data)
    return len(chosen)


@dataclass(frozen=True, slots=True)
class Measured:
    """A process at a moment: its own memory, and its open files."""

    resident_bytes: int
    files: int


def measure(pid: int) -> Measured | None:
    """None if the process has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Measured(pages * os.sysconf("SC_PAGE_SIZE"), open_files(pid))
    except (OSError, IndexError, ValueError):
        return None


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
