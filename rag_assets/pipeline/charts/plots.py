"""The kinds of charts that the checks and assets show; each gives a picture as Markdown."""

from collections.abc import Mapping, Sequence

from rag_assets.pipeline.charts.canvas import COLOURS, REST, Axis, Canvas, image

_FEWEST_BINS, _MOST_BINS = 5, 40
_LIMIT = COLOURS[5]


def histogram(
    title: str, x_label: str, bins: Sequence[tuple[float, float, int]], *, limits: Mapping[str, float] | None = None
) -> str:
    """Bars of (from, to, count), and dashed lines at `limits`, which the axis reaches."""
    marked = limits or {}
    low = min((start for start, _, _ in bins), default=0.0)
    high = max([*(end for _, end, _ in bins), *marked.values(), low + 1e-9])
    most = max((count for _, _, count in bins), default=0)
    canvas = Canvas(
        title, Axis(x_label, min([low, *marked.values()]), high * 1.02), Axis("number", 0, max(1, most) * 1.1)
    )
    for start, end, count in bins:
        canvas.bar(start, end, 0, count)
    for row, (label, value) in enumerate(marked.items()):
        canvas.upright(value, label, _LIMIT if row == 0 else COLOURS[2], row)
    return image(canvas.svg(), title)


def binned(values: Sequence[float]) -> list[tuple[float, float, int]]:
    """Values counted in bins of one width, about as many as the square root of their number."""
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
    level: tuple[str, float] | None = None,
) -> str:
    """Lines with a dot at each point, and a dashed one at a `level` of y."""
    points = [point for line in lines.values() for point in line]
    heights = [y for _, y in points] + ([level[1]] if level else [])
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    room = (high - low) * 0.08 or 0.01
    canvas = Canvas(
        title,
        Axis(x_label, 0, max((x for x, _ in points), default=1.0) * 1.05),
        Axis(y_label, low - room, high + room),
    )
    colours = dict(zip(lines, _colours(len(lines)), strict=True))
    for name, line in lines.items():
        canvas.line(line, colours[name])
        for x, y in line:
            canvas.dot(x, y, colours[name])
    if level:
        canvas.level(level[1], level[0], _LIMIT)
    canvas.legend(colours)
    return image(canvas.svg(), title)


def bars(title: str, y_label: str, groups: Mapping[str, Mapping[str, int]]) -> str:
    """A bar for each group, of its parts one on the other: {group: {part: count}}."""
    names = list(dict.fromkeys(part for parts in groups.values() for part in parts))
    colours = dict(zip(names, _colours(len(names)), strict=True))
    most = max((sum(parts.values()) for parts in groups.values()), default=0)
    ticks = [(place + 0.5, name[:10]) for place, name in enumerate(groups)]
    canvas = Canvas(title, Axis("", 0, max(1, len(groups)), ticks), Axis(y_label, 0, max(1, most) * 1.1))
    for place, parts in enumerate(groups.values()):
        done = 0
        for name, count in parts.items():
            canvas.bar(place + 0.15, place + 0.85, done, done + count, colours[name])
            done += count
    canvas.legend(colours)
    return image(canvas.svg(), title)


def scatter(title: str, groups: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Dots, a colour for each group; where there are more groups than colours, the smallest share one."""
    order = sorted(groups, key=lambda name: -len(groups[name]))
    colours = dict(zip(order, _colours(len(order)), strict=True))
    points = [point for group in groups.values() for point in group]
    x, y = ([point[side] for point in points] or [0.0] for side in (0, 1))
    canvas = Canvas(title, _with_room(x), _with_room(y))
    for name in order:
        for point in groups[name]:
            canvas.dot(*point, colours[name], 2)
    named = {name[:60]: colour for name, colour in colours.items() if colour != REST}
    canvas.legend(named | ({"others": REST} if len(named) < len(colours) else {}))
    return image(canvas.svg(), title)


def _with_room(values: Sequence[float]) -> Axis:
    """So that no dot lies on the frame."""
    room = (max(values) - min(values)) * 0.03
    return Axis("", min(values) - room, max(values) + room, ())


def _colours(number: int) -> Sequence[str]:
    return [*COLOURS[: min(number, len(COLOURS))], *[REST] * (number - len(COLOURS))]
