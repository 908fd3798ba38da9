"""The tables in the text of a document: the names of their columns, and where their rows and fields are."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from rag_assets.documents.tables.header_row import is_header
from rag_assets.documents.tables.writing import COLUMNS_MARK, FIELD_SEPARATOR, parse_names

# Spreadsheets: their chunks have a header even where the names are in the text too, so that a client can rely on it.
DATA_TYPES = frozenset({"csv", "xlsx", "xls", "ods"})
# In these, a first row with words is a header: somebody wrote it, or our readers have looked. In others, a converter
# has taken any first row for one.
HEADED_TYPES = frozenset({"markdown", "notebook", "html", *DATA_TYPES})

_RULE = re.compile(r"^[ \t]*[|:-][|: \t-]*$", re.MULTILINE)
_RULE_CELL = re.compile(r":?-+:?")
_PIPE = re.compile(r"(?<!\\)\|")
_EMPHASIS = re.compile(r"\*\*|__|`|<br\s*/?>", re.IGNORECASE)
_LINE = re.compile(r"[^\n]+")
_SAMPLE_ROWS = 20
_MAX_KEY_CHARS = 60

# Where a field of a row begins, and the number of its column.
Field: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TableBlock:
    """One table at content[char_start:char_end]. `names` are empty where no row names the columns.

    A row is a line: `| value | value |` if `piped`, else `name: value; name: value` or, without names, `value; value`.
    """

    char_start: int
    names: tuple[str, ...]
    piped: bool
    row_starts: "array[int]" = field(default_factory=lambda: array("q"))
    row_ends: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def char_end(self) -> int:
        return self.row_ends[-1]

    def row_at(self, at: int) -> int:
        """The row in which this character is, or -1: a row begins at its start and ends before its line's end."""
        row = bisect_right(self.row_starts, at) - 1
        return row if row >= 0 and at < self.row_ends[row] else -1

    def fields(self, content: str, row: int) -> list[Field]:
        """The fields of the row, in order."""
        start, end = self.row_starts[row], self.row_ends[row]
        if not self.piped:
            return list(self._named_fields(content, start, end))
        first = content[start:end].lstrip()[:1] == "|"
        bars = [match.start() for match in _PIPE.finditer(content, start, end)]
        if bars and not content[bars[-1] + 1 : end].strip():
            bars.pop()
        starts = bars if first else [start, *bars]
        return [(at, column) for column, at in enumerate(starts)]

    def key(self, content: str, row: int, fields: Sequence[Field]) -> str:
        """What identifies the row to a reader: its first value that is not empty, with the name of its column."""
        for index, (start, column) in enumerate(fields):
            end = fields[index + 1][0] if index + 1 < len(fields) else self.row_ends[row]
            value = content[start:end].strip()
            value = _unescape(value.strip("|")) if self.piped else value.removesuffix(FIELD_SEPARATOR.strip())
            if value:
                name = self.names[column] if self.piped and column < len(self.names) else ""
                key = f"{name}: {value}" if name else value
                return key if len(key) <= _MAX_KEY_CHARS else key[: _MAX_KEY_CHARS - 1].rstrip() + "…"
        return ""

    def _named_fields(self, content: str, start: int, end: int) -> Iterator[Field]:
        columns = {name: column for column, name in enumerate(self.names) if name}
        longest = max(map(len, columns), default=0)
        last, at = -1, start
        while at >= 0:
            if not columns:
                last += 1
                yield at, last
            elif (column := self._column_of(content, at, min(end, at + longest + 2), columns)) > last or at == start:
                last = max(last, column)
                yield at, max(last, 0)
            found = content.find(FIELD_SEPARATOR, at, end)
            at = found + len(FIELD_SEPARATOR) if found >= 0 else -1

    @staticmethod
    def _column_of(content: str, at: int, end: int, columns: dict[str, int]) -> int:
        """The column of the pair that begins here, or -1 where no name does: values may hold separators too."""
        colon = content.find(": ", at, end)
        # A name may hold a colon itself.
        for _ in range(3):
            if colon < 0:
                break
            if (column := columns.get(content[at:colon])) is not None:
                return column
            colon = content.find(": ", colon + 1, end)
        return -1


class TableIndex:
    """The tables of one text, in order."""

    def __init__(self, blocks: Sequence[TableBlock] = (), *, always_headed: bool = False) -> None:
        self.blocks = blocks
        self._always_headed = always_headed
        self._starts = [block.char_start for block in blocks]

    def __bool__(self) -> bool:
        return bool(self.blocks)

    def holding(self, at: int) -> TableBlock | None:
        """The table among whose rows this character is; its header row does not count."""
        index = bisect_right(self._starts, at) - 1
        block = self.blocks[index] if index >= 0 else None
        return block if block is not None and block.row_starts[0] <= at < block.char_end else None

    def in_head(self, at: int, most_chars: int) -> bool:
        """Whether splitting here would part a header of at most so many characters from the first row of its table."""
        index = bisect_right(self._starts, at - 1) - 1
        block = self.blocks[index] if index >= 0 else None
        return block is not None and at <= block.row_starts[0] <= block.char_start + most_chars

    def heading(self, start: int, end: int | None = None) -> TableBlock | None:
        """The table whose names stand beside a chunk that begins at `start` (and ends at `end`).

        It is the one in which the chunk begins. In spreadsheets it is also the first one that begins within the chunk.
        """
        block = self.holding(start)
        if block is None and self._always_headed:
            index = bisect_right(self._starts, start)
            if index and start < self.blocks[index - 1].char_end:
                index -= 1
            block = self.blocks[index] if index < len(self.blocks) else None
            if block is not None and end is not None and block.char_start >= end:
                return None
        return block

    def row_end(self, at: int) -> int | None:
        """Where the row ends inside of which, not at whose start, this character is; None outside of rows."""
        block = self.holding(at)
        row = block.row_at(at) if block is not None else -1
        return block.row_ends[row] if block is not None and row >= 0 and at > block.row_starts[row] else None


