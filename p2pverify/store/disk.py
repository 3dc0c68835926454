"""The size of a database on disk, and the free space next to it."""

import shutil
from contextlib import suppress
from pathlib import Path


def disk_figures(path: Path) -> dict[str, int]:
    """`bytes` of a database with its write-ahead log, and `free_bytes` on its disk. Unreadable figures are left out."""
    size = 0
    for each in (path, path.with_name(path.name + "-wal")):
        with suppress(OSError):
            size += each.stat().st_size
    found = {"bytes": size}
    with suppress(OSError):
        found["free_bytes"] = shutil.disk_usage(path.parent).free
    return found
