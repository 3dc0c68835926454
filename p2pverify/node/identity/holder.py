"""The process that holds a home, as it describes itself in `node.lock`: one identity runs in one process."""

import json
import os
import sys
import time

_ARGV_CHARS_MAX = 300


def describe_process() -> bytes:
    """What this process writes about itself."""
    argv = " ".join(sys.argv)[:_ARGV_CHARS_MAX]
    return json.dumps({"pid": os.getpid(), "started": int(time.time()), "argv": argv}).encode()


def name_holder(data: bytes) -> str:
    """The process that has written this, in words."""
    try:
        holder = json.loads(data)
        pid, since, argv = int(holder["pid"]), int(holder["started"]), str(holder["argv"])
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return "another process"
    command = "".join(c if c.isprintable() else "?" for c in argv)
    return f"process {pid} since {when} ({command})"
