"""The text of an explained audit: answers side by side, margins, cause, votes.

All content comes from the node; this module only lays it out. Text in answers comes from other peers and is escaped.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from math import isqrt

from p2pverify.cli.show import plot
from p2pverify.cli.show.plot import escape, nats
from p2pverify.cli.table import cell, table
from p2pverify.cli.values import documents, items, kind, mapping, number, text
from p2pverify.core.inference.compare import CAP_MICRONATS, END_MISSING, MICRO
from p2pverify.node.reports.shown import short_ids

_MARGIN_MAX = isqrt(CAP_MICRONATS * MICRO)  # a greater margin is cut to this in the sum
_CLASS_CHARS = 18
_NAME = 12  # columns in front of a value


def explained(audit: Mapping[str, object], width: int) -> Iterator[str]:
    """The lines that describe an audit, as the node's API gives it, for a terminal of `width` columns."""
    question, judge = mapping(audit.get("question")), mapping(audit.get("judge"))
    referee = judge.get("role") == "referee"
    milli = number(question.get("temperature_milli"))
    rows: list[tuple[str, object]] = [
        ("audit", audit.get("id")),
        ("challenger", audit.get("challenger")),
        ("asked", f"{kind(audit)}, epoch {cell(audit.get('epoch'))}, slot {cell(audit.get('slot'))}"),
        ("status", audit.get("status")),
    ]
    if judge:
        rows.append(("judged by", f"{'the referee' if referee else 'this node'} ({cell(judge.get('engine'))})"))
    if milli is not None:
        heat = "greedy" if milli == 0 else f"temperature {milli / 1000:g}"
        rows.append(("question", f"{heat}, at most {cell(question.get('tokens_max'))} tokens"))
    yield from _rows(rows)
    if question:
        yield from _told("prompt", text(question.get("prompt")), width)
    for which, answer in enumerate(documents(audit.get("answers")), start=1):
        yield ""
        yield from _answer(which, answer, width, "the referee" if referee else "this node")
    dispute = audit.get("dispute")
    if isinstance(dispute, dict):
        yield ""
        yield from _votes(audit, dispute)
    notes = [*items(audit.get("notes"))]
    if audit.get("complete") is False:
        notes.append("the node is still working on it; ask again")
    if notes:
        yield ""
        yield "what is not known"
        for note in notes:
            yield from plot.wrap(f"- {escape(str(note))}", width)


