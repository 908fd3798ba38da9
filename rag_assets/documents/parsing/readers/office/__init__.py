"""Bring the text of an Office file that xberg leaves out, or gives twice, into the parts that it reads."""

import io
import zipfile
from typing import Final

from rag_assets.documents.parsing.readers.office.open_document import complete_presentation, complete_text
from rag_assets.documents.parsing.readers.office.package import PackageParts, write_package
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


def complete_document(data: bytes, kind: str) -> bytes:
    """The package of a document with its notes and comments in place; the same bytes where there are none."""
    rewrite = _REWRITES.get(kind)
    if rewrite is None:
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            if any(info.file_size > _MAX_PART_BYTES for info in package.infolist()):
                return data
            changed = rewrite(PackageParts(package))
            return write_package(package, changed) if changed else data
    except (zipfile.BadZipFile, UnicodeDecodeError, RuntimeError, NotImplementedError, OSError, EOFError, ValueError):
        return data  # xberg says what is wrong with it.
