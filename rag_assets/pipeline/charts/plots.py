"""The kinds of charts that checks and assets show, each as a Markdown image."""

from collections.abc import Mapping, Sequence

from rag_assets.pipeline.charts.canvas import COLOURS, OTHERS_COLOUR, Axis, Canvas, image

_FEWEST_BINS, _MOST_BINS = 5, 40
_LIMIT_COLOUR = COLOURS[5]


def histogram(
    title: str, x_label: str, bins: Sequence[tuple[float, float, int]], *, limits: Mapping[str, float] | None = None
) -> str:
    """Bars of (from, to, count), and dashed lines at `limits`, which the axis includes."""
    lines = limits or {}
    low = min((start for start, _, _ in bins), default=0.0)
    high = max([*(end for _, end, _ in bins), *lines.values(), low + 1e-9])
    most = max((count for _, _, count in bins), default=0)
    canvas = Canvas(
        title, Axis(x_label, min([low, *lines.values()]), high * 1.02), Axis("number", 0, max(1, most) * 1.1)
    )
    for start, end, count in bins:
        canvas.bar(start, end, 0, count)
    for row, (label, value) in enumerate(lines.items()):
        canvas.vertical_line(value, label, _LIMIT_COLOUR if row == 0 else COLOURS[2], row)
    return image(canvas.svg(), title)


def binned(values: Sequence[float]) -> list[tuple[float, float, int]]:
    """(from, to, count) of equally wide bins, about as many as the square root of the number of values."""
    if not values:
        return []
    low, high = min(values), max(values)
    number = 1 if low == high else max(_FEWEST_BINS, min(_MOST_BINS, round(len(values) ** 0.5)))
    width = (high - low) / number or 1.0
    counts = [0] * number
    for value in values:
        counts[min(number - 1, int((value - low) / width))] += 1
    return [(low + width * place, low + width * (place + 1), count) for place, count in enumerate(counts)]


def curve(
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    limit: tuple[str, float] | None = None,
) -> str:
    """Lines with a dot at each point, and a dashed line at a `limit` (label, y)."""
    points = [point for line in lines.values() for point in line]
    heights = [y for _, y in points] + ([limit[1]] if limit else [])
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    margin = (high - low) * 0.08 or 0.01
    canvas = Canvas(
        title,
        Axis(x_label, 0, max((x for x, _ in points), default=1.0) * 1.05),
        Axis(y_label, low - margin, high + margin),
    )
    colours = dict(zip(lines, _colours(len(lines)), strict=True))
    for name, line in lines.items():
        canvas.line(line, colours[name])
        for x, y in line:
            canvas.dot(x, y, colours[name])
    if limit:
        canvas.horizontal_line(limit[1], limit[0], _LIMIT_COLOUR)
    canvas.legend(colours)
    return image(canvas.svg(), title)


def bars(title: str, y_label: str, groups: Mapping[str, Mapping[str, int]]) -> str:
    """A stacked bar for each group: {group: {part: count}}."""
    names = list(dict.fromkeys(part for parts in groups.values() for part in parts))
    colours = dict(zip(names, _colours(len(names)), strict=True))
    most = max((sum(parts.values()) for parts in groups.values()), default=0)
    ticks = [(place + 0.5, name[:10]) for place, name in enumerate(groups)]
    canvas = Canvas(title, Axis("", 0, max(1, len(groups)), ticks), Axis(y_label, 0, max(1, most) * 1.1))
    for place, parts in enumerate(groups.values()):
        bottom = 0
        for name, count in parts.items():
            canvas.bar(place + 0.15, place + 0.85, bottom, bottom + count, colours[name])
            bottom += count
    canvas.legend(colours)
    return image(canvas.svg(), title)


def scatter(title: str, groups: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Dots, a colour for each group; with more groups than colours, the smallest share grey."""
    order = sorted(groups, key=lambda name: -len(groups[name]))
    colours = dict(zip(order, _colours(len(order)), strict=True))
    points = [point for group in groups.values() for point in group]
    x, y = ([point[side] for point in points] or [0.0] for side in (0, 1))
    canvas = Canvas(title, _axis_with_margin(x), _axis_with_margin(y))
    for name in order:
        for point in groups[name]:
            canvas.dot(*point, colours[name], 2)
    named = {name[:60]: colour for name, colour in colours.items() if colour != OTHERS_COLOUR}
    canvas.legend(named | ({"others": OTHERS_COLOUR} if len(named) < len(colours) else {}))
    return image(canvas.svg(), title)


def _axis_with_margin(values: Sequence[float]) -> Axis:
    """An axis on which no dot lies on the frame."""
    margin = (max(values) - min(values)) * 0.03
    return Axis("", min(values) - margin, max(values) + margin, ())


def _colours(number: int) -> Sequence[str]:
    return [*COLOURS[: min(number, len(COLOURS))], *[OTHERS_COLOUR] * (number - len(COLOURS))]
