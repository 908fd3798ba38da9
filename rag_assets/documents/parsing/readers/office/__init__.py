"""Bring the text of an Office file that xberg leaves out, or gives twice, into the parts that it reads."""

import struct
import zipfile
import zlib
from typing import Final

from rag_assets.documents.parsing.readers.office.archive import Archive
from rag_assets.documents.parsing.readers.office.open_document import complete_text
from rag_assets.documents.parsing.readers.office.open_slides import complete_presentation
from rag_assets.documents.parsing.readers.office.package import PackageParts
from rag_assets.documents.parsing.readers.office.rich_text import complete_rtf
from rag_assets.documents.parsing.readers.office.slides import complete_slides
from rag_assets.documents.parsing.readers.office.word import complete_word

# xberg refuses a larger package (a zip bomb) with its own words.
_MAX_PART_BYTES: Final = 64 * 1024 * 1024
_REWRITES: Final = {
    "docx": complete_word,
    "pptx": complete_slides,
    "odt": complete_text,
    "odp": complete_presentation,
}


def complete_document(data: bytes, kind: str, archive: Archive | None = None) -> bytes:
    """The package of a document with its notes and comments in place; the same bytes where there are none.

    `archive` is that of the data, where it was opened before.
    """
    if kind == "rtf":
        return complete_rtf(data)
    rewrite = _REWRITES.get(kind)
    if rewrite is None:
        return data
    try:
        archive = archive or Archive(data)
        if archive.largest_bytes > _MAX_PART_BYTES:
            return data
        changed = rewrite(PackageParts(archive))
        parts = {name: text.encode() if isinstance(text, str) else text for name, text in changed.items()}
        return archive.copy(parts) if parts else data
    except (zipfile.BadZipFile, zlib.error, struct.error, UnicodeDecodeError, RuntimeError, OSError, ValueError):
        return data  # xberg says what is wrong with it.
