"""The text of an explained audit: answers side by side, margins, cause, votes.

All content comes from the node; this module only lays it out. Text in answers comes from other peers and is escaped.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isqrt

from p2pverify.cli.show import plot
from p2pverify.cli.show.plot import escape, nats
from p2pverify.cli.table import cell, table
from p2pverify.core.inference.compare import CAP_MICRONATS, END_MISSING, MICRO
from p2pverify.node.reports.documents.explained import (
    CauseDocument,
    Difference,
    ExplainedAudit,
    JudgedAnswerDocument,
    MeasureDocument,
    OutputDocument,
    QuestionDocument,
    VoterDocument,
    WholeDispute,
)
from p2pverify.node.reports.shown import audit_kind, short_ids

_MARGIN_MAX = isqrt(CAP_MICRONATS * MICRO)  # a greater margin is cut to this in the sum
_CLASS_CHARS = 18
_DIGEST_CHARS = 16
_SHOWS = {"seats": "the question, to the seats of the dispute", "nobody": "digests alone"}
_NAME = 12  # columns in front of a value


def explained(audit: ExplainedAudit, width: int) -> Iterator[str]:
    """The lines that describe an audit for a terminal of `width` columns."""
    question, judge = audit.question, "the referee" if _is_by_referee(audit) else "this node"
    yield from _rows(_head(audit, judge))
    if question is not None:
        yield from _told("prompt", question.prompt, width)
    for which, answer in enumerate(audit.answers, start=1):
        yield ""
        yield from _answer(which, answer, width, judge)
    if audit.dispute is not None:
        yield ""
        yield from _votes(audit.answers, audit.dispute, is_report=audit.report is not None)
    notes = [*audit.notes]
    if not audit.complete:
        notes.append("the node is still working on it; ask again")
    if notes:
        yield ""
        yield "what is not known"
        for note in notes:
            yield from plot.wrap(f"- {escape(note)}", width)


def _is_by_referee(audit: ExplainedAudit) -> bool:
    return audit.judge is not None and audit.judge.role == "referee"


def _head(audit: ExplainedAudit, judge: str) -> Iterator[tuple[str, object]]:
    if audit.report is None:
        yield "audit", audit.id
        yield "challenger", audit.challenger
        yield "asked", f"{audit_kind(across=audit.across)}, epoch {audit.epoch}, slot {audit.slot}"
    else:
        yield "report", audit.id
        yield "reporter", audit.challenger
        yield "asked", f"for a client of the reporter, epoch {audit.epoch}"
        yield "shows", "private: readable by the seats" if audit.report.private else _SHOWS[audit.report.shows]
        if audit.report.own_output is not None:
            equal = "the answer of the receipt" if audit.report.equals_own else "not the answer of the receipt"
            yield "own answer", f"{audit.report.own_output[:_DIGEST_CHARS]}, {equal}"
    yield "status", audit.status
    if audit.judge is not None:
        yield "judged by", f"{judge} ({cell(audit.judge.engine)})"
    if audit.question is not None:
        yield "question", _asked(audit.question)


def _asked(question: QuestionDocument) -> str:
    milli = question.temperature_milli
    heat = "greedy" if milli == 0 else f"temperature {milli / 1000:g}"
    return f"{heat}, at most {question.tokens_max} tokens"


def _rows(rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    return (f"{name:{_NAME}}{cell(value)}" for name, value in rows)


def _told(name: str, value: str, width: int) -> Iterator[str]:
    """A name, and a long text wrapped next to it."""
    for row, line in enumerate(plot.wrap(escape(value), width - _NAME)):
        yield f"{name if row == 0 else '':{_NAME}}{line}".rstrip()


def _answer(which: int, answer: JudgedAnswerDocument, width: int, judge: str) -> Iterator[str]:
    yield f"answer {which} of {cell(answer.peer_id)}"
    if not answer.answered:
        yield from _rows([("class", answer.class_), ("answer", "none came")])
        return
    yield from _rows(_judged(answer))
    if answer.difference is not None:
        yield from _difference(answer.difference, width, judge)
    elif answer.answer is not None:
        yield from _told("text", answer.answer.text or "", width)
    if any(answer.margins):
        yield from _plot(answer, width)


def _judged(answer: JudgedAnswerDocument) -> Iterator[tuple[str, object]]:
    yield "class", answer.class_
    yield "verdict", answer.verdict
    if answer.cause is not None:
        yield "cause", _cause(answer.cause)
    if answer.measure is not None:
        yield from _measured(answer.measure)
    if answer.answer is not None:
        yield "tokens", f"{len(answer.answer.tokens)}, finish {cell(answer.answer.finish)}"


def _cause(cause: CauseDocument) -> str:
    name = cell(cause.cause)
    return f"{name}: {cause.value / 1000:g}" if cause.value is not None and name == "other temperature" else name


def _measured(measure: MeasureDocument) -> Iterator[tuple[str, object]]:
    """The basis of the verdict: the sum of squared margins with its thresholds, and the end of the answer."""
    limits, end = measure.limits, measure.end
    yield "margins", f"{nats(measure.total)} square nats in all, the largest {nats(measure.peak)} nats"
    if limits is not None:
        yield "bounds", f"match up to {nats(limits.match)} square nats, mismatch above {nats(limits.mismatch)}"
    if end:
        yield "end", "not where the answer must end" if end == END_MISSING else f"{nats(end)} nats below the best"


def _difference(difference: Difference, width: int, judge: str) -> Iterator[str]:
    if difference.common:
        yield from _told("both begin", difference.common, width)
    claimed = _token(difference.claimed, difference.claimed_text)
    expected = _token(difference.expected, difference.expected_text)
    told = f"{claimed}; {judge}: {expected}"
    told += "" if difference.margin is None else f"; {nats(difference.margin)} nats apart"
    yield from plot.wrap(f">>> token {difference.position}: {told}", width)
    column = (width - 3) // 2
    left = plot.wrap(escape(difference.claimed_rest), column)
    right = plot.wrap(escape(difference.expected_rest), column)
    yield from plot.side_by_side(["CLAIMED", *left], [judge.upper(), *right], column)


def _token(token: int | None, text: str) -> str:
    return "the end" if token is None else f'"{escape(text)}" ({token})'


def _plot(answer: JudgedAnswerDocument, width: int) -> Iterator[str]:
    limits = None if answer.measure is None else answer.measure.limits
    limit = limits.alone if limits is not None and limits.alone <= _MARGIN_MAX else None
    mark = None if answer.difference is None else answer.difference.position
    plain = not _can_print(plot.BLOCKS + plot.LINE)
    yield "margin of each token, in nats (log scale)"
    yield from plot.plot_margins(answer.margins, width, limit=limit, mark=mark, plain=plain)
    if limit is not None:
        line = plot.ASCII_LINE if plain else plot.LINE
        yield from plot.wrap(f"{line * 3} {nats(limit)} nats: so far off, one token alone is a mismatch", width)


def _can_print(shown: str) -> bool:
    try:
        shown.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


# ---------------------------------------------------------------- votes


def _votes(answers: Sequence[JudgedAnswerDocument], dispute: WholeDispute, *, is_report: bool = False) -> Iterator[str]:
    numbers = {answer.peer_id: str(which) for which, answer in enumerate(answers, start=1)}
    yield f"dispute, opened in epoch {dispute.opened_epoch}: {dispute.status}"
    letters = {output.output: chr(ord("A") + place) for place, output in enumerate(dispute.outputs[:26])}
    if dispute.outputs:
        rows = [
            (
                letters.get(output.output, "+"),
                output.votes,
                output.decided,
                output.own,
                _says(output, numbers, is_report=is_report),
            )
            for output in dispute.outputs
        ]
        yield table(("OUTPUT", "VOTES", "DECIDED", "THIS NODE'S", "SAYS"), rows)
    yield ""
    yield from _voters(dispute.voters, letters, numbers, is_report=is_report)
    if dispute.losers:
        yield ""
        yield from (f"{'lost' if place == 0 else '':6}{escape(loser)}" for place, loser in enumerate(dispute.losers))


def _voters(
    voters: Sequence[VoterDocument], letters: Mapping[str, str], numbers: Mapping[str, str], *, is_report: bool
) -> Iterator[str]:
    """The voters that took part, and the number of the others."""
    short = short_ids(voter.peer_id for voter in voters)
    rows = [
        (
            short[voter.peer_id],
            (voter.class_ or "")[:_CLASS_CHARS],
            _role(voter, numbers, is_report=is_report),
            "sealed" if voter.output is None else letters.get(voter.output, "sealed"),
            voter.lost,
        )
        for voter in voters
        if voter.sealed or voter.output is not None
    ]
    yield table(("VOTER", "CLASS", "ROLE", "OUTPUT", "LOST"), rows)
    if len(voters) > len(rows):
        yield f"{len(voters) - len(rows)} more could have voted"


def _says(output: OutputDocument, numbers: Mapping[str, str], *, is_report: bool) -> str:
    if output.underivable:
        return "there is no such question" if is_report else "the question does not follow from the slot"
    return ", ".join(f"{numbers.get(peer, '?')}: {found}" for peer, found in output.verdicts.items())


def _role(voter: VoterDocument, numbers: Mapping[str, str], *, is_report: bool) -> str:
    if voter.challenger:
        return "challenger"
    if voter.asked:
        return f"asked ({numbers.get(voter.peer_id, '?')})"
    return "seat" if is_report else "committee" if voter.seat else "voter"
