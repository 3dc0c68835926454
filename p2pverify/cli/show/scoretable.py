"""Scores as a table, for a running node and for a verified export."""

from collections.abc import Callable, Sequence

from p2pverify.cli.table import cell, percent, table, terminal_width
from p2pverify.node.reports.documents.scores import HardwareGroup, ScoreDocument
from p2pverify.node.reports.shown import interval, short_ids, why

COLUMNS = ("PEER", "STANDING", "WEIGHT", "SCORE", "AUDITS", "BY", "DISSENTS", "LAST")
WIDE_COLUMNS = (
    "PEER", "CLASS", "STANDING", "WEIGHT", "LOW", "HIGH", "AUDITS", "BY", "AGREE", "DISSENTS", "LAST", "ANSWERED",
    "NO-SHOWS", "UNOPENED",
)  # fmt: skip
VERSION = "VERSION"  # only where a model has versions
ONLY_WIDE = ("LOW, HIGH", "CLASS", "AGREE", "ANSWERED", "NO-SHOWS", "UNOPENED")


def score_table(scores: Sequence[ScoreDocument], own: str | None, *, wide: bool) -> str:
    """The peers of a view, and under each one the reason of its standing, if there is one."""
    notes = [cell(text) if (text := why(score)) else "" for score in scores]
    more, of = _version_column(scores)
    if wide:
        return table((*WIDE_COLUMNS, *more), [(*_wide_row(score, own), *of(score)) for score in scores], notes=notes)
    names = peer_names(scores, own)
    rows = [(*_row(score, name), *of(score)) for score, name in zip(scores, names, strict=True)]
    return table((*COLUMNS, *more), rows, width=terminal_width(), cut=("PEER", "STANDING"), notes=notes)


def _version_column(scores: Sequence[ScoreDocument]) -> tuple[tuple[str, ...], Callable[[ScoreDocument], list[object]]]:
    """The header of the column of versions, and its cell in a row. There is none if no model has versions."""
    if all(score.version is None for score in scores):
        return (), lambda _: []
    return (VERSION,), lambda score: [f"{score.version} (behind)" if score.behind else score.version]


def peer_names(scores: Sequence[ScoreDocument], own: str | None) -> list[str]:
    """Short names of the peers in rows, with this node's marked."""
    short = short_ids(score.peer_id for score in scores)
    return [mark(short[score.peer_id], score, own) for score in scores]


def mark(name: str, score: ScoreDocument, own: str | None) -> str:
    """A peer's name, marked if it is this node's."""
    return f"{name} (you)" if score.peer_id == own else name


def _row(score: ScoreDocument, name: str) -> tuple[object, ...]:
    return (
        name,
        score.standing,
        score.weight,
        interval(score.low, score.high),
        score.audits,
        score.challengers,
        score.dissents,
        score.last_audit_epoch,
    )


def _wide_row(score: ScoreDocument, own: str | None) -> tuple[object, ...]:
    return (
        mark(score.peer_id, score, own),
        score.class_,
        score.standing,
        score.weight,
        percent(score.low),
        percent(score.high),
        score.audits,
        score.challengers,
        score.agreements,
        score.dissents,
        score.last_audit_epoch,
        percent(score.availability),
        score.no_shows,
        score.unopened,
    )


def hardware_tables(
    scores: Sequence[ScoreDocument], groups: Sequence[HardwareGroup], own: str | None, *, wide: bool
) -> str:
    """The peers that claim a hardware, and for each claim the least, median and greatest speed."""
    claiming = [score for score in scores if score.hardware is not None]
    if not claiming:
        return "no peer claims any hardware"
    width = None if wide else terminal_width()
    names = [mark(score.peer_id, score, own) for score in claiming] if wide else peer_names(claiming, own)
    rows = [
        (
            name,
            speed.claim,
            speed.fit,
            speed.challengers,
            speed.first_token_ms,
            speed.tokens_per_s,
            speed.token_ms,
        )
        for name, score in zip(names, claiming, strict=True)
        if (speed := score.hardware)
    ]
    headers = ("PEER", "HARDWARE", "FIT", "BY", "FIRST MS", "TOKENS/S", "MS/TOKEN")
    peers = table(headers, rows, width=width, cut=("PEER", "HARDWARE"))
    columns = ("HARDWARE", "CLASS", "PEERS", "FIT", "UNFIT", "FIRST MS", "TOKENS/S")
    summary = [
        (
            group.claim,
            group.class_,
            group.peers,
            group.consistent,
            group.inconsistent,
            _range(group.first_token_ms),
            _range(group.tokens_per_s),
        )
        for group in groups
    ]
    return f"{peers}\n\n{table(columns, summary, width=width, cut=('HARDWARE', 'CLASS'))}"


def _range(values: Sequence[float] | None) -> str | None:
    return None if values is None else " - ".join(map(str, values))
