"""CSV and TSV: a line for each row, which says what it holds wherever the text is split."""

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

from rag_assets.documents.tables.header_row import SAMPLE_ROWS, find_header, group_names
from rag_assets.documents.tables.writing import columns_line, one_line, pair_lines, unique_names

_Quoting = Literal[0, 3]
_DELIMITERS = ",;\t|"
_SAMPLE_CHARS = 64 * 1024
_SAMPLE_RECORDS = 50


def read_csv(text: str) -> tuple[str, dict[str, Any]]:
    """Each row as a line of `column: value` pairs below a line that names the columns; values alone without a header.

    Rows above a table, such as a title, stay as lines, and an empty row may begin another table. A single column, and
    what is no table, stays as it is.
    """
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    declared, body = _declared_delimiter(text)
    # In a well-formed file, quotes come in pairs; a lone one, such as an inch, would swallow all that follows.
    quoting: _Quoting = csv.QUOTE_NONE if body.count('"') % 2 else csv.QUOTE_MINIMAL
    try:
        delimiter = declared or _delimiter(body, quoting)
        rows = _Rows(
            csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, quoting=quoting, skipinitialspace=True)
        )
        sample = list(islice(rows, SAMPLE_ROWS))
        if max(map(len, sample), default=0) < 2:
            return text, {}
        rows.push_back(sample)
        parts: list[str] = []
        metadata: dict[str, Any] = {"row_count": 0}
        for table_parts, names, row_count in _tables(rows):
            parts += table_parts
            metadata["row_count"] += row_count
            if names:
                metadata.setdefault("columns", names)
    except csv.Error:
        return text, {}
    return "\n\n".join(parts) + "\n", metadata


class _Rows:
    """The rows of a file, of which some can be put back."""

    def __init__(self, rows: Iterator[list[str]]) -> None:
        self._rows = rows
        self._put_back: deque[list[str]] = deque()

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        return self._put_back.popleft() if self._put_back else next(self._rows)

    def push_back(self, rows: Sequence[list[str]]) -> None:
        self._put_back.extendleft(reversed(rows))


def _tables(rows: _Rows) -> Iterator[tuple[list[str], list[str], int]]:
    """The parts of the text of each table, the names of its columns, and the number of its rows."""
    while sample := list(_sample(rows)):
        header = find_header(sample)
        names = unique_names(sample[header.first]) if header.found else []
        first = header.first
        if header.found and first and (grouped := group_names(sample[first - 1], sample[first])):
            names, first = grouped, first - 1
        rows.push_back(sample[header.first + header.found :])
        lines = list(pair_lines(names, _until_next_header(rows)))
        preamble = "\n".join(_preamble(sample[:first]))
        parts = [preamble, columns_line(names).rstrip("\n") if names else "", "\n".join(lines)]
        yield [part for part in parts if part], names, len(lines)


def _sample(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    """The first rows of a table, with lines above it; an empty row ends it."""
    wide = 0
    for row in islice(rows, SAMPLE_ROWS):
        yield row
        filled = sum(map(bool, row))
        wide += filled > 1
        if not filled and wide >= 2:
            return


def _until_next_header(rows: _Rows) -> Iterator[list[str]]:
    """The rows up to an empty one above another header."""
    for row in rows:
        if any(row):
            yield row
            continue
        following = list(_sample(rows))
        rows.push_back(following)
        header = find_header(following)
        if header.found and header.first <= 1:
            return


def _declared_delimiter(text: str) -> tuple[str | None, str]:
    """The delimiter of Excel's first line `sep=;`, and the text below it."""
    head, _, body = text.partition("\n")
    declared = head.strip("\ufeff\r \"'")
    if declared.lower().startswith("sep=") and len(declared) == 5:
        return declared[4], body
    return None, text


def _preamble(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        if filled := [one_line(cell) for cell in row if cell.strip()]:
            yield " ".join(filled)


def _delimiter(text: str, quoting: _Quoting) -> str:
    """The separator that divides the first records most evenly. csv.Sniffer can guess a letter."""
    sample = text[:_SAMPLE_CHARS]

    def evenness(delimiter: str) -> tuple[int, int]:
        records = csv.reader(
            io.StringIO(sample, newline=""), delimiter=delimiter, quoting=quoting, skipinitialspace=True
        )
        counts = [len(row) for row in islice(records, _SAMPLE_RECORDS) if row]
        common = max(set(counts), key=lambda count: (count > 1, counts.count(count)), default=0)
        return (counts.count(common) if common > 1 else 0, common)

    try:
        return max(_DELIMITERS, key=evenness)
    except csv.Error:
        return ","
