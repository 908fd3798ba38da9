"""The canvas of all charts: a titled frame with two axes, as SVG."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

WIDTH, HEIGHT = 560, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 34, 40
_LETTER, _BOLD_LETTER = 6.3, 7.8

# Okabe and Ito's palette, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
OTHERS_COLOUR = "#999999"


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, labelled at `ticks` (value, label); None: at round numbers."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]] | None = None

    def labelled_ticks(self) -> Sequence[tuple[float, str]]:
        if self.ticks is not None:
            return self.ticks
        return [(value, f"{value:,.10g}") for value in round_numbers(self.low, self.high)]


class Canvas:
    """Draws in the units of its axes."""

    def __init__(self, title: str, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y
        self._svg = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {HEIGHT}",
                "width": str(WIDTH),
                "height": str(HEIGHT),
                "font-family": "sans-serif",
                "font-size": "11",
            },
        )
        # White paper: the UI also has a dark theme, and letters and lines are dark.
        self._paper = self._add("rect", width=WIDTH, height=HEIGHT, fill="#ffffff")
        self._title_width = len(title) * _BOLD_LETTER
        self._text(_LEFT, 18, title, **{"font-size": "13", "font-weight": "bold"})
        self._axes()

    def bar(self, left: float, right: float, low: float, high: float, colour: str = COLOURS[0]) -> None:
        x, y = self._at(left, high)
        across, down = self._at(right, low)
        self._add("rect", x=x, y=y, width=max(0.5, across - x - 0.5), height=max(0.0, down - y), fill=colour)

    def dot(self, x: float, y: float, colour: str = COLOURS[0], radius: float = 3) -> None:
        across, down = self._at(x, y)
        self._add("circle", cx=across, cy=down, r=radius, fill=colour, **{"fill-opacity": "0.75"})

    def line(self, points: Sequence[tuple[float, float]], colour: str = COLOURS[0]) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self._at(*point) for point in points))
        self._add("polyline", points=path, fill="none", stroke=colour, **{"stroke-width": "2"})

    def vertical_line(self, x: float, label: str, colour: str, row: int = 0) -> None:
        """A dashed line at a value of x, with its label beside it in the given row from the top."""
        across, _ = self._at(x, 0)
        self._dashed(across, _TOP, across, HEIGHT - _BOTTOM, colour)
        left = across > WIDTH / 2
        self._text(
            across + (-4 if left else 4),
            _TOP + 10 + 13 * row,
            label,
            fill=colour,
            **_text_anchor("end" if left else "start"),
        )

    def horizontal_line(self, y: float, label: str, colour: str) -> None:
        """A dashed line at a value of y, with its label above the right end."""
        _, down = self._at(0, y)
        self._dashed(_LEFT, down, WIDTH - _RIGHT, down, colour)
        self._text(WIDTH - _RIGHT - 2, down - 4, label, fill=colour, **_text_anchor("end"))

    def legend(self, colours: Mapping[str, str]) -> None:
        """Names with their colours, beside the title if they fit there, else in rows below the chart."""
        widths = {name: 24 + len(name) * _LETTER for name in colours}
        right = WIDTH - _RIGHT
        across, down = right - sum(widths.values()), 18
        if across < _LEFT + self._title_width:
            across, down = _LEFT, HEIGHT + 10
        for name, colour in colours.items():
            if across + widths[name] > right + 1:
                across, down = _LEFT, down + 18
            self._add("rect", x=across, y=down - 9, width=10, height=10, fill=colour)
            self._text(across + 13, down, name)
            across += widths[name]
        self._extend_to(down + 10)

    def svg(self) -> str:
        return ElementTree.tostring(self._svg, encoding="unicode")

    def _extend_to(self, height: int) -> None:
        if height > HEIGHT:
            self._paper.set("height", str(height))
            self._svg.set("height", str(height))
            self._svg.set("viewBox", f"0 0 {WIDTH} {height}")

    def _axes(self) -> None:
        bottom = HEIGHT - _BOTTOM
        for value, label in self._y.labelled_ticks():
            _, down = self._at(self._x.low, value)
            self._add("line", x1=_LEFT, y1=down, x2=WIDTH - _RIGHT, y2=down, stroke="#e5e5e5")
            self._text(_LEFT - 6, down + 4, label, **_text_anchor("end"))
        self._add("line", x1=_LEFT, y1=bottom, x2=WIDTH - _RIGHT, y2=bottom, stroke="#666666")
        for value, label in self._x.labelled_ticks():
            across, _ = self._at(value, self._y.low)
            self._text(across, bottom + 15, label, **_text_anchor("middle"))
        self._text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, self._x.label, fill="#444444", **_text_anchor("middle"))
        middle = (_TOP + bottom) / 2
        rotated = {"transform": f"rotate(-90 12 {middle})"} | _text_anchor("middle")
        self._text(12, middle, self._y.label, fill="#444444", **rotated)

    def _dashed(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, **{"stroke-dasharray": "4 3"})

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self._x.low) / ((self._x.high - self._x.low) or 1)
        up = (y - self._y.low) / ((self._y.high - self._y.low) or 1)
        bottom = HEIGHT - _BOTTOM
        return _LEFT + across * (WIDTH - _RIGHT - _LEFT), bottom - up * (bottom - _TOP)

    def _text(self, x: float, y: float, text: str, **attributes: str) -> None:
        self._add("text", x=x, y=y, **attributes).text = text

    def _add(self, tag: str, **attributes: float | str) -> ElementTree.Element:
        values = {name: value if isinstance(value, str) else f"{value:.1f}" for name, value in attributes.items()}
        return ElementTree.SubElement(self._svg, tag, values)


def image(svg: str, alt: str) -> str:
    """The chart as a Markdown image with a data URL."""
    alt_text = "".join(letter for letter in alt if letter not in "[]\n")
    return f"![{alt_text}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers between the two, in steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _text_anchor(where: str) -> dict[str, str]:
    return {"text-anchor": where}
