"""The display of a running testnet: a live table on a terminal, or a line every few seconds elsewhere."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from p2pverify.node.reports.documents.scores import ScoreDocument, ScoresDocument
from p2pverify.node.reports.shown import interval
from p2pverify.testnet.plan import PeerPlan
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.runner import Testnet
from p2pverify.testnet.processes.verdict import CONVICTED, SUSPECT, row_of
from p2pverify.testnet.processes.watch import RunWatch

_DRAW_PERIOD_S = 0.5
_LINE_PERIOD_S = 5.0
COLUMNS = ("PEER", "CHEAT", "STANDING", "SCORE", "AUDITS", "BY", "DISSENTS", "CUT", "VIEW")
_RIGHT = ("SCORE", "AUDITS", "BY", "DISSENTS", "CUT")
_CUT = ("PEER", "CHEAT", "STANDING")
_STYLES = {CONVICTED: "bold red", SUSPECT: "yellow", "trusted": "green"}


@dataclass(frozen=True, slots=True)
class PeerRow:
    """One peer's row in the table: the truth about the peer, and the view of one honest peer (`watch.reference`)."""

    name: str
    cheat: str
    standing: str
    score: str
    audits: str
    challengers: str
    dissents: str
    cut: str
    view: str
    story: str = ""  # only in a run with an upgrade, or of a network that lasts

    def cells(self) -> tuple[str, ...]:
        story = (self.story,) if self.story else ()
        return (
            self.name,
            self.cheat,
            self.standing,
            self.score,
            self.audits,
            self.challengers,
            self.dissents,
            self.cut,
            self.view,
            *story,
        )


def columns(watch: RunWatch) -> tuple[str, ...]:
    """The columns of the table."""
    plan = watch.plan
    return (*COLUMNS, *(["VERSION"] if plan.upgrade is not None else []), *(["PART"] if plan.roles is not None else []))


def rows(watch: RunWatch) -> list[PeerRow]:
    """The rows of all peers, in order."""
    return [replace(_row(watch, peer), story=_story(watch, peer)) for peer in watch.plan.peers]


def _story(watch: RunWatch, peer: PeerPlan) -> str:
    """What the run's own column shows of a peer; "" if there is none."""
    if watch.plan.roles is not None:
        return watch.lasting.cell(watch.plan.roles, peer)
    return "" if watch.plan.upgrade is None else watch.upgrade.cell(peer)


def _row(watch: RunWatch, peer: PeerPlan) -> PeerRow:
    cheat = "" if peer.cheat is None else peer.cheat.label
    status = watch.statuses.get(peer.name)
    cut = "-" if status is None or status.final is None else str(status.final.epoch)
    final = _score(watch.final.get(watch.reference), peer)
    provisional = _score(watch.provisional, peer)
    shown, view = final, "final"
    is_news = provisional is not None and provisional.standing == CONVICTED
    if final is None or (is_news and final.standing != CONVICTED):
        shown, view = provisional, "provisional"
    if shown is None:
        state = "starting" if status is None else "joining"
        return PeerRow(peer.name, cheat, state, "-", "-", "-", "-", cut, "-")
    standing = f"{shown.standing} (no answer)" if peer.name in watch.silent else shown.standing
    counts = (str(shown.audits), str(shown.challengers), str(shown.dissents))
    return PeerRow(peer.name, cheat, standing, interval(shown.low, shown.high), *counts, cut, view)


def _score(scores: ScoresDocument | None, peer: PeerPlan) -> ScoreDocument | None:
    return None if scores is None else row_of(scores, peer)


def headline(stage: Stage, running: Sequence[Testnet]) -> str:
    """The progress of the run in one line."""
    parts = [f"{stage.seconds:.0f} s", str(stage)]
    if running:
        watch = running[0].watch
        status = watch.statuses.get(watch.reference)
        if status is not None:
            epoch = f"epoch {status.epoch}" if status.epoch >= 0 else "before epoch 0"
            if running[0].nemesis.active:
                epoch += f" ({running[0].nemesis})"
            if watch.plan.upgrade is not None:
                epoch += f" ({watch.upgrade.headline()})"
            if watch.plan.lasting is not None:
                epoch += f" ({watch.lasting.headline()})"
            if watch.plan.case is not None:
                epoch += f" ({watch.case.headline()})"
            parts += [epoch, f"open disputes {watch.open_disputes}", f"records {status.records}"]
    return "   ".join(parts)


def progress_line(stage: Stage, running: Sequence[Testnet]) -> str:
    """The whole run in one line, for output that cannot show a table."""
    line = headline(stage, running)
    if running:
        watch = running[0].watch
        told = [f"{row.name} {row.standing}" for row in rows(watch) if row.standing in (CONVICTED, SUSPECT)]
        audits = sum(score.audits for score in watch.provisional.scores) if watch.provisional else 0
        line += f"   audits {audits}   " + (", ".join(told) or "nobody suspect")
    return line


def draw(stage: Stage, running: Sequence[Testnet]) -> Group:
    """The headline and the table."""
    head = (*(Text(sentence) for sentence in stage.told), Text(headline(stage, running), style="bold"))
    if not running:
        return Group(*head)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns(running[0].watch):
        # Only these columns shrink on a narrow terminal. Their cells are cut, not wrapped.
        table.add_column(column, justify="right" if column in _RIGHT else "left", no_wrap=column not in _CUT)
    for row in rows(running[0].watch):
        style = _STYLES.get(row.standing, "")
        table.add_row(*(Text(cell, style=style, no_wrap=True, overflow="ellipsis") for cell in row.cells()))
    return Group(*head, table)


async def show_live(stage: Stage, running: Sequence[Testnet]) -> None:
    """Draw the table on the terminal until cancelled. The last table stays."""
    console = Console()
    # This task draws, not a thread of rich, because the data belongs to this thread.
    with Live(draw(stage, running), console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(draw(stage, running), refresh=True)
                await trio.sleep(_DRAW_PERIOD_S)
        finally:
            live.update(draw(stage, running), refresh=True)


async def show_lines(stage: Stage, running: Sequence[Testnet]) -> None:
    """Print a line to stderr whenever a new stage begins and every few seconds, until cancelled."""
    told = ""
    sentences = 0
    while True:
        with trio.move_on_after(_LINE_PERIOD_S):
            while stage.text == told:  # noqa: ASYNC110 - a phrase is no event, and half a second is soon enough
                await trio.sleep(_DRAW_PERIOD_S)
        told = stage.text
        for sentence in stage.told[sentences:]:
            print(sentence, file=sys.stderr, flush=True)
        sentences = len(stage.told)
        print(progress_line(stage, running), file=sys.stderr, flush=True)