def _rows(rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    return (f"{name:{_NAME}}{cell(value)}" for name, value in rows)


def _told(name: str, value: str, width: int) -> Iterator[str]:
    """A name, and a long text wrapped next to it."""
    for row, line in enumerate(plot.wrap(escape(value), width - _NAME)):
        yield f"{name if row == 0 else '':{_NAME}}{line}".rstrip()


def _answer(which: int, answer: Mapping[str, object], width: int, judge: str) -> Iterator[str]:
    yield f"answer {which} of {cell(answer.get('peer_id'))}"
    rows: list[tuple[str, object]] = [("class", answer.get("class"))]
    if answer.get("answered") is not True:
        rows.append(("answer", "none came"))
        yield from _rows(rows)
        return
    cause = mapping(answer.get("cause"))
    rows.append(("verdict", answer.get("verdict")))
    if cause:
        rows.append(("cause", _cause(cause)))
    measure = mapping(answer.get("measure"))
    if measure:
        rows += _measured(measure)
    given, difference = mapping(answer.get("answer")), mapping(answer.get("difference"))
    if given:
        rows.append(("tokens", f"{len(items(given.get('tokens')))}, finish {cell(given.get('finish'))}"))
    yield from _rows(rows)
    if difference:
        yield from _difference(difference, width, judge)
    elif given:
        yield from _told("text", text(given.get("text")), width)
    margins = [value for value in map(number, items(answer.get("margins"))) if value is not None]
    if any(margins):
        yield from _plot(margins, measure, number(difference.get("position")), width)


def _cause(cause: Mapping[str, object]) -> str:
    value = number(cause.get("value"))
    name = cell(cause.get("cause"))
    return f"{name}: {value / 1000:g}" if value is not None and name == "other temperature" else name


def _measured(measure: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The basis of the verdict: the sum of squared margins with its thresholds, and the end of the answer."""
    limits = mapping(measure.get("limits"))
    total, end = number(measure.get("total")) or 0, number(measure.get("end")) or 0
    peak = number(measure.get("peak")) or 0
    yield "margins", f"{nats(total)} square nats in all, the largest {nats(peak)} nats"
    if limits:
        match, mismatch = (number(limits.get(name)) or 0 for name in ("match", "mismatch"))
        yield "bounds", f"match up to {nats(match)} square nats, mismatch above {nats(mismatch)}"
    if end:
        yield "end", "not where the answer must end" if end == END_MISSING else f"{nats(end)} nats below the best"


def _difference(difference: Mapping[str, object], width: int, judge: str) -> Iterator[str]:
    common = text(difference.get("common"))
    if common:
        yield from _told("both begin", common, width)
    margin = number(difference.get("margin"))
    told = f"{_token(difference, 'claimed')}; {judge}: {_token(difference, 'expected')}"
    told += "" if margin is None else f"; {nats(margin)} nats apart"
    yield from plot.wrap(f">>> token {cell(difference.get('position'))}: {told}", width)
    column = (width - 3) // 2
    left = plot.wrap(escape(text(difference.get("claimed_rest"))), column)
    right = plot.wrap(escape(text(difference.get("expected_rest"))), column)
    yield from plot.side_by_side(["CLAIMED", *left], [judge.upper(), *right], column)


def _token(difference: Mapping[str, object], name: str) -> str:
    token = number(difference.get(name))
    return "the end" if token is None else f'"{escape(text(difference.get(f"{name}_text")))}" ({token})'


def _plot(margins: list[int], measure: Mapping[str, object], mark: int | None, width: int) -> Iterator[str]:
    limit = number(mapping(measure.get("limits")).get("alone"))
    limit = limit if limit is not None and limit <= _MARGIN_MAX else None
    plain = not _can_print(plot.BLOCKS + plot.LINE)
    yield "margin of each token, in nats (log scale)"
    yield from plot.plot_margins(margins, width, limit=limit, mark=mark, plain=plain)
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


def _votes(audit: Mapping[str, object], dispute: Mapping[str, object]) -> Iterator[str]:
    numbers = {
        answer.get("peer_id"): str(which) for which, answer in enumerate(documents(audit.get("answers")), start=1)
    }
    yield f"dispute, opened in epoch {cell(dispute.get('opened_epoch'))}: {cell(dispute.get('status'))}"
    outputs = documents(dispute.get("outputs"))
    letters = {output.get("output"): chr(ord("A") + place) for place, output in enumerate(outputs[:26])}
    if outputs:
        rows = [
            (
                letters.get(output.get("output"), "+"),
                output.get("votes"),
                output.get("decided"),
                output.get("own"),
                _says(output, numbers),
            )
            for output in outputs
        ]
        yield table(("OUTPUT", "VOTES", "DECIDED", "THIS NODE'S", "SAYS"), rows)
    voters = documents(dispute.get("voters"))
    short = short_ids(text(voter.get("peer_id")) for voter in voters)
    took_part = [voter for voter in voters if voter.get("sealed") is True or voter.get("output") is not None]
    voted = [
        (
            short[text(voter.get("peer_id"))],
            text(voter.get("class"))[:_CLASS_CHARS],
            _role(voter, numbers),
            letters.get(voter.get("output"), "sealed"),
            voter.get("lost"),
        )
        for voter in took_part
    ]
    yield ""
    yield table(("VOTER", "CLASS", "ROLE", "OUTPUT", "LOST"), voted)
    missing = len(voters) - len(took_part)
    if missing:
        yield f"{missing} more could have voted"
    losers = [text(loser) for loser in items(dispute.get("losers"))]
    if losers:
        yield ""
        yield from (f"{'lost' if place == 0 else '':6}{escape(loser)}" for place, loser in enumerate(losers))


def _says(output: Mapping[str, object], numbers: Mapping[object, str]) -> str:
    if output.get("underivable") is True:
        return "the question does not follow from the slot"
    verdicts = mapping(output.get("verdicts"))
    return ", ".join(f"{numbers.get(peer, '?')}: {cell(found)}" for peer, found in verdicts.items())


def _role(voter: Mapping[str, object], numbers: Mapping[object, str]) -> str:
    if voter.get("challenger") is True:
        return "challenger"
    if voter.get("asked") is True:
        return f"asked ({numbers.get(voter.get('peer_id'), '?')})"
    return "committee" if voter.get("seat") is True else "voter"
