"""Cells of Word and PowerPoint tables that span several rows: their text stands in the first of them only."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rag_assets.documents.parsing.readers.office.package import join_text

_MAX_CHARS: Final = 200
_WORD_SPAN: Final = re.compile(r"<w:gridSpan\b[^>]*?\sw:val=[\"'](\d{1,3})[\"']")
_WORD_MERGE: Final = re.compile(r"<w:vMerge\b([^>]*)>")
_GOES_ON: Final = re.compile(r"<w:vMerge(?:\s+w:val=[\"']continue[\"'])?\s*/>")
_TAGS: Final = {prefix: re.compile(rf"<(/?){prefix}:(tbl|tr|tc)\b([^>]*)(?<!/)>") for prefix in ("w", "a")}
_TEXTS: Final = {
    prefix: re.compile(rf"<{prefix}:t(?:\s[^>]*)?>([^<]*)</{prefix}:t>|<{prefix}:(?:tab|br)\b[^>]*/>|(</{prefix}:p>)")
    for prefix in ("w", "a")
}


@dataclass(slots=True)
class _Table:
    """A table that is being read: the texts that go on in the rows below, by column, and where the cell began."""

    texts: dict[int, str] = field(default_factory=dict)
    column: int = 0
    cell_start: int = 0
    attributes: str = ""


def fill_merged_cells(xml: str, prefix: str) -> str:
    """The part with the text of each merged cell in all rows that it spans; `prefix` is `w` in Word, `a` in slides."""
    if ("<w:vMerge" if prefix == "w" else "vMerge=") not in xml:
        return xml
    parts, reached = [], 0
    for at, text in _missing_texts(xml, prefix):
        paragraph = f"<{prefix}:p><{prefix}:r><{prefix}:t>{text}</{prefix}:t></{prefix}:r></{prefix}:p>"
        parts += [xml[reached:at], paragraph]
        reached = at
    filled = "".join([*parts, xml[reached:]])
    # xberg leaves out what is in such a cell.
    return _GOES_ON.sub("", filled) if prefix == "w" else filled


def _missing_texts(xml: str, prefix: str) -> Iterator[tuple[int, str]]:
    """Where a text is missing, and the text, still escaped."""
    tables: list[_Table] = []
    for tag in _TAGS[prefix].finditer(xml):
        closes, kind = bool(tag[1]), tag[2]
        if kind == "tbl":
            if not closes:
                tables.append(_Table())
            elif tables:
                tables.pop()
        elif not tables:
            continue
        elif kind == "tr":
            tables[-1].column = 0
        elif not closes:
            tables[-1].cell_start, tables[-1].attributes = tag.end(), tag[3]
        else:
            table, cell = tables[-1], xml[tables[-1].cell_start : tag.start()]
            columns, begins, goes_on = _merge(cell, table.attributes, prefix)
            text = join_text(_TEXTS[prefix].finditer(cell), lambda match: match[1], 2)
            if goes_on and not text and table.column in table.texts:
                at = tag.start() if prefix == "w" else xml.rfind("</a:txBody>", table.cell_start, tag.start())
                if at >= 0:
                    yield at, table.texts[table.column]
            elif begins and "&" not in text[_MAX_CHARS - 10 : _MAX_CHARS]:
                table.texts[table.column] = text[:_MAX_CHARS]
            else:
                table.texts.pop(table.column, None)
            table.column += columns


def _merge(cell: str, attributes: str, prefix: str) -> tuple[int, bool, bool]:
    """The columns that a cell takes, and whether a merge over several rows begins or goes on in it."""
    if prefix == "a":
        # The cells that a wide one covers are there, too.
        return 1, "rowSpan=" in attributes, "vMerge=" in attributes
    properties = cell[: cell.find("</w:tcPr>")] if "</w:tcPr>" in cell else ""
    merge, span = _WORD_MERGE.search(properties), _WORD_SPAN.search(properties)
    begins = merge is not None and "restart" in merge[1]
    return int(span[1]) if span else 1, begins, merge is not None and not begins
