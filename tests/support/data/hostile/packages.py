"""ZIP packages, from parts or as a fixture with other parts."""

# ruff: noqa: E501
# Lines of markup, as they stand in such files.

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.paths import FILES

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
ODF = "urn:oasis:names:tc:opendocument:xmlns"


def package(parts: Mapping[str, str | bytes], level: int = 6) -> bytes:
    """A ZIP file; a part named `mimetype` is stored, as OpenDocument and EPUB want it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as target:
        for name, content in parts.items():
            target.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else None)
    return written.getvalue()


def parts_of(file: Path | io.BytesIO) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as source:
        return {part: source.read(part) for part in source.namelist()}


def changed(name: str, parts: Mapping[str, str | bytes]) -> bytes:
    """A fixture with these parts in place of its own, or beside them."""
    return package(parts_of(FILES / name) | dict(parts))


def docx(body: str, doctype: str = "", **relations: str) -> bytes:
    """The Word fixture with another body; `relations` are addresses of external parts, by id."""
    document = (
        f'<?xml version="1.0"?>{doctype}<w:document xmlns:w="{WORD}" xmlns:r="{RELATIONS}">'
        f"<w:body>{body}</w:body></w:document>"
    )
    parts: dict[str, str] = {"word/document.xml": document}
    if relations:
        parts["word/_rels/document.xml.rels"] = relationships(**relations)
    return changed("harbour.docx", parts)


def relationships(kind: str = "image", **targets: str) -> str:
    """A part with external relations; the kind of each is the start of its id, before `_`, if it has one."""
    found = "".join(
        f'<Relationship Id="{id_}" Type="{RELATIONS}/{id_.split("_")[0] if "_" in id_ else kind}" '
        f'Target="{target}" TargetMode="External"/>'
        for id_, target in targets.items()
    )
    return f'<?xml version="1.0"?><Relationships xmlns="{PACKAGE}">{found}</Relationships>'


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def open_document(kind: str, body: str, doctype: str = "") -> bytes:
    """A text (odt), a presentation (odp) or a spreadsheet (ods)."""
    name = {"odt": "text", "odp": "presentation", "ods": "spreadsheet"}[kind]
    spaces = " ".join(
        f'xmlns:{space}="{ODF}:{space}:1.0"' for space in ("office", "text", "table", "drawing", "presentation")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<office:document-content {spaces} xmlns:draw="{ODF}:drawing:1.0" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.2"><office:body><office:{name}>{body}'
        f"</office:{name}></office:body></office:document-content>"
    )
    manifest = (
        f'<manifest:manifest xmlns:manifest="{ODF}:manifest:1.0"><manifest:file-entry manifest:full-path="/" '
        f'manifest:media-type="application/vnd.oasis.opendocument.{name}"/></manifest:manifest>'
    )
    return package(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{name}",
            "META-INF/manifest.xml": manifest,
            "content.xml": content,
        }
    )


def epub(chapter: str, doctype: str = "") -> bytes:
    page = f'<?xml version="1.0"?>{doctype}<html xmlns="http://www.w3.org/1999/xhtml"><body>{chapter}</body></html>'
    return changed("harbour.epub", {"EPUB/text/ch001.xhtml": page})
