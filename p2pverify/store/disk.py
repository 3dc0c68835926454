"""How much of the disk a database takes up, and how much is left."""

import shutil
from contextlib import suppress
from pathlib import Path


def disk_figures(path: Path) -> dict[str, int]:
    """`bytes` of a database with its write-ahead log, and `free_bytes` beside it; what cannot be read is left out."""
    size = 0
    for each in (path, path.with_name(path.name + "-wal")):
        with suppress(OSError):
            size += each.stat().st_size
    found = {"bytes": size}
    with suppress(OSError):
        found["free_bytes"] = shutil.disk_usage(path.parent).free
    return found
