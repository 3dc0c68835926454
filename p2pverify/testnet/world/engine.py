"""A model of an inference engine in virtual time: one job at a time, answers that are hashes.

Equal questions have equal answers, as in one determinism class. What a hostile peer makes of them is its actor's.
"""

import heapq
from dataclasses import replace
from hashlib import shake_256

from p2pverify.core.canon import encode
from p2pverify.core.events import Compute

QUEUE_MAX = 256


class Engine:
    """The queue of one peer's engine. `derive_ms` is for writing a prompt, `answer_ms` for an answer."""

    def __init__(self, derive_ms: int, answer_ms: int) -> None:
        self._derive_ms = derive_ms
        self._answer_ms = answer_ms
        self._queue: list[tuple[int, int, int, Compute]] = []
        self._posted = 0
        self.is_busy = False

    def submit(self, job: Compute, now_ms: int) -> bool:
        """Queue a job, lower priority first; False if there is no room."""
        if len(self._queue) >= QUEUE_MAX:
            return False
        self._posted += 1
        heapq.heappush(self._queue, (job.priority, self._posted, now_ms, job))
        return True

    def start(self) -> tuple[Compute, int, int] | None:
        """Take the next job, unless one is running: the job, how long it takes, and when it was queued."""
        if self.is_busy or not self._queue:
            return None
        _, _, since_ms, job = heapq.heappop(self._queue)
        self.is_busy = True
        lasts_ms = self._derive_ms if job.prompt_seed is not None else 0
        return job, lasts_ms + (self._answer_ms if job.tokens_max else 0), since_ms


def with_prompt(job: Compute) -> Compute:
    """The job with the prompt that the model writes from its seed, if it has one."""
    if job.prompt_seed is None:
        return job
    return replace(job, prompt=_tokens(["prompt", job.prompt_seed], job.prompt_tokens))


def honest_answer(job: Compute) -> tuple[int, ...]:
    """What an honest engine says to a job whose prompt is known."""
    key = job.sampler_key if job.temperature_milli else b""
    return _tokens(["answer", bytes(job.prompt), job.temperature_milli, key], job.tokens_max)


def _tokens(value: list[object], count: int) -> tuple[int, ...]:
    return tuple(shake_256(encode(value)).digest(count)) if count else ()
