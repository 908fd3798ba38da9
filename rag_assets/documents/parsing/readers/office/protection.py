"""Files of offices and books that are encrypted, or declare entities: they would be read as nonsense, or as nothing."""

import io
import re
import struct
import zipfile
import zlib
from typing import Any

from rag_assets.documents.parsing.readers.office.archive import Archive
from rag_assets.errors import DocumentError

_ENCRYPTED_WORD = 0x0100
_ENCRYPTED_SLIDES = 0xF3D1C4DF
_FILE_PASS = 0x002F
# Of a workbook: the record is among the first.
_RECORDS = 5
_LOCKED = "it is protected by a password; store it without one, or exclude it"
# A declaration stands before the first element.
_HEAD_BYTES = 4096
_FIRST_BYTES = 256
_ROOT = re.compile(rb"<[A-Za-z_]")
_MANIFEST_BYTES = 1 << 20
_ENCRYPTED_PAGE = re.compile(rb"CipherReference[^>]*URI\s*=\s*[\"'][^\"']*\.x?html?[\"']", re.IGNORECASE)


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
        raise DocumentError(_LOCKED)


def refuse_package(data: bytes, kind: str) -> Archive | None:
    """Raises DocumentError for a package that is encrypted, or whose XML declares entities.

    No program writes entities into Office files. They may be a bomb, and readers leave out the text that has them.
    Returns the opened archive, or None for a damaged one, of which the reader tells more.
    """
    try:
        archive = Archive(data)
        if archive.is_encrypted:
            raise DocumentError(_LOCKED)
        if b"encryption-data" in _read_head(archive, "META-INF/manifest.xml", _MANIFEST_BYTES):
            raise DocumentError(_LOCKED)
        if _ENCRYPTED_PAGE.search(_read_head(archive, "META-INF/encryption.xml", _MANIFEST_BYTES)):
            raise DocumentError("its pages are encrypted by its seller (DRM); exclude it")
        if kind != "epub" and (part := _part_with_entities(archive)) is not None:
            raise DocumentError(
                f"its part {part} declares entities, as files that unpack without end do; save it again with its "
                "program, or exclude it"
            )
        return archive
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, struct.error, zlib.error):
        return None


def _part_with_entities(archive: Archive) -> str | None:
    parts = (name for name in archive.read_names() if name.endswith((".xml", ".rels")))
    return next((name for name in parts if _declares_entities(archive, name)), None)


def _declares_entities(archive: Archive, name: str) -> bool:
    head = archive.read(name, _FIRST_BYTES)
    # Most parts begin with their root element, behind which nothing can be declared.
    root = _ROOT.search(head)
    if root is None or b"<!" in head[: root.start()]:
        # In UTF-16, every second byte is NUL.
        head = archive.read(name, _HEAD_BYTES).replace(b"\0", b"")
    return b"<!ENTITY" in head


def _read_head(archive: Archive, name: str, size: int) -> bytes:
    return archive.read(name, size) if name in archive else b""


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
