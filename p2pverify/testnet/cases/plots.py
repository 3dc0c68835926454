"""Plots of a case study as inline SVG: no scripts, no fonts or files from elsewhere. All texts are escaped."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 40
_COLOURS = ("#1a6fb0", "#c4571a", "#2f8f4e", "#8a4fa3", "#7a6a2b", "#b03060", "#4a7c8c", "#555555")
_TICKS = 4


def lines_plot(
    title: str,
    xs: Sequence[int],
    series: Sequence[tuple[str, Sequence[float]]],
    marks: Sequence[tuple[str, float]] = (),
) -> str:
    """Lines over whole numbers, for example over rounds. `marks` are dashed levels with a name."""
    values = [value for _, ys in series for value in ys] + [level for _, level in marks]
    low, high = _range(values)
    across = (WIDTH - _LEFT - _RIGHT) / max(1, len(xs) - 1)

    def at(place: int, value: float) -> str:
        return f"{_LEFT + place * across:.1f},{_y(value, low, high):.1f}"

    parts = [_frame(low, high), _x_labels([str(x) for x in xs], across, centred=False)]
    for number, (name, level) in enumerate(marks):
        y = _y(level, low, high)
        parts.append(f'<line class="mark" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        x = _LEFT + 8 + 220 * number
        parts.append(f'<text class="small" x="{x}" y="{y - 4:.1f}">{escape(name)}</text>')
    for number, (name, ys) in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(at(place, value) for place, value in enumerate(ys))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        for place, value in enumerate(ys):
            left, _, top = at(place, value).partition(",")
            label = f"{escape(name)}, {xs[place]}: {value:.3f}"
            parts.append(f'<circle cx="{left}" cy="{top}" r="3.5" fill="{colour}"><title>{label}</title></circle>')
    return _svg(title, parts)


def bars_plot(title: str, names: Sequence[str], values: Sequence[float], flagged: Sequence[bool]) -> str:
    """A bar for each name, below 0 too. Flagged bars have another colour and hatched names."""
    low, high = _range([0.0, *values])
    across = (WIDTH - _LEFT - _RIGHT) / max(1, len(names))
    zero = _y(0.0, low, high)
    parts = [_frame(low, high), _x_labels(names, across, centred=True)]
    for place, (name, value, is_flagged) in enumerate(zip(names, values, flagged, strict=True)):
        y = _y(value, low, high)
        x, height = _LEFT + place * across + across * 0.2, abs(zero - y)
        colour = _COLOURS[1] if is_flagged else _COLOURS[0]
        parts.append(
            f'<rect x="{x:.1f}" y="{min(y, zero):.1f}" width="{across * 0.6:.1f}" height="{max(height, 1):.1f}" '
            f'fill="{colour}"><title>{escape(name)}: {value:.3f}</title></rect>'
        )
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{zero:.1f}" y2="{zero:.1f}"/>')
    return _svg(title, parts)


def _svg(title: str, parts: Sequence[str]) -> str:
    name = escape(title)
    return (
        f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{name}">{"".join(parts)}</svg></figure>'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.08 or 0.5
    return low - (margin if low < 0 or low > margin else low), high + margin


def _y(value: float, low: float, high: float) -> float:
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)


def _frame(low: float, high: float) -> str:
    parts = []
    for step in range(_TICKS + 1):
        value = low + (high - low) * step / _TICKS
        y = _y(value, low, high)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="small" text-anchor="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:.2f}</text>')
    return "".join(parts)


def _x_labels(names: Sequence[str], across: float, *, centred: bool) -> str:
    shift = across / 2 if centred else 0
    return "".join(
        f'<text class="small" text-anchor="middle" x="{_LEFT + place * across + shift:.1f}" y="{HEIGHT - 14}">'
        f"{escape(name)}</text>"
        for place, name in enumerate(names)
    )
