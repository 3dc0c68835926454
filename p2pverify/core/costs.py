"""What an engine's jobs take on this machine, learned from those that it has done.

A job's cost is taken to be a number of microseconds for each token that is written, read, answered or scored, apart for
the own engine and the referee. The numbers are running means, so they follow a machine that others use as well.
"""

from p2pverify.core.events import REFEREE, Compute, MeasureJob

#: A new figure counts for so much of the mean, and for at most so many times the mean: a laptop may have slept.
_SHARE = 4
_TIMES_MAX = 4

_ANSWER = "answer"
#: An engine's role, and what it does with a token.
_Step = tuple[str, str]


class Costs:
    """Estimates of what jobs take. What was never seen costs nothing: it is tried."""

    def __init__(self) -> None:
        self._token_us: dict[_Step, int] = {}

    def estimate(self, job: Compute | MeasureJob) -> int:
        """How many ms a job will take."""
        return sum(self._token_us.get(step, 0) * tokens for step, tokens in _steps(job)) // 1000

    def learn(self, job: Compute | MeasureJob, took_ms: int, first_token_ms: int = 0, total_ms: int = 0) -> None:
        """Take what a job took in all, and of that its answer, until the first token and in all."""
        answer_ms = max(0, total_ms - first_token_ms)
        for step, tokens in _steps(job):
            if tokens:
                step_ms = answer_ms if step[1] == _ANSWER else max(0, took_ms - answer_ms)
                self._note(step, step_ms * 1000 // tokens)

    def doubt(self, job: Compute | MeasureJob) -> None:
        """Halve the estimate of a job that by it could never have been done in time.

        What is not begun teaches nothing, so an estimate that is too high could not mend itself otherwise.
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
    """What is done in a job, and with how many tokens. A prompt that was just written need not be read again."""
    if isinstance(job, MeasureJob):
        return [((REFEREE, "score"), len(job.prompt) + len(job.tokens))]
    written = job.prompt_seed is not None
    steps = [((job.role, "write"), job.prompt_tokens) if written else ((job.role, "read"), len(job.prompt))]
    if job.tokens_max > 0:
        steps.append(((job.role, _ANSWER), job.tokens_max))
    return steps
