"""Workbooks (XLSX, ODS, XLS) as Markdown, by our own readers; where these do not understand a file, by xberg."""

import io
from contextlib import suppress
from dataclasses import replace
from typing import Any
from zipfile import ZipFile

from rag_assets.documents.parsing.parse_report import ConvertedDocument
from rag_assets.documents.parsing.readers.sheets.ods import read_ods
from rag_assets.documents.parsing.readers.sheets.sheet_text import Sheet, sheet_text
from rag_assets.documents.parsing.readers.sheets.xls import read_xls
from rag_assets.documents.parsing.readers.sheets.xlsx import read_xlsx
from rag_assets.documents.parsing.readers.xberg import read_document
from rag_assets.errors import DocumentError

_DAMAGED = "it breaks the rules of its format, so sheets may be missing; save it again with its program"
WORKBOOK_TYPES = frozenset({"xlsx", "ods", "xls"})


def read_workbook(data: bytes, kind: str) -> ConvertedDocument:
    """The sheets that have a value, each below a heading with its name. Raises DocumentError."""
    try:
        title, sheets, metadata = _read(data, kind)
        texts = [text for sheet in sheets if (text := sheet_text(sheet))]
    except (DocumentError, MemoryError):
        raise
    except Exception:
        # Damaged, or of a kind that is not known here: xberg reads it, or says why it cannot be read.
        found = read_document(data, kind)
        return replace(found, report=replace(found.report, notes=(*found.report.notes, _DAMAGED)))
    if not texts:
        # Perhaps the values are in parts that only xberg knows.
        with suppress(DocumentError):
            return read_document(data, kind)
    return ConvertedDocument(title, "\n".join(texts), metadata)


def _read(data: bytes, kind: str) -> tuple[str | None, list[Sheet], dict[str, Any]]:
    if kind == "xls":
        return read_xls(data)
    with ZipFile(io.BytesIO(data)) as archive:
        return read_xlsx(archive) if kind == "xlsx" else read_ods(archive)
