"""Scores as a table, for a running node and for a verified export."""

from collections.abc import Mapping, Sequence

from p2pverify.cli.table import cell, percent, table, terminal_width
from p2pverify.cli.values import items, mapping, text
from p2pverify.node.reports.shown import interval, short_ids

_Score = Mapping[str, object]
COLUMNS = ("PEER", "STANDING", "WEIGHT", "SCORE", "AUDITS", "BY", "DISSENTS", "LAST")
WIDE_COLUMNS = (
    "PEER", "CLASS", "STANDING", "WEIGHT", "LOW", "HIGH", "AUDITS", "BY", "AGREE", "DISSENTS", "LAST", "ANSWERED",
    "NO-SHOWS", "UNOPENED",
)  # fmt: skip
ONLY_WIDE = ("LOW, HIGH", "CLASS", "AGREE", "ANSWERED", "NO-SHOWS", "UNOPENED")


def score_table(scores: Sequence[_Score], own: str | None, *, wide: bool) -> str:
    """The peers of a view, and under each one the reason of its standing, if there is one."""
    notes = [_reason(score) for score in scores]
    if wide:
        return table(WIDE_COLUMNS, [_wide_row(score, own) for score in scores], notes=notes)
    names = peer_names(scores, own)
    rows = [_row(score, name) for score, name in zip(scores, names, strict=True)]
    return table(COLUMNS, rows, width=terminal_width(), cut=("PEER", "STANDING"), notes=notes)


def peer_names(scores: Sequence[_Score], own: str | None) -> list[str]:
    """Short names of the peers in rows, with this node's marked."""
    short = short_ids(text(score.get("peer_id")) for score in scores)
    return [mark(short[text(score.get("peer_id"))], score, own) for score in scores]


def mark(name: str, score: _Score, own: str | None) -> str:
    """A peer's name, marked if it is this node's."""
    return f"{name} (you)" if own is not None and score.get("peer_id") == own else name


def _row(score: _Score, name: str) -> tuple[object, ...]:
    return (
        name,
        score.get("standing"),
        score.get("weight"),
        _interval(score),
        score.get("audits"),
        score.get("challengers"),
        score.get("dissents"),
        score.get("last_audit_epoch"),
    )


def _wide_row(score: _Score, own: str | None) -> tuple[object, ...]:
    return (
        mark(text(score.get("peer_id")), score, own),
        score.get("class"),
        score.get("standing"),
        score.get("weight"),
        percent(score.get("low")),
        percent(score.get("high")),
        score.get("audits"),
        score.get("challengers"),
        score.get("agreements"),
        score.get("dissents"),
        score.get("last_audit_epoch"),
        percent(score.get("availability")),
        score.get("no_shows"),
        score.get("unopened"),
    )


def _interval(score: _Score) -> str | None:
    low, high = score.get("low"), score.get("high")
    if isinstance(low, bool) or isinstance(high, bool):
        return None
    if isinstance(low, int | float) and isinstance(high, int | float) and 0 <= low <= high <= 1:
        return interval(low, high)
    return None


def _reason(score: _Score) -> str:
    """Why a peer has its standing, if the view says so."""
    reason = score.get("reason")
    return "; ".join(cell(one) for one in (items(reason) or [reason]) if one)


def hardware_tables(scores: Sequence[_Score], groups: Sequence[_Score], own: str | None, *, wide: bool) -> str:
    """The peers that claim a hardware, and for each claim the least, median and greatest speed."""
    claiming = [score for score in scores if score.get("hardware")]
    if not claiming:
        return "no peer claims any hardware"
    width = None if wide else terminal_width()
    names = [mark(text(s.get("peer_id")), s, own) for s in claiming] if wide else peer_names(claiming, own)
    rows = [
        (
            name,
            speed.get("claim"),
            speed.get("fit"),
            speed.get("challengers"),
            speed.get("first_token_ms"),
            speed.get("tokens_per_s"),
            speed.get("token_ms"),
        )
        for name, speed in ((name, mapping(s.get("hardware"))) for name, s in zip(names, claiming, strict=True))
    ]
    headers = ("PEER", "HARDWARE", "FIT", "BY", "FIRST MS", "TOKENS/S", "MS/TOKEN")
    peers = table(headers, rows, width=width, cut=("PEER", "HARDWARE"))
    columns = ("HARDWARE", "CLASS", "PEERS", "FIT", "UNFIT", "FIRST MS", "TOKENS/S")
    summary = [
        (
            group.get("claim"),
            group.get("class"),
            group.get("peers"),
            group.get("consistent"),
            group.get("inconsistent"),
            _range(group.get("first_token_ms")),
            _range(group.get("tokens_per_s")),
        )
        for group in groups
    ]
    return f"{peers}\n\n{table(columns, summary, width=width, cut=('HARDWARE', 'CLASS'))}"


def _range(value: object) -> str | None:
    return " - ".join(str(each) for each in items(value)) or None
