"""A simulated engine in virtual time: it runs one job at a time, in a node's order, and its answers are hashes.

Equal questions have equal answers in one class. Between classes, a sixteenth of the tokens are nearly tied, and half of
these differ. The referee gives them a small margin, and gives wrong tokens a large margin. The actor of a hostile peer
changes its answers.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256, shake_256

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import Output
from p2pverify.core.contract.pool import Line, Pool
from p2pverify.core.encoding.canon import encode
from p2pverify.core.events import REFEREE, Compute, Computed, MeasureDone, MeasureJob
from p2pverify.core.inference.jobs import Queue, QueuedJob
from p2pverify.testnet.world.peer.versions import salt_of

NEAR_TIE_BYTES = 16  # of 256
NEAR_TIE_MICRONATS = 20_000
FAR_MICRONATS = 5_000_000
#: The pooled test of simulated worlds. Its rates are about those of the bundled model.
POOL = Pool(850_000, (Line(100_000, 5_000, 10_000), Line(500_000, 20_000, 2_400)))
#: Thresholds between these two margins, for the classes of simulated worlds.
ACROSS = Across(100_000, 5_000, 500_000, 20_000, 50_000, 10_000, POOL)
REFEREE_ID = "world-exact/1"

Job = Compute | MeasureJob
Outcome = Computed | MeasureDone
#: Turns the honest answer to a job into the answer of the engine's owner.
Say = Callable[[Compute, tuple[int, ...]], tuple[int, ...]]


class SimulatedEngine:
    """One peer's engine with its queue. Writing a prompt takes `derive_ms`, an answer takes `answer_ms`. It computes on
    a numeric path; the referee has path 0.

    The duration of a job is known in advance. Apart from that, the queue is the same as in a node.
    """

    def __init__(self, derive_ms: int, answer_ms: int, path: int) -> None:
        self.path = path
        self._derive_ms = derive_ms
        self._answer_ms = answer_ms
        self._queue: Queue[Job] = Queue(self.lasts_ms)
        self._running: QueuedJob[Job] | None = None

    def submit(self, job: Job, now_ms: int) -> bool:
        """Queue a job; False if the queue is full."""
        return self._queue.push(job, job.purpose, job.deadline_ms, now_ms)

    def start(self, now_ms: int) -> tuple[QueuedJob[Job] | None, list[QueuedJob[Job]]]:
        """The next job and the jobs that were dropped before it. Nothing if a job is running."""
        if self._running is not None:
            return None, []
        self._running, dropped = self._queue.pop(now_ms)
        return self._running, dropped

    def finish(self) -> None:
        """End the running job."""
        assert self._running is not None
        self._queue.charge(self._running, self.lasts_ms(self._running.job))
        self._running = None

    def lasts_ms(self, job: Job) -> int:
        """The duration of a job in virtual milliseconds."""
        if isinstance(job, MeasureJob):
            return self._derive_ms
        lasts_ms = self._derive_ms if job.prompt_seed is not None else 0
        return lasts_ms + (self._answer_ms if job.ask.tokens_max else 0)

    def outcome(self, job: Job, total_ms: int, say: Say) -> Outcome:
        """The result of a job that took `total_ms` with its time in the queue."""
        if isinstance(job, MeasureJob):
            return score(job, honest_answer(job))
        job = with_prompt(job, self.path)
        tokens = honest_answer(job, self.path)
        if job.ask.tokens_max:
            tokens = say(job, tokens)
        output = Output(tokens, "length", logits_of(tokens, self.path))
        return Computed(job.job, job.ask.prompt, output, total_ms, 1, 1)


def with_prompt(job: Compute, path: int = 0) -> Compute:
    """The job with the prompt that the model writes from its seed, if it has a seed. The referee has path 0."""
    if job.prompt_seed is None:
        return job
    drawn: list[object] = ["prompt", job.prompt_seed]
    if path and job.role != REFEREE:
        drawn.append(path)
    drawn += salt_of(job.model)
    return replace(job, ask=job.asked(_tokens(drawn, job.prompt_tokens)))


def honest_answer(job: Compute | MeasureJob, path: int = 0) -> tuple[int, ...]:
    """The honest answer on a numeric path to a job with a known prompt. A MeasureJob sets the number of tokens."""
    ask = job.ask
    key = ask.sampler_key if ask.temperature_milli else b""
    count = len(job.tokens) if isinstance(job, MeasureJob) else ask.tokens_max
    drawn = ["answer", bytes(ask.prompt), ask.temperature_milli, key, *salt_of(job.model)]
    return as_path(_tokens(drawn, count), path)


def as_path(exact: tuple[int, ...], path: int) -> tuple[int, ...]:
    """The answer on a path if the referee's answer is `exact`. Path 0 gives the referee's answer."""
    if not path:
        return exact
    ties, flips = _stream("ties", exact), _stream(f"path {path}", exact)
    return tuple(
        token ^ 1 if tie < NEAR_TIE_BYTES and flip % 2 else token
        for token, tie, flip in zip(exact, ties, flips, strict=True)
    )


def logits_of(tokens: tuple[int, ...], path: int) -> bytes:
    """A digest (32 B) in place of the digest of an answer's logits."""
    return sha256(encode(["logits", path, list(tokens)])).digest()


def score(job: MeasureJob, exact: tuple[int, ...]) -> MeasureDone:
    """The referee's margins of claimed tokens if its own answer is `exact`. No simulated answer ends by itself."""
    if any(token > 255 for token in job.tokens):
        return MeasureDone(job.job, (), ())
    deficits = tuple(
        0
        if claimed == token
        else NEAR_TIE_MICRONATS
        if tie < NEAR_TIE_BYTES and claimed == token ^ 1
        else FAR_MICRONATS
        for claimed, token, tie in zip(job.tokens, exact, _stream("ties", exact), strict=True)
    )
    return MeasureDone(job.job, deficits, (False,) * len(deficits))


def _stream(what: str, tokens: tuple[int, ...]) -> bytes:
    return shake_256(encode([what, bytes(tokens)])).digest(len(tokens))


def _tokens(value: list[object], count: int) -> tuple[int, ...]:
    return tuple(shake_256(encode(value)).digest(count)) if count else ()