def find_tables(content: str, file_type: str, *, piped: bool) -> list[TableBlock]:
    """The tables of a text; `piped` if it is Markdown, whose tables are made of `|`."""
    blocks = list(_piped_tables(content, file_type)) if piped else []
    if file_type in DATA_TYPES:
        blocks += _listed_tables(content)
        blocks.sort(key=lambda block: block.char_start)
    if file_type == "csv" and not blocks and content.strip():
        blocks.append(_nameless_table(content))
    return blocks


def split_cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table, without markup."""
    stripped = line.strip()
    stripped = stripped.removeprefix("|")
    cells = _PIPE.split(stripped)
    if len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return [_unescape(cell) for cell in cells]


def _unescape(cell: str) -> str:
    return " ".join(_EMPHASIS.sub(" " if "<" in cell else "", cell.replace("\\|", "|")).split())


def _piped_tables(content: str, file_type: str) -> Iterator[TableBlock]:
    reached = 0
    for match in _RULE.finditer(content):
        rule = match[0]
        if match.start() <= reached or "|" not in rule or "-" not in rule:
            continue
        head_start = content.rfind("\n", 0, match.start() - 1) + 1
        names = split_cells(content[head_start : match.start() - 1])
        marks = split_cells(rule)
        if head_start < reached or len(marks) != len(names) or not all(map(_RULE_CELL.fullmatch, marks)):
            continue
        block = TableBlock(head_start, (), piped=True)
        at = match.end() + 1
        while at < len(content):
            end = content.find("\n", at)
            end = len(content) if end < 0 else end
            if not _PIPE.search(content, at, end):
                break
            block.row_starts.append(at)
            block.row_ends.append(end)
            at = end + 1
        reached = at - 1
        if not block.row_starts:
            continue
        header_rows = 0
        if file_type == "html" or file_type not in HEADED_TYPES:
            places = zip(block.row_starts[:_SAMPLE_ROWS], block.row_ends[:_SAMPLE_ROWS], strict=True)
            rows = [split_cells(content[start:end]) for start, end in places]
            names, header_rows = _converted_header(names, rows, headed=file_type in HEADED_TYPES)
        yield TableBlock(
            head_start,
            tuple(names) if any(names) else (),
            True,
            block.row_starts[header_rows:],
            block.row_ends[header_rows:],
        )


def _converted_header(names: list[str], rows: list[list[str]], *, headed: bool) -> tuple[list[str], int]:
    """The names of the columns, and how many rows below the first belong to the header.

    A converter gives the header of two rows as one row and a row of the table; the cells of the first that span
    several columns are followed by empty ones.
    """
    filled = sum(map(bool, names))
    below = rows[0] if rows else []
    spans = any(before and not name for before, name in pairwise(names))
    if spans and len(rows) > 1 and is_header(below, rows[1:]):
        group, combined = "", []
        for index, name in enumerate(names):
            group = name or group
            leaf = below[index] if index < len(below) else ""
            combined.append(" ".join(dict.fromkeys(filter(None, (group if filled > 1 else "", leaf)))))
        return combined, 1
    return (names if headed or is_header(names, rows) else []), 0


def _listed_tables(content: str) -> Iterator[TableBlock]:
    """Tables of lines: a line that names the columns, an empty line, and a line for each row up to an empty one."""
    at = 0
    while (start := _find_columns_line(content, at)) >= 0:
        head_end = content.find("\n", start)
        block = TableBlock(start, parse_names(content[start + len(COLUMNS_MARK) : head_end]), piped=False)
        at = head_end + 2
        while at < len(content) and content[at] != "\n":
            end = content.find("\n", at)
            end = len(content) if end < 0 else end
            block.row_starts.append(at)
            block.row_ends.append(end)
            at = end + 1
        if block.row_starts:
            yield block


def _nameless_table(content: str) -> TableBlock:
    block = TableBlock(0, (), piped=False)
    for match in _LINE.finditer(content):
        block.row_starts.append(match.start())
        block.row_ends.append(match.end())
    return block


def _find_columns_line(content: str, at: int) -> int:
    while (found := content.find(COLUMNS_MARK, at)) >= 0:
        end = content.find("\n", found)
        begins_line = found == 0 or content[found - 1] == "\n"
        if begins_line and end >= 0 and content[end : end + 2] == "\n\n":
            return found
        at = found + 1
    return -1
