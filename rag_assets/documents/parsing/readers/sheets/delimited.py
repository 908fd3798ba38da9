"""CSV and TSV: a line for each row, which says what it holds wherever the text is split."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from rag_assets.documents.tables.header_row import SAMPLE_ROWS, find_header
from rag_assets.documents.tables.writing import columns_line, one_line, pair_lines, unique_names

_DELIMITERS = ",;\t|"
_SAMPLE_CHARS = 64 * 1024
_SAMPLE_RECORDS = 50


def read_csv(text: str) -> tuple[str, dict[str, Any]]:
    """Each row as a line of `column: value` pairs below a line that names the columns; values alone without a header.

    Rows above the table, such as a title, stay as lines. A single column, and what is no table, stays as it is.
    """
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    declared, body = _declared_delimiter(text)
    try:
        delimiter = declared or _delimiter(body)
        rows = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
        sample = list(islice(rows, SAMPLE_ROWS))
        header = find_header(sample)
        if max(map(len, sample), default=0) < 2:
            return text, {}
        names = unique_names(sample[header.first]) if header.found else []
        table = chain(sample[header.first + header.found :], rows)
        lines = list(pair_lines(names, table))
    except csv.Error:
        return text, {}
    preamble = "".join(f"{line}\n" for line in _preamble(sample[: header.first]))
    head = columns_line(names) if names else ""
    metadata: dict[str, Any] = {"row_count": len(lines)} | ({"columns": names} if names else {})
    return (f"{preamble}\n" if preamble else "") + head + "\n".join(lines) + "\n", metadata


def _declared_delimiter(text: str) -> tuple[str | None, str]:
    """The delimiter of Excel's first line `sep=;`, and the text below it."""
    head, _, body = text.partition("\n")
    declared = head.strip("\ufeff\r \"'")
    if declared.lower().startswith("sep=") and len(declared) == 5:
        return declared[4], body
    # A tab is stripped from the line.
    return ("\t", body) if declared.lower() == "sep=" and "\t" in head else (None, text)


def _preamble(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        if filled := [one_line(cell) for cell in row if cell.strip()]:
            yield " ".join(filled)


def _delimiter(text: str) -> str:
    """The separator that divides the first records most evenly. csv.Sniffer can guess a letter."""
    sample = text[:_SAMPLE_CHARS]

    def evenness(delimiter: str) -> tuple[int, int]:
        records = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        counts = [len(row) for row in islice(records, _SAMPLE_RECORDS) if row]
        common = max(set(counts), key=lambda count: (count > 1, counts.count(count)), default=0)
        return (counts.count(common) if common > 1 else 0, common)

    try:
        return max(_DELIMITERS, key=evenness)
    except csv.Error:
        return ","
