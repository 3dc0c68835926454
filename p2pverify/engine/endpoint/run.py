"""Runs an audit: one question after the other, until the test accuses the server or the plan is done."""

import time
from collections.abc import Callable

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.inference.compare import Verdict
from p2pverify.core.inference.endpoint import (
    AuditPlan,
    Conclusion,
    EndpointAnswer,
    EndpointEvidence,
    Reading,
    conclude,
    thresholds,
)
from p2pverify.engine.endpoint.client import EndpointClient
from p2pverify.engine.endpoint.judge import EndpointJudge, unjudged
from p2pverify.engine.openai.http import ServerError

#: So many failures in a row end an audit.
FAILURES_MAX = 5
#: An answer that is asked for again is compared so far.
BEGIN_TOKENS = 8


class EndpointAudit:
    """An audit under way. `answers` grows by one with each question, so it can be kept at any time."""

    def __init__(
        self, client: EndpointClient, judge: EndpointJudge, plan: AuditPlan, manifest: Manifest, referee: str
    ) -> None:
        """Raises ValueError if the manifest has no thresholds for the referee."""
        bounds = thresholds(manifest, referee)
        if bounds is None:
            raise ValueError(f"the manifest has no thresholds of {referee} for servers")
        self.bounds = bounds
        self.answers: list[EndpointAnswer] = []
        #: Why the audit ended before its plan was done; "" if it did not.
        self.stopped = ""
        self._client, self._judge, self._plan = client, judge, plan
        self._manifest, self._referee = manifest, referee
        self._began_ms = time.time_ns() // 1_000_000

    @property
    def conclusion(self) -> Conclusion:
        return conclude([answer.measure for answer in self.answers], self.bounds, self._plan.requests)

    @property
    def evidence(self) -> EndpointEvidence:
        """What is known so far, as a file."""
        return EndpointEvidence(
            self._manifest.encode(),
            self._referee,
            self._client.url,
            self._client.model,
            self._began_ms,
            self._plan,
            tuple(self.answers),
            self.conclusion,
        )

    def run(self, timeout_s: float, on_answer: Callable[[Conclusion], None]) -> None:
        """Ask until the end, for at most `timeout_s` seconds. Raises ServerError if the first question fails."""
        deadline = time.monotonic() + timeout_s
        failures = 0
        for number in range(self._plan.requests):
            if time.monotonic() > deadline:
                self.stopped = "the time is over"
                return
            answer = self._ask(number, deadline)
            self.answers.append(answer)
            failures = failures + 1 if answer.reading is Reading.NONE and not answer.reply else 0
            on_answer(self.conclusion)
            if self.conclusion.verdict is Verdict.MISMATCH:
                return
            if failures == FAILURES_MAX:
                self.stopped = f"{FAILURES_MAX} questions in a row got no answer"
                return

    def ask_again(self, answer: EndpointAnswer) -> bool | None:
        """Whether the server begins its answer to a question as before; None if it gives none.

        Later tokens of an honest server may differ, because a cached prompt is computed in another order.
        """
        try:
            again = self._judge.judge(answer.turn, answer.prompt, self._client.ask(answer.turn, answer.prompt))
        except ServerError:
            return None
        return again.tokens[:BEGIN_TOKENS] == answer.tokens[:BEGIN_TOKENS] if again.tokens else None

    def _ask(self, number: int, until: float) -> EndpointAnswer:
        turn, prompt = self._judge.question(number)
        try:
            reply = self._client.ask(turn, prompt, until=until)
        except ServerError as error:
            if not self.answers:
                raise
            return unjudged(EndpointAnswer(turn, prompt, Reading.NONE, ""), str(error))
        return self._judge.judge(turn, prompt, reply)
