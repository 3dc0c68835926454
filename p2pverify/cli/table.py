"""Plain aligned text for commands that show data: no colour, no box, safe in a pipe.

A table is at most as wide as the terminal, or 80 columns in a pipe, so that no line wraps. --wide removes that limit.
"""

import shutil
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

from p2pverify.cli.errors import one_line
from p2pverify.node.reports.shown import COLUMNS, is_interval

WIDTH = 80  # columns, if there is no terminal
_WIDTH_MIN = 40
_CELL_CHARS_MAX = 120
_CUT_MIN = 8  # columns that a shortened cell keeps
_GAP = 2
_NOTE_INDENT = "  "


def terminal_width() -> int:
    """Columns of the terminal. In a pipe, the variable COLUMNS, or 80."""
    return max(_WIDTH_MIN, shutil.get_terminal_size((WIDTH, 24)).columns)


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    width: int | None = None,
    cut: Collection[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Columns as wide as their widest cell, with numbers and percentages to the right. None is shown as "-".

    If a table is wider than `width`, cells in the columns `cut` are shortened. `notes` are printed under their rows.
    """
    cells = [[cell(value) for value in row] for row in rows]
    right = [bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(headers))]
    widths = [max(cell_width(row[column]) for row in [headers, *cells]) for column in range(len(headers))]
    if width is not None:
        least = {place: max(_CUT_MIN, len(name)) for place, name in enumerate(headers) if name in cut}
        _shrink(widths, least, width)
    lines = []
    for number, row in enumerate([list(headers), *cells], start=-1):
        padded = [_pad(text, size, is_right=is_right) for text, size, is_right in zip(row, widths, right, strict=True)]
        lines.append((" " * _GAP).join(padded).rstrip())
        if number >= 0 and number < len(notes) and notes[number]:
            lines += _note(notes[number], width)
    return "\n".join(lines)


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair per line, with the values aligned."""
    cells = [(name, cell(value)) for name, value in rows]
    width = max((len(name) for name, _ in cells), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in cells)


def cell(value: object) -> str:
    """A value as one short printable text, because other peers choose some of the values."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(value))[:_CELL_CHARS_MAX] or "-"


def cell_width(text: str) -> int:
    """The number of terminal columns of a printable text: two for an ideograph, none for a combining mark."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) == "Me"
        else 2 if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )  # fmt: skip


def percent(value: float | None) -> str | None:
    """A fraction of 1 as a percentage; None stays None."""
    return None if value is None else f"{100 * value:.1f}%"


def columns_help(*names: str) -> str:
    """The meaning of a table's columns, for the end of a command's help."""
    lines = []
    for name in names:
        first, *rest = textwrap.wrap(COLUMNS[name], WIDTH - 16)
        lines += [f"  {name:11} {first}", *(f"  {'':11} {more}" for more in rest)]
    return "\b\nColumns:\n" + "\n".join(lines)


def _shrink(widths: list[int], least: Mapping[int, int], width: int) -> None:
    """Narrow the widest shrinkable columns, down to the `least` of each, until the line fits."""
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0:
        wide = [place for place, size in least.items() if widths[place] > size]
        if not wide:
            return
        widths[max(wide, key=widths.__getitem__)] -= 1
        excess -= 1


def _pad(text: str, width: int, *, is_right: bool) -> str:
    shown = text if cell_width(text) <= width else _cut(text, width)
    blank = " " * (width - cell_width(shown))
    return blank + shown if is_right else shown + blank


def _cut(text: str, width: int) -> str:
    while text and cell_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _note(text: str, width: int | None) -> list[str]:
    shown = one_line(text)
    if width is None:
        return [_NOTE_INDENT + shown]
    return textwrap.wrap(shown, width, initial_indent=_NOTE_INDENT, subsequent_indent=_NOTE_INDENT)


def _is_number(text: str) -> bool:
    return text == "-" or is_interval(text) or text.removesuffix("%").replace(".", "", 1).isdecimal()


def age_text(seconds: object) -> str:
    """The time since then, in the largest unit that fits."""
    assert isinstance(seconds, int)
    if seconds < 0:
        return f"{-seconds} s ahead of this machine's clock"
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} seconds ago"
