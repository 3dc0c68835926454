"""The wall clock in Unix milliseconds, the unit of time in the whole node."""

import time


def unix_ms() -> int:
    """The current time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
