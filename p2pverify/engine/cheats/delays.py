"""Right answers that come late: a machine that is slower than it claims, and a machine that is busy at times.

Neither lies about a token. The slow machine reports the times of the machine that it claims to be.
"""

import time

from p2pverify.core.contract.output import Ask
from p2pverify.engine.cheats.base import Lie
from p2pverify.node.ports import Engine, Generated, Hear, unheard

TOKEN_MS = 60
JOB_MS = 4000
DELAY_MS_MAX = 60_000


def _milliseconds(argument: str, usual: int) -> int:
    is_number = argument.isascii() and argument.isdecimal() and len(argument) < 7
    if argument and not (is_number and 0 < int(argument) <= DELAY_MS_MAX):
        raise ValueError(f"{argument!r} is no number of milliseconds up to {DELAY_MS_MAX}")
    return int(argument or usual)


def slow(engine: Engine, argument: str) -> Lie:
    """A machine that needs more time for each token: `argument`, in milliseconds. Raises ValueError."""
    token_ms = _milliseconds(argument, TOKEN_MS)

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        made = engine.answer(asked)
        for token in made.output.tokens:
            time.sleep(token_ms / 1000)
            hear((token,))
        return made

    return lie


def busy(engine: Engine, argument: str) -> Lie:
    """A machine that finishes another job first, which takes `argument` milliseconds. Raises ValueError."""
    job_ms = _milliseconds(argument, JOB_MS)

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        time.sleep(job_ms / 1000)
        return engine.answer(asked, hear)

    return lie
