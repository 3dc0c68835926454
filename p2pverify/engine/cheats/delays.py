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


def late(engine: Engine, kind: str, argument: str) -> Lie:
    """A slow machine needs so many milliseconds more for each token, a busy one has another job of so many to finish.

    Raises ValueError.
    """
    if kind == "busy":
        return _busy(engine, _milliseconds(argument) or JOB_MS)
    return _slow(engine, _milliseconds(argument) or TOKEN_MS)


def _milliseconds(argument: str) -> int:
    """0 if there is no argument."""
    is_number = argument.isascii() and argument.isdecimal() and len(argument) < 7
    if argument and not (is_number and 0 < int(argument) <= DELAY_MS_MAX):
        raise ValueError(f"{argument!r} is no number of milliseconds up to {DELAY_MS_MAX}")
    return int(argument or 0)


def _slow(engine: Engine, token_ms: int) -> Lie:
    def lie(asked: Ask) -> Generated:
        made = asked.put_to(engine)
        time.sleep(len(made.tokens) * token_ms / 1000)
        return made

    return lie


def _busy(engine: Engine, job_ms: int) -> Lie:
    def lie(asked: Ask) -> Generated:
        time.sleep(job_ms / 1000)
        return asked.put_to(engine)

    return lie
