"""Text about one answer: escaped text, columns side by side, and a plot of margins.

Margins are in micronats. The plot's scale is logarithmic, from 0.001 to 10 nats, with one decade per row.
"""

from collections.abc import Sequence
from math import log10

from rich.cells import cell_len, chop_cells

from p2pverify.core.inference.compare import MICRO

BLOCKS, LINE, ASCII_BLOCKS, ASCII_LINE = " ▁▂▃▄▅▆▇█", "┄", " ...::||#", "-"
_LEVELS = 8  # per row
_LOWEST = 3  # log10 of the micronats at the bottom of the lowest row
_ROWS = ("0.001", "0.01", "0.1", "1")  # nats at the bottom of each row
_LABEL = 7


def escape(text: str) -> str:
    """Text of other peers on one line: characters that are not printable become escapes, and so does the backslash."""
    return "".join(
        "\\\\" if char == "\\" else char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces if possible; at least one line."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cell_len(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = chop_cells(word, width) or [""]
        lines += whole
    return [*lines, line]


def side_by_side(left: Sequence[str], right: Sequence[str], width: int) -> list[str]:
    """Two columns of `width` cells each, with a bar between them."""
    rows = max(len(left), len(right))
    padded = [[*lines, *[""] * (rows - len(lines))] for lines in (left, right)]
    return [f"{one}{' ' * (width - cell_len(one))} | {other}".rstrip() for one, other in zip(*padded, strict=True)]


def plot_margins(
    margins: Sequence[int], width: int, *, limit: int | None = None, mark: int | None = None, plain: bool = False
) -> list[str]:
    """A bar for each token, or for the greatest of some neighbours if there are more than `width` allows.

    `limit` is drawn as a line; `mark` is the position of a marked token. `plain` uses ASCII only.
    """
    blocks, line = (ASCII_BLOCKS, ASCII_LINE) if plain else (BLOCKS, LINE)
    room = max(1, width - _LABEL - 1)
    each = max(1, -(-len(margins) // room))
    heights = [_height(max(margins[at : at + each])) for at in range(0, len(margins), each)]
    limit_row = None if limit is None else (_height(limit) - 1) // _LEVELS
    lines = []
    for row in reversed(range(len(_ROWS))):
        empty = line if row == limit_row else " "
        cells = [blocks[max(0, min(_LEVELS, height - row * _LEVELS))] for height in heights]
        drawn = "".join(empty if cell == " " else cell for cell in cells)
        lines.append(f"{_ROWS[row].rjust(_LABEL - 2)} |{drawn}".rstrip())
    pointer = "" if mark is None or not 0 <= mark < len(margins) else " " * (mark // each) + "^"
    first, last = "0", str(len(margins) - 1)
    gap = len(heights) - len(first) - len(last)
    lines.append(" " * (_LABEL - 1) + "+" + "-" * len(heights))
    if pointer:
        lines.append(" " * _LABEL + pointer)
    lines.append(" " * _LABEL + (first + " " * gap + last if gap > 0 else first))
    return lines


def nats(micronats: int) -> str:
    """A margin in nats, with a sensible number of digits."""
    return f"{micronats / MICRO:.3g}"


def _height(margin: int) -> int:
    """The height of a bar, in eighths of a row; at least 1 for a margin above 0."""
    if margin <= 0:
        return 0
    height = round((log10(margin) - _LOWEST) * _LEVELS)
    return max(1, min(height, len(_ROWS) * _LEVELS))
