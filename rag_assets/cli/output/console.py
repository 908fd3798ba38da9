"""What all output of commands shares: the console, JSON, and the format of numbers."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from rag_assets.errors import escape_controls, escape_line

# Of a text that is printed in a line.
PREVIEW_CHARS = 240


class SafeConsole(Console):
    """A console on which no text of a document, name or title can act: control characters are shown as escapes."""

    def render_str(self, text: str, **options: Any) -> Text:
        # Before it is measured, so that tables have room for the escapes.
        return super().render_str(escape_controls(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(escape_controls(text), style)


# Soft wrap: lines that are piped into another program keep their length.
out = SafeConsole(highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def print_line(text: str = "") -> None:
    out.print(text, markup=False)


def print_error(text: str) -> None:
    """A line on stderr, which leaves stdout to results."""
    sys.stderr.write(escape_line(text) + "\n")


def on_one_line(name: str) -> str:
    """A name of a file, heading or project, which may hold anything, with its line breaks and tabs as escapes."""
    return name.translate({9: "\\t", 10: "\\n"})


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """A bold title, and a line for each name and value."""
    out.print(title, markup=False, style="bold")
    rows = list(facts)
    width = max(len(name) for name, _ in rows) + 2
    for name, value in rows:
        print_line(f"{name:<{width}}{value}")


def new_table(*headers: Column | str, title: str | None = None) -> Table:
    return Table(
        *headers,
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun: 1 document, 2,000 documents."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:,.0f} min"


def shorten(text: str, limit: int) -> str:
    """The text on one line, cut off at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
