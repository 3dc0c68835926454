"""The display of a running testnet, from readings made by hand."""

import io
from types import SimpleNamespace

from rich.console import Console

from p2pverify.node.files.home import Home
from p2pverify.testnet.faults import FaultKind, FaultPlan
from p2pverify.testnet.processes.nemesis import Nemesis
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.table import draw, headline, progress_line, rows
from p2pverify.testnet.processes.watch import RunWatch
from tests.testnet.support import cut, provisional, score, status, toy_plan, view_at


def watched(tmp_path):
    """A watch on four peers without readings."""
    return RunWatch(toy_plan("canned@0.5"), lambda name: Home(tmp_path / name))


def running(watch):
    """The parts of a testnet that the table uses."""
    return SimpleNamespace(watch=watch, nemesis=Nemesis((), None, None, genesis_ms=0))  # type: ignore[arg-type]


def drawn(watch, width=120):
    """The table as text."""
    text = io.StringIO()
    console = Console(width=width, file=text)
    console.print(draw(Stage(), [running(watch)]))
    return text.getvalue()


def test_before_anything_is_known(tmp_path):
    """Every peer has a row from the beginning, and the row says whether it cheats."""
    watch = watched(tmp_path)
    assert [row.standing for row in rows(watch)] == ["starting"] * 4
    assert [row.cheat for row in rows(watch)].count("canned@0.5") == 1
    assert "peer4" in drawn(watch)
    assert "nobody suspect" in progress_line(Stage(), [running(watch)])


def test_what_was_told_stays(tmp_path):
    """Told sentences stay above the headline in every stage."""
    stage = Stage()
    stage.tell("epochs of 9 s instead of 4 s")
    text = io.StringIO()
    console = Console(width=120, file=text)
    console.print(draw(stage, []), draw(stage, [running(watched(tmp_path))]))
    assert text.getvalue().count("epochs of 9 s instead of 4 s") == 2


def test_a_final_view_is_shown_as_final(tmp_path):
    """Intervals are in percent, and each peer shows the epoch of its own newest cut."""
    watch = watched(tmp_path)
    honest = watch.plan.honest[0].name
    watch.statuses[honest] = status(cut(7))
    watch.final[honest] = view_at(watch.plan, cut(7))
    row = next(row for row in rows(watch) if row.name == honest)
    assert (row.standing, row.score, row.audits, row.cut, row.view) == ("trusted", "90-100 %", "30", "7", "final")
    assert "90-100 %" in drawn(watch)


def test_long_names_are_cut_at_80_columns_and_no_figure_is(tmp_path):
    """A row stays one line: the kinds of cheats are cut, and figures are not."""
    watch = RunWatch(toy_plan("prefill-evidence@0.333333"), lambda name: Home(tmp_path / name))
    liar = watch.plan.cheaters[0]
    watch.silent = {liar.name}
    for peer in watch.plan.peers:
        watch.statuses[peer.name] = status(cut(1_234_567))
    news = score(liar.peer_id, "convicted", audits=99_999, dissents=9_999, challengers=512)
    watch.provisional = provisional(news)
    lines = drawn(watch, width=80).splitlines()
    assert len(lines) == 2 + len(watch.plan.peers)
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if liar.name in line)
    assert row.split()[-5:] == ["99999", "512", "9999", "1234567", "provisional"]


def test_a_conviction_that_is_not_final_is_marked(tmp_path):
    """A new conviction is shown at once, as provisional. Other standings are shown when they are final."""
    watch = watched(tmp_path)
    liar, honest = watch.plan.cheaters[0], watch.plan.honest[0]
    watch.statuses[honest.name] = status(cut(7))
    watch.final[honest.name] = view_at(watch.plan, cut(7))
    news = (score(liar.peer_id, "convicted"), score(honest.peer_id, "suspect"))
    watch.provisional = provisional(*news)
    shown = {row.name: (row.standing, row.view) for row in rows(watch)}
    assert shown[liar.name] == ("convicted", "provisional")
    assert shown[honest.name] == ("trusted", "final")
    assert f"{liar.name} convicted" in progress_line(Stage(), [running(watch)])


def test_faults_are_shown_while_they_last(tmp_path):
    """The display says why peers do not answer."""
    watch = watched(tmp_path)
    watch.statuses[watch.plan.honest[0].name] = status(cut(3))
    testnet = running(watch)
    testnet.nemesis.active.append(FaultPlan(FaultKind.PAUSE, 0, 1000, ("peer2",)))
    assert "(pause of peer2)" in headline(Stage(), [testnet])
    testnet.nemesis.active.clear()
    assert "pause" not in headline(Stage(), [testnet])
