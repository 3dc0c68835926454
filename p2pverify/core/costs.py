"""Estimates of the time that an engine's jobs take on this machine, learned from earlier jobs.

The cost of a job is a number of microseconds for each token that is written, read, answered or scored. The own engine
and the referee have separate numbers. They are running means, so that they follow the changing load of a machine.
"""

from p2pverify.core.events import REFEREE, Compute, MeasureJob

#: A new value counts 1 / _SHARE of the mean. It counts as at most _TIMES_MAX times the mean, because a laptop may have
#: slept.
_SHARE = 4
_TIMES_MAX = 4

_ANSWER = "answer"
#: An engine's role, and its action on a token.
_Step = tuple[str, str]


class Costs:
    """Estimates of job times. An action that was never seen costs nothing, so that it is tried."""

    def __init__(self) -> None:
        self._token_us: dict[_Step, int] = {}

    def estimate(self, job: Compute | MeasureJob) -> int:
        """The estimated time of a job in ms."""
        return sum(self._token_us.get(step, 0) * tokens for step, tokens in _steps(job)) // 1000

    def learn(self, job: Compute | MeasureJob, took_ms: int, first_token_ms: int = 0, total_ms: int = 0) -> None:
        """Learn from a job: its whole time, and its answer's time until the first token and in total, all in ms."""
        answer_ms = max(0, total_ms - first_token_ms)
        for step, tokens in _steps(job):
            if tokens:
                step_ms = answer_ms if step[1] == _ANSWER else max(0, took_ms - answer_ms)
                self._note(step, step_ms * 1000 // tokens)

    def doubt(self, job: Compute | MeasureJob) -> None:
        """Halve the estimate of a job that could never be done in time by that estimate.

        A job that is not begun teaches nothing, so an estimate that is too high would otherwise stay too high.
        """
        for step, _ in _steps(job):
            self._token_us[step] = self._token_us.get(step, 0) // 2

    def _note(self, step: _Step, token_us: int) -> None:
        mean = self._token_us.get(step)
        if mean is None:
            self._token_us[step] = token_us
        else:
            self._token_us[step] = mean + (min(token_us, _TIMES_MAX * mean + 1000) - mean) // _SHARE


def _steps(job: Compute | MeasureJob) -> list[tuple[_Step, int]]:
    """The actions of a job, with their numbers of tokens. A prompt that was just written need not be read again."""
    if isinstance(job, MeasureJob):
        return [((REFEREE, "score"), len(job.ask.prompt) + len(job.tokens))]
    written = job.prompt_seed is not None
    steps = [((job.role, "write"), job.prompt_tokens) if written else ((job.role, "read"), len(job.ask.prompt))]
    if job.ask.tokens_max > 0:
        steps.append(((job.role, _ANSWER), job.ask.tokens_max))
    return steps
