"""Right answers that come late: a machine that is slower than it claims, and one that is only busy at times.

Neither lies about a token. The slow one gives the times of the machine that it claims to be.
"""

import time

from p2pverify.engine.ask import Ask
from p2pverify.engine.cheats.base import Lie
from p2pverify.node.ports import Engine, Generated

TOKEN_MS = 60
JOB_MS = 4000
DELAY_MS_MAX = 60_000


def _milliseconds(argument: str, usual: int) -> int:
    is_number = argument.isascii() and argument.isdecimal() and len(argument) < 7
    if argument and not (is_number and 0 < int(argument) <= DELAY_MS_MAX):
        raise ValueError(f"{argument!r} is no number of milliseconds up to {DELAY_MS_MAX}")
    return int(argument or usual)


def slow(engine: Engine, argument: str) -> Lie:
    """A machine that needs so many milliseconds more for each token. Raises ValueError."""
    token_ms = _milliseconds(argument, TOKEN_MS)

    def lie(asked: Ask) -> Generated:
        made = asked.put_to(engine)
        time.sleep(len(made.tokens) * token_ms / 1000)
        return made

    return lie


def busy(engine: Engine, argument: str) -> Lie:
    """A machine that has another job of so many milliseconds to finish first. Raises ValueError."""
    job_ms = _milliseconds(argument, JOB_MS)

    def lie(asked: Ask) -> Generated:
        time.sleep(job_ms / 1000)
        return asked.put_to(engine)

    return lie
