"""Plain aligned text for reading commands: no colour, no box, nothing that breaks a pipe."""

from collections.abc import Iterable, Sequence

from p2pverify.cli.errors import one_line

_CELL_CHARS_MAX = 120


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; numbers and percentages to the right. None shows as "-"."""
    cells = [[cell(value) for value in row] for row in rows]
    right = [bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(headers))]
    widths = [max(len(row[column]) for row in [headers, *cells]) for column in range(len(headers))]
    lines = []
    for row in [list(headers), *cells]:
        padded = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair a line, values aligned."""
    cells = [(name, cell(value)) for name, value in rows]
    width = max((len(name) for name, _ in cells), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in cells)


def cell(value: object) -> str:
    """A value as one short printable text; strangers choose some of them."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(value))[:_CELL_CHARS_MAX] or "-"


def percent(value: object) -> str | None:
    """A share of 1 as a percentage, or None if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"{100 * value:.1f}%"


def _is_number(text: str) -> bool:
    return text == "-" or text.removesuffix("%").replace(".", "", 1).isdecimal()
