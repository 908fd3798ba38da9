"""The parts of an Office package (a ZIP archive of XML), read within limits."""

from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from rag_assets.documents.parsing.readers.xberg import is_filled_in
from rag_assets.errors import DocumentError

# A worksheet with a million rows has some 500 MB of XML.
MAX_PART_BYTES = 1 << 30
_METADATA = {
    "subject": "subject",
    "language": "language",
    "keywords": "keywords",
    "keyword": "keywords",
    "created": "created_at",
    "creation-date": "created_at",
    "modified": "modified_at",
    "date": "modified_at",
    "creator": "author",
    "initial-creator": "author",
}


def read_part(archive: ZipFile, path: str) -> bytes:
    size = archive.getinfo(path).file_size
    if size > MAX_PART_BYTES:
        raise DocumentError(f"its part {path} unpacks to {size >> 20:,} MB, the limit is {MAX_PART_BYTES >> 20:,} MB")
    return archive.read(path)


def parse_part(archive: ZipFile, path: str) -> Element:
    # expat limits how far entities expand, and reads nothing from outside.
    return ElementTree.fromstring(read_part(archive, path))  # noqa: S314


def office_metadata(archive: ZipFile, path: str) -> tuple[str | None, dict[str, Any]]:
    """Title, author, dates and keywords, from docProps/core.xml or from OpenDocument's meta.xml."""
    if path not in archive.namelist():
        return None, {}
    title, metadata = None, dict[str, Any]()
    for one in parse_part(archive, path).iter():
        name = str(one.tag).rpartition("}")[2]
        value = (one.text or "").strip()
        if not is_filled_in(value):
            continue
        if name == "title":
            title = value
        elif name in _METADATA:
            metadata.setdefault(_METADATA[name], value)
    return title, metadata
