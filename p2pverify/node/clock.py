"""The wall clock, in the unit of the whole node."""

import time


def unix_ms() -> int:
    """The time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
