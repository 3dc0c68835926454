"""Fetching the evidence of a dispute across classes: from the challenger, or else from the responder.

An answer is accepted if the audit's receipt was given for it. Nobody is blamed for missing evidence: a voter that
cannot see an answer does not vote on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2pverify.core.contract.output import Output
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Effects, ResponseArrived
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.disputes.evidence import EvidenceBox, decode_evidence, encode_evidence_request
from p2pverify.core.roles.responder import Responder

#: The time that one peer has to answer, in thousandths of an epoch.
DEADLINE_PERMILLE = 500

Outputs = tuple[Output | None, ...]
"""One item for each asked peer, None for a peer without a receipt."""
Fetched = Callable[[Outputs | None, int], Effects[None]]
"""Takes the answers (None if one is missing), and the time in ms."""


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for the answers of an audit: those that are found, and the places of those that are missing."""

    audit: Audit
    done: Fetched
    found: list[Output | None]
    missing: list[int]

    def take(self, output: Output) -> None:
        """Take the first missing answer."""
        self.found[self.missing.pop(0)] = output


class Fetcher:
    """Fetches disputed answers for one voter. It has its own answers, and those that it got as the challenger."""

    def __init__(self, context: Context, responder: Responder, evidence: EvidenceBox) -> None:
        self._context = context
        self._responder = responder
        self._evidence = evidence

    def fetch(self, audit: Audit, now_ms: int, done: Fetched) -> Effects[None]:
        """Find all answers of an audit; `done` is called once."""
        missing = [which for which, asked in enumerate(audit.asked) if asked.receipt is not None]
        return self._proceed(_Search(audit, done, [None] * len(audit.asked), missing), now_ms)

    def _proceed(self, search: _Search, now_ms: int) -> Effects[None]:
        """Ask for the first missing answer that this peer does not have."""
        audit = search.audit
        while search.missing:
            own = self._held(audit, search.missing[0])
            if own is None:
                holders = (audit.challenger, audit.asked[search.missing[0]].responder)
                sources = tuple(peer for peer in holders if peer != self._context.key)
                yield from self._ask(search, sources, now_ms)
                return
            search.take(own)
        yield from search.done(tuple(search.found), now_ms)

    def _held(self, audit: Audit, which: int) -> Output | None:
        """An answer that this peer gave, or got as the challenger."""
        if audit.challenger == self._context.key:
            return self._evidence.of(audit.epoch, audit.slot).get(audit.asked[which].responder)
        return self._responder.find_evidence(audit, which)

    def _ask(self, search: _Search, sources: tuple[bytes, ...], now_ms: int) -> Effects[None]:
        """Ask these peers, one after the other, for the first missing answer."""
        if not sources:
            yield from search.done(None, now_ms)
            return
        data = encode_evidence_request(search.audit.key, search.missing[0])
        deadline_ms = now_ms + self._context.params.epoch_ms * DEADLINE_PERMILLE // 1000
        answered = partial(self._answered, search, sources[1:])
        yield from self._context.fetch(sources[0], data, deadline_ms, answered)

    def _answered(
        self, search: _Search, others: tuple[bytes, ...], event: ResponseArrived | AskFailed, now_ms: int
    ) -> Effects[None]:
        output = _read(event)
        if output is not None and fits(output, search.audit.asked[search.missing[0]], search.audit):
            search.take(output)
            yield from self._proceed(search, now_ms)
        else:
            yield from self._ask(search, others, now_ms)


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
