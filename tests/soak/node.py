"""A node with a wall clock of its own: `python -m tests.soak.node CLOCK ARGUMENTS...` runs `p2pverify ARGUMENTS`.

CLOCK is a file of 8 bytes: by how many milliseconds the clock is ahead, a signed integer, least byte first. It is read
whenever the time is, so the clock of a running node can leap. The monotonic clock stays as it is, as on a real machine.
"""

import mmap
import os
import struct
import sys
import time
from pathlib import Path

MILLION = 1_000_000


def bend_clock(path: Path) -> None:
    """Let `time.time_ns` and `time.time` of this process say what the file says."""
    handle = os.open(path, os.O_RDONLY)
    ahead = mmap.mmap(handle, 8, access=mmap.ACCESS_READ)
    os.close(handle)
    real_ns = time.time_ns

    def time_ns() -> int:
        return real_ns() + struct.unpack("<q", ahead[:8])[0] * MILLION

    def seconds() -> float:
        return time_ns() / 1e9

    time.time_ns, time.time = time_ns, seconds


def set_clock(path: Path, ahead_ms: int) -> None:
    """Have the clock that follows this file leap."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(struct.pack("<q", ahead_ms))


def main() -> None:
    clock, *arguments = sys.argv[1:]
    bend_clock(Path(clock))
    from p2pverify.cli.main import main as command  # after the clock, which modules may import by name

    sys.argv = ["p2pverify", *arguments]
    command.main(args=arguments, prog_name="p2pverify")


if __name__ == "__main__":
    main()
