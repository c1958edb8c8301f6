"""Plots of a backtest as SVG made here: no script, no network, nothing to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

from tocsin.agents.backtest.resampling import Bin, Figure

WIDTH = 720
LABEL_WIDTH = 230
ROW_HEIGHT = 20
PLOT_HEIGHT = 220
MARGIN = 40
ROOM_ABOVE = 18
SHADES = ("#1f4e79", "#c55a11", "#548235", "#7f6000", "#7030a0", "#2e9599", "#a50021", "#7f7f7f")


class Bar(Struct, frozen=True):
    """A named figure."""

    name: str
    figure: Figure


def figure_bars(bars: Sequence[Bar], mark: float) -> str:
    """Horizontal bars with intervals, and a line at `mark`."""
    most = max([mark, *(bar.figure.high or bar.figure.value for bar in bars)], default=mark)
    scale = (WIDTH - LABEL_WIDTH - 60) / most if most else 0
    parts = []
    for row, bar in enumerate(bars):
        y, width = row * ROW_HEIGHT, bar.figure.value * scale
        parts.append(_text(LABEL_WIDTH - 8, y + 14, bar.name, "end"))
        parts.append(_rect(LABEL_WIDTH, y + 4, width, ROW_HEIGHT - 8, SHADES[0]))
        end = width
        if bar.figure.low is not None and bar.figure.high is not None:
            low, high = LABEL_WIDTH + bar.figure.low * scale, LABEL_WIDTH + bar.figure.high * scale
            parts.append(_line(low, y + 10, high, y + 10, SHADES[1], 2))
            end = max(end, bar.figure.high * scale)
        parts.append(_text(LABEL_WIDTH + end + 6, y + 14, f"{bar.figure.value:.2f}"))
    height = len(bars) * ROW_HEIGHT
    at = LABEL_WIDTH + mark * scale
    parts.append(_line(at, 0, at, height, "#888", 1))
    return _svg(parts, height + 6)


def calibration_plot(series: Mapping[str, Sequence[Bin]], across: str, up: str) -> str:
    """Observed against predicted share, with the diagonal on which both agree."""
    side, foot = PLOT_HEIGHT, PLOT_HEIGHT + ROOM_ABOVE
    parts = [
        _line(MARGIN, foot, MARGIN + side, foot, "#444", 1),
        _line(MARGIN, ROOM_ABOVE, MARGIN, foot, "#444", 1),
        _line(MARGIN, foot, MARGIN + side, ROOM_ABOVE, "#bbb", 1),
        _text(MARGIN + side, foot + 30, across, "end"),
        _text(MARGIN + 4, ROOM_ABOVE - 4, up),
    ]
    for tick in (0, 0.5, 1):
        parts.append(_text(MARGIN + tick * side, foot + 15, f"{tick:g}", "middle"))
        parts.append(_text(MARGIN - 6, foot - tick * side + 4, f"{tick:g}", "end"))
    for place, (name, bins) in enumerate(series.items()):
        shade = SHADES[place % len(SHADES)]
        most = max((one.rows for one in bins), default=1)
        for one in bins:
            radius = 3 + 7 * (one.rows / most) ** 0.5
            x, y = MARGIN + one.predicted * side, foot - one.observed * side
            title = f"{name}: {one.predicted:.2f} / {one.observed:.2f} ({one.rows})"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{shade}" '
                f'fill-opacity="0.6"><title>{escape(title)}</title></circle>'
            )
        parts += _legend(MARGIN + side + 30, 20 + place * ROW_HEIGHT, shade, name)
    return _svg(parts, foot + 40)


class Dot(Struct, frozen=True):
    """A named point: days of lead, precision, and whether it is on the front."""

    name: str
    lead: float
    precision: float
    is_front: bool


def share_curves(series: Mapping[str, Sequence[Figure | None]], names: Sequence[str]) -> str:
    """Shares over settings, as lines with bands for their intervals.

    The first figure of each series belongs to no setting and is drawn as a dashed line across.
    """
    wide = (WIDTH - 2 * MARGIN) / max(len(names) - 1, 1)
    parts = _axes()
    for number, (title, (as_is, *figures)) in enumerate(series.items()):
        shade = SHADES[number % len(SHADES)]
        known = [
            (MARGIN + place * wide, figure, name)
            for place, (figure, name) in enumerate(zip(figures, names, strict=True))
            if figure is not None
        ]
        upper = [(x, _up(one.value if one.high is None else one.high)) for x, one, _ in known]
        lower = [(x, _up(one.value if one.low is None else one.low)) for x, one, _ in known]
        parts.append(_path([*upper, *reversed(lower)], fill=shade))
        parts.append(_path([(x, _up(one.value)) for x, one, _ in known], stroke=shade))
        parts += [
            _dot(x, _up(one.value), 3, shade, f"{name}: {one.value:.3f}") for x, one, name in known
        ]
        if as_is is not None:
            across = [(MARGIN, _up(as_is.value)), (WIDTH - MARGIN, _up(as_is.value))]
            parts.append(_path(across, stroke=shade, dashes="5 4"))
        parts += _legend(MARGIN + number * 160, PLOT_HEIGHT + 24, shade, title)
    parts.append(_text(MARGIN, PLOT_HEIGHT + 15, names[0]))
    parts.append(_text(WIDTH - MARGIN, PLOT_HEIGHT + 15, names[-1], "end"))
    return _svg(parts, PLOT_HEIGHT + 44)


def front_plot(dots: Sequence[Dot], across: str, up: str) -> str:
    """Precision against lead time; those of the front are joined."""
    if not dots:
        return ""
    most = max([1.0, *(dot.lead for dot in dots)])
    scale = (WIDTH - 2 * MARGIN) / most
    parts = _axes()
    for tick in (0, 0.5, 1):
        at = tick * most
        parts.append(_text(MARGIN + at * scale, PLOT_HEIGHT + 15, f"{at:.0f}", "middle"))
    front = sorted((dot.lead, dot.precision) for dot in dots if dot.is_front)
    joined = [(MARGIN + lead * scale, _up(precision)) for lead, precision in front]
    parts.append(_path(joined, stroke=SHADES[1]))
    for dot in dots:
        shade = SHADES[1] if dot.is_front else SHADES[0]
        title = f"{dot.name}: {dot.precision:.3f}, {dot.lead:g}"
        parts.append(_dot(MARGIN + dot.lead * scale, _up(dot.precision), 4, shade, title))
    parts.append(_text(WIDTH - MARGIN, PLOT_HEIGHT + 30, across, "end"))
    parts.append(_text(MARGIN + 4, 12, up))
    return _svg(parts, PLOT_HEIGHT + 36)


def histogram(values: Sequence[int], bins: int = 30) -> str:
    """How often which number of days; sorted values."""
    if not values:
        return ""
    low, high = values[0], values[-1]
    step = max(1, -(-(high - low + 1) // bins))
    counts = [0] * ((high - low) // step + 1)
    for value in values:
        counts[(value - low) // step] += 1
    most, wide = max(counts), (WIDTH - 2 * MARGIN) / len(counts)
    parts = [_line(MARGIN, PLOT_HEIGHT, WIDTH - MARGIN, PLOT_HEIGHT, "#444", 1)]
    for place, count in enumerate(counts):
        tall = (PLOT_HEIGHT - 20) * count / most
        first = low + place * step
        title = f"{first} - {first + step - 1}: {count}"
        x = MARGIN + place * wide
        parts.append(_rect(x, PLOT_HEIGHT - tall, wide - 1, tall, SHADES[0], title))
    for place in range(0, len(counts), max(1, len(counts) // 8)):
        x = MARGIN + place * wide
        parts.append(_text(x, PLOT_HEIGHT + 15, str(low + place * step), "start"))
    parts.append(_text(MARGIN - 6, 24, str(most), "end"))
    return _svg(parts, PLOT_HEIGHT + 22)


def stacked_months(months: Mapping[str, Mapping[str, int]], others: str) -> str:
    """Counts by month, piled up by name; the rarest names together."""
    if not months:
        return ""
    totals: dict[str, int] = {}
    for found in months.values():
        for name, count in found.items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(totals, key=lambda name: (-totals[name], name))[: len(SHADES) - 1]
    most = max(sum(found.values()) for found in months.values())
    wide = (WIDTH - 2 * MARGIN) / len(months)
    parts = [_line(MARGIN, PLOT_HEIGHT, WIDTH - MARGIN, PLOT_HEIGHT, "#444", 1)]
    parts.append(_text(MARGIN - 6, 24, str(most), "end"))
    every = max(1, len(months) // 8)
    for place, (month, found) in enumerate(months.items()):
        x, y = MARGIN + place * wide, float(PLOT_HEIGHT)
        if place % every == 0:
            parts.append(_text(x, PLOT_HEIGHT + 15, month))
        rest = sum(count for name, count in found.items() if name not in names)
        piles = [*((name, found.get(name, 0)) for name in names), (others, rest)]
        for shade, (name, count) in zip(SHADES, piles, strict=False):
            tall = (PLOT_HEIGHT - 20) * count / most
            y -= tall
            if count:
                title = f"{month} {name}: {count}"
                parts.append(_rect(x, y, max(wide - 1, 0.5), tall, shade, title))
    told = [*names, *([others] if len(totals) > len(names) else [])]
    for place, name in enumerate(told):
        x = MARGIN + (place % 3) * (WIDTH - 2 * MARGIN) / 3
        y = PLOT_HEIGHT + 24 + (place // 3) * ROW_HEIGHT
        parts += _legend(x, y, SHADES[min(place, len(SHADES) - 1)], name)
    return _svg(parts, PLOT_HEIGHT + 30 + ROW_HEIGHT * -(-len(told) // 3))


def _axes() -> list[str]:
    """Axes of shares from 0 to 1 over whatever lies across."""
    return [
        _line(MARGIN, PLOT_HEIGHT, WIDTH - MARGIN, PLOT_HEIGHT, "#444", 1),
        _line(MARGIN, 0, MARGIN, PLOT_HEIGHT, "#444", 1),
        *(_text(MARGIN - 6, _up(tick) + 4, f"{tick:g}", "end") for tick in (0, 0.5, 1)),
    ]


def _up(share: float) -> float:
    """Where a share from 0 to 1 lies on the page."""
    return PLOT_HEIGHT - share * (PLOT_HEIGHT - 16)


def _path(
    points: Sequence[tuple[float, float]],
    fill: str = "none",
    stroke: str = "none",
    dashes: str = "none",
) -> str:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    kind = "polyline" if fill == "none" else "polygon"
    return (
        f'<{kind} points="{told}" fill="{fill}" fill-opacity="0.15" stroke="{stroke}" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _dot(x: float, y: float, radius: float, shade: str, title: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{shade}">'
        f"<title>{escape(title)}</title></circle>"
    )


def _legend(x: float, y: float, shade: str, name: str) -> list[str]:
    return [_rect(x, y, 12, 12, shade), _text(x + 18, y + 10, name)]


def _svg(parts: Sequence[str], height: float) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img" '
        f'font-size="12" font-family="sans-serif">{"".join(parts)}</svg>'
    )


def _rect(x: float, y: float, width: float, height: float, shade: str, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" '
        f'fill="{shade}">{inner}</rect>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, shade: str, width: int) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{shade}" '
        f'stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
