"""The work of this peer in training rounds: orders that run, their outcomes, and orders that are tried again."""

from collections.abc import Callable

from p2pverify.core.events import Effects, TrainingDone, TrainingJob
from p2pverify.core.training.orders import TrainingFailed, TrainingOrder, TrainingOutcome

#: After a failure an order is given again after this part of an epoch (1/1000).
RETRY_PERMILLE = 200


#: Rounds of which own records are remembered, of each kind.
PLACES_KEPT = 256


class TrainingWork:
    """At most one job for each order. An outcome stays until the round is over."""

    def __init__(self, epoch_ms: int) -> None:
        self._retry_ms = epoch_ms * RETRY_PERMILLE // 1000
        self._jobs: dict[int, TrainingOrder] = {}
        self._done: dict[TrainingOrder, TrainingOutcome] = {}
        self._again_ms: dict[TrainingOrder, int] = {}
        self._last = 0

    def start(self, order: TrainingOrder, now_ms: int) -> Effects[TrainingOutcome | None]:
        """The outcome of an order; None while it runs, or until its next try. A failure is returned once."""
        found = self._done.get(order)
        if isinstance(found, TrainingFailed):
            del self._done[order]
            self._again_ms[order] = now_ms + self._retry_ms
            return found
        if found is None and order not in self._jobs.values() and now_ms >= self._again_ms.get(order, 0):
            self._again_ms.pop(order, None)
            self._last += 1
            self._jobs[self._last] = order
            yield TrainingJob(self._last, order)
        return found

    def take(self, event: TrainingDone) -> None:
        """Note the outcome of a job. One that nobody waits for any more is dropped."""
        order = self._jobs.pop(event.job, None)
        if order is not None:
            self._done[order] = event.outcome

    def next_wake_ms(self, now_ms: int) -> int | None:
        """When to try a failed order again, or None."""
        return max(now_ms + 1, min(self._again_ms.values())) if self._again_ms else None

    def forget(self, is_wanted: Callable[[TrainingOrder], bool]) -> None:
        """Forget the orders of rounds that are over."""
        self._jobs = {job: order for job, order in self._jobs.items() if is_wanted(order)}
        self._done = {order: outcome for order, outcome in self._done.items() if is_wanted(order)}
        self._again_ms = {order: at for order, at in self._again_ms.items() if is_wanted(order)}
