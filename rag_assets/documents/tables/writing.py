"""Rows of a table as text: lines of `name: value` pairs, or a Markdown table."""

import re
from collections.abc import Iterable, Iterator, Sequence

# The line above the rows of a table that is not Markdown: `Columns: Country | 2021 | 2022`.
COLUMNS_MARK = "Columns: "
NAME_SEPARATOR = " | "
FIELD_SEPARATOR = "; "
_MAX_NAME_CHARS = 200
_UNESCAPED_SEPARATOR = re.compile(r"(?<!\\) \| ")


def unique_names(cells: Sequence[str]) -> list[str]:
    """The cells of a header row as names: one line each, and `name (2)` for the second column of a name.

    Empty cells at the end are left out.
    """
    names: list[str] = []
    seen: set[str] = set()
    for cell in cells:
        name = one_line(cell)[:_MAX_NAME_CHARS].rstrip()
        number, plain = 2, name
        while name and name in seen:
            name, number = f"{plain} ({number})", number + 1
        seen.add(name)
        names.append(name)
    while names and not names[-1]:
        names.pop()
    return names


def one_line(cell: str) -> str:
    return " ".join(cell.split())


def format_names(names: Iterable[str]) -> str:
    return NAME_SEPARATOR.join(name.replace("|", "\\|") for name in names)


def parse_names(line: str) -> tuple[str, ...]:
    """The names that `format_names` joined."""
    return tuple(name.strip().replace("\\|", "|") for name in _UNESCAPED_SEPARATOR.split(line))


def columns_line(names: Sequence[str]) -> str:
    return f"{COLUMNS_MARK}{format_names(names)}\n\n"


def pair_lines(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A line for each row that is not empty, without its empty cells; values alone where there are no names."""
    labels = [f"{name}: " if name else "" for name in names]
    named = len(labels)
    for row in rows:
        if len(row) > named:
            labels += [""] * (len(row) - len(labels))
        pairs = [
            label + " ".join(cell.split())
            for label, cell in zip(labels, row, strict=False)
            if cell and not cell.isspace()
        ]
        if pairs:
            yield FIELD_SEPARATOR.join(pairs)


def markdown_rows(names: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """The lines of a Markdown table of cells of one line; its first row is empty where there are no names."""
    yield _markdown_row(names or [""], width)
    yield "|" + " --- |" * width
    for row in rows:
        if row:
            yield _markdown_row(row, width)


def _markdown_row(cells: Sequence[str], width: int) -> str:
    text = " | ".join(cells)
    if text.count("|") >= len(cells):
        text = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {text}{' | ' * (width - len(cells))} |"
