"""Fetching the evidence of a dispute across classes: from the challenger, or else from the responder.

An answer is accepted if the audit's receipt was given for it. Nobody is blamed for missing evidence: a voter that
cannot see an answer does not vote on it.
"""

from collections.abc import Callable

from p2pverify.core.contract.output import Output
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, ResponseArrived
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.evidence import decode_evidence, encode_evidence_request
from p2pverify.core.roles.responder import Responder

#: The time that one peer has to answer, in thousandths of an epoch.
DEADLINE_PERMILLE = 500

Outputs = tuple[Output | None, ...]
"""One item for each asked peer, None for a peer without a receipt."""
Fetched = Callable[[Outputs | None, int], None]
"""Takes the answers (None if one is missing), and the time in ms."""


class Fetcher:
    """Fetches disputed answers for one voter. Its own answers it takes from its responder."""

    def __init__(self, context: Context, responder: Responder) -> None:
        self._context = context
        self._responder = responder

    def fetch(self, audit: Audit, now_ms: int, done: Fetched) -> None:
        """Find all answers of an audit; `done` is called once."""
        found: list[Output | None] = [None] * len(audit.asked)
        missing = [which for which, asked in enumerate(audit.asked) if asked.receipt is not None]

        def next_one(later_ms: int) -> None:
            if not missing:
                done(tuple(found), later_ms)
                return
            which = missing.pop(0)

            def came(output: Output | None, at_ms: int) -> None:
                if output is None:
                    done(None, at_ms)
                else:
                    found[which] = output
                    next_one(at_ms)

            self._find(audit, which, later_ms, came)

        next_one(now_ms)

    def _find(self, audit: Audit, which: int, now_ms: int, came: Callable[[Output | None, int], None]) -> None:
        asked = audit.asked[which]
        own = self._responder.find_evidence(audit, which)
        if own is not None:
            came(own, now_ms)
            return
        sources = [peer for peer in (audit.challenger, asked.responder) if peer != self._context.key]
        data = encode_evidence_request(audit.key, which)

        def ask_next(later_ms: int) -> None:
            if not sources:
                came(None, later_ms)
                return
            deadline_ms = later_ms + self._context.params.epoch_ms * DEADLINE_PERMILLE // 1000
            self._context.fetch(sources.pop(0), data, deadline_ms, answered)

        def answered(event: ResponseArrived | AskFailed, later_ms: int) -> None:
            output = _read(event)
            if output is not None and fits(output, asked, audit):
                came(output, later_ms)
            else:
                ask_next(later_ms)

        ask_next(now_ms)


def _read(event: ResponseArrived | AskFailed) -> Output | None:
    if isinstance(event, AskFailed):
        return None
    try:
        return decode_evidence(event.data)
    except DecodeError:
        return None


def fits(output: Output, asked: AskedPeer, audit: Audit) -> bool:
    """Whether an output is the answer for which an audit has a receipt."""
    return asked.receipt is not None and asked.receipt.covers(output, audit.question)
