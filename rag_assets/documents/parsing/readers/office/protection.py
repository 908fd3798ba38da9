"""Old Office files that a password encrypts: their bytes would be read as letters, or as nothing."""

import io
import struct
from typing import Any

from rag_assets.errors import DocumentError

_ENCRYPTED_WORD = 0x0100
_ENCRYPTED_SLIDES = 0xF3D1C4DF
_FILE_PASS = 0x002F
# Of a workbook: the record is among the first.
_RECORDS = 5


def refuse_encrypted(data: bytes, kind: str) -> None:
    """Raises DocumentError for a .doc, .ppt or .xls that needs a password."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as file:
            encrypted = {"doc": _is_encrypted_word, "ppt": _are_encrypted_slides, "xls": _is_encrypted_book}[kind](file)
    except (OSError, struct.error, ValueError, IndexError):
        # A damaged file, of which the reader tells more.
        return
    if encrypted:
        raise DocumentError("it is protected by a password; store it without one, or exclude it")


def _is_encrypted_word(file: Any) -> bool:
    (flags,) = struct.unpack_from("<H", file.openstream("WordDocument").read(12), 10)
    return bool(flags & _ENCRYPTED_WORD)


def _are_encrypted_slides(file: Any) -> bool:
    (token,) = struct.unpack_from("<I", file.openstream("Current User").read(16), 12)
    return bool(token == _ENCRYPTED_SLIDES)


def _is_encrypted_book(file: Any) -> bool:
    stream = file.openstream("Workbook" if file.exists("Workbook") else "Book")
    for _ in range(_RECORDS):
        kind, length = struct.unpack("<HH", stream.read(4))
        if kind == _FILE_PASS:
            return True
        stream.seek(length, io.SEEK_CUR)
    return False
