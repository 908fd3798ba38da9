"""The tables of reStructuredText, Org and AsciiDoc, whose rows may take several lines."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

from rag_assets.documents.tables.blocks import TableBlock, split_cells
from rag_assets.documents.tables.header_row import is_header

_LINE = re.compile(r"[^\n]+")
_SAMPLE_ROWS = 20

_ORG_TABLE = re.compile(r"(?:^[ \t]*\|[^\n]*(?:\n|\Z))+", re.MULTILINE)
_ORG_RULE = re.compile(r"[ \t]*\|-[-+|]*[ \t]*")

_GRID_TABLE = re.compile(r"^([ \t]*)\+(?:-+\+)+[ \t]*\n(?:\1[|+][^\n]*(?:\n|\Z))+", re.MULTILINE)
_GRID_BORDER = re.compile(r"[ \t]*\+[-=+|]+\+?[ \t]*")
_SIMPLE_RULE = re.compile(r"^[ \t]*=+(?:[ \t]+=+)+[ \t]*$", re.MULTILINE)
_COLUMN = re.compile(r"=+")
_LIST_TABLE = re.compile(r"^([ \t]*)\.\. list-table::[^\n]*\n((?:\1[ \t]+[^\n]*\n?|[ \t]*\n)+)", re.MULTILINE)
_HEADER_ROWS = re.compile(r":header-rows:[ \t]*([1-9])")
_LIST_ROW = re.compile(r"^[ \t]*\*[ \t]+-[ \t]*", re.MULTILINE)
_LIST_CELL = re.compile(r"^[ \t]*(?:\*[ \t]+)?-[ \t]*", re.MULTILINE)

_ADOC_TABLE = re.compile(
    r"^(?P<options>\[[^\n]*\]\n)?(?:\.\S[^\n]*\n(?P<later>\[[^\n]*\]\n)?)?\|===[ \t]*\n(?P<rows>.*?)^\|===[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_ADOC_CELL = re.compile(r"(?:(?<=\s)|^)(?:[\d.]+[+*])?[<^>.]{0,3}[aehlmsdv]?(?<!\\)\|", re.MULTILINE)
_ADOC_COLUMNS = re.compile(r"cols=(?:\"([^\"]*)\"|'([^']*)'|([^,\]]*))")
_ADOC_REPEAT = re.compile(r"(\d+)\*")


def find_markup_tables(content: str, file_type: str) -> Iterator[TableBlock]:
    """The tables in a text of these languages, in order; none in others."""
    if file_type == "org":
        yield from _org_tables(content)
    elif file_type == "asciidoc":
        yield from _asciidoc_tables(content)
    elif file_type == "rst":
        found = [*_grid_tables(content), *_simple_tables(content), *_list_tables(content)]
        found.sort(key=lambda block: block.char_start)
        reached = 0
        for block in found:
            # One table may stand in a cell of another.
            if block.char_start >= reached:
                reached = block.char_end
                yield block


def _org_tables(content: str) -> Iterator[TableBlock]:
    for table in _ORG_TABLE.finditer(content):
        lines = _lines(content, table.start(), table.end())
        rules = [bool(_ORG_RULE.fullmatch(content, *line)) for line in lines]
        rows = [line for line, is_rule in zip(lines, rules, strict=True) if not is_rule]
        ruled = [index for index, is_rule in enumerate(rules) if is_rule and any(not rule for rule in rules[:index])]
        # A rule after the last row ends a table; only one that rows follow stands below a header.
        head = sum(not rule for rule in rules[: ruled[0]]) if ruled else 0
        yield from _block(content, rows, head if head < len(rows) else 0)


def _grid_tables(content: str) -> Iterator[TableBlock]:
    for table in _GRID_TABLE.finditer(content):
        rows: list[tuple[int, int]] = []
        head = 0
        for line in _lines(content, table.start(), table.end()):
            if not _GRID_BORDER.fullmatch(content, *line):
                # A cell may go on in the next line: each line is taken for a row.
                rows.append(line)
            elif "=" in content[slice(*line)]:
                head = len(rows)
        yield from _block(content, rows, head)


def _simple_tables(content: str) -> Iterator[TableBlock]:
    rules = list(_SIMPLE_RULE.finditer(content))
    at = 0
    while at + 1 < len(rules):
        top, after = rules[at], rules[at + 1]
        bottom = rules[at + 2] if at + 2 < len(rules) and rules[at + 2][0].strip() == top[0].strip() else None
        headed = bottom is not None and "\n\n" not in content[top.end() : after.start()].strip("\n")
        end = bottom if headed and bottom is not None else after
        at += 3 if headed else 2
        first = after if headed else top
        rows = _lines(content, first.end(), end.start())
        if not rows:
            continue
        line_start = content.rfind("\n", 0, top.start() + 1) + 1
        spans = [match.start() for match in _COLUMN.finditer(content, top.start(), top.end())]
        edges = [place - line_start for place in spans]
        names: list[str] = []
        if headed:
            lines = [content[start:stop] for start, stop in _lines(content, top.end(), after.start())]
            cells = [_cut(line, edges) for line in lines if not set(line) <= set(" -\t")]
            names = [" ".join(filter(None, column)) for column in zip(*cells, strict=True)]
        yield _make(top.start(), names, rows, piped=False)


def _list_tables(content: str) -> Iterator[TableBlock]:
    for table in _LIST_TABLE.finditer(content):
        body, end = table.start(2), table.start() + len(table[0].rstrip())
        starts = [match.start() for match in _LIST_ROW.finditer(content, body, end)]
        rows = [(start, len(content[:after].rstrip())) for start, after in pairwise([*starts, end])]
        head = int(found[1]) if (found := _HEADER_ROWS.search(table[2])) else 0
        if 0 < head < len(rows):
            cells = _LIST_CELL.split(content[rows[head - 1][0] : rows[head - 1][1]])[1:]
            yield _make(rows[0][0], [" ".join(cell.split()) for cell in cells], rows[head:], piped=False)


def _asciidoc_tables(content: str) -> Iterator[TableBlock]:
    for table in _ADOC_TABLE.finditer(content):
        options = (table["options"] or "") + (table["later"] or "")
        start, end = table.span("rows")
        cells = [match.start() for match in _ADOC_CELL.finditer(content, start, end)]
        if not cells:
            continue
        lines = _lines(content, start, end)
        in_first = sum(cell < lines[0][1] for cell in cells)
        columns = _count_columns(options) or in_first
        places = [cells[index] for index in range(0, len(cells), columns)]
        rows = [(at, at + len(content[at:after].rstrip())) for at, after in pairwise([*places, end])]
        # Without the option, a first row on one line with an empty line below it, not above, is the header.
        implicit = in_first == columns and start == lines[0][0] and content[lines[0][1] : lines[0][1] + 2] == "\n\n"
        headed = "header" in options or (implicit and "noheader" not in options)
        yield from _block(content, rows, int(headed and "noheader" not in options))


def _count_columns(options: str) -> int:
    found = _ADOC_COLUMNS.search(options)
    if not found:
        return 0
    parts = (found[1] or found[2] or found[3] or "").replace(";", ",").split(",")
    return sum(int(repeat[1]) if (repeat := _ADOC_REPEAT.match(part.strip())) else 1 for part in parts)


def _block(content: str, rows: Sequence[tuple[int, int]], head: int) -> Iterator[TableBlock]:
    """The table of these rows, of which the first `head` name the columns; without a mark, the rows speak for it."""
    if len(rows) <= head:
        return
    cells = [split_cells(content[start:end].replace("\n", " ")) for start, end in rows[: head + _SAMPLE_ROWS]]
    if not head and is_header(cells[0], cells[1:]):
        head = 1
    columns = zip_longest(*cells[:head], fillvalue="")
    names = [" ".join(dict.fromkeys(filter(None, column))) for column in columns]
    yield _make(rows[0][0], names, rows[head:], piped=True)


def _cut(line: str, edges: Sequence[int]) -> list[str]:
    return [line[start:end].strip() for start, end in pairwise([*edges, len(line) + edges[-1]])]


def _make(start: int, names: Sequence[str], rows: Sequence[tuple[int, int]], *, piped: bool) -> TableBlock:
    block = TableBlock(start, tuple(names) if any(names) else (), piped)
    for first, end in rows:
        block.row_starts.append(first)
        block.row_ends.append(end)
    return block


def _lines(content: str, start: int, end: int) -> list[tuple[int, int]]:
    return [match.span() for match in _LINE.finditer(content, start, end) if match[0].strip()]
