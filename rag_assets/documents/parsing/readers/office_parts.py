"""Bring the text of a Word or PowerPoint file that xberg leaves out, or gives twice, into the parts that it reads."""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from posixpath import dirname, join, normpath
from typing import Final

# xberg refuses a larger package (a zip bomb) with its own words.
_MAX_PART_BYTES: Final = 64 * 1024 * 1024
_RELATION: Final = re.compile(r"<Relationship\s[^>]*>")
_ATTRIBUTE: Final = re.compile(r"([\w:]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_WORD_TEXT: Final = re.compile(r"<w:t(?:\s[^>]*)?>([^<]*)</w:t>|<w:(?:tab|br|cr)\b[^>]*/>|(</w:p>)")
_SLIDE_TEXT: Final = re.compile(r"<a:t(?:\s[^>]*)?>([^<]*)</a:t>|<a:br\b[^>]*/?>|(</a:p>)|<p:text>([^<]*)</p:text>")
# Revisions and moves: what was deleted, or stands elsewhere now.
_GONE: Final = re.compile(r"<w:(moveFrom|del)(?:\s[^>]*)?(?<!/)>.*?</w:\1>", re.DOTALL)
_DELETED_ROW: Final = re.compile(r"<w:trPr(?:\s[^>]*)?>(?:(?!</w:trPr>).)*?<w:del\b", re.DOTALL)
_ROW_TAG: Final = re.compile(r"<w:tr(?:\s[^>]*)?>|</w:tr>")
_REFERENCE: Final = re.compile(
    r"<w:(footnote|endnote|comment)Reference\b[^>]*?\sw:id=[\"'](-?\d+)[\"'][^>]*/>|<w:p(?:\s[^>]*)?(?<!/)>|</w:p>"
)
_NOTE: Final = re.compile(r"<w:(footnote|endnote|comment)\s([^>]*)>(.*?)</w:\1>", re.DOTALL)
_NO_NOTE: Final = re.compile(r"w:type=[\"'](?:separator|continuation)")
_NOTE_PARTS: Final = ("footnotes", "endnotes", "comments")
_SHAPE: Final = re.compile(r"<p:sp>.*?</p:sp>", re.DOTALL)
_NO_NOTES_SHAPE: Final = re.compile(r"<p:ph\b[^>]*\stype=[\"'](?:sldImg|sldNum|hdr|ftr|dt)[\"']")
_PAGE_WORDS: Final = re.compile(r"\b(?:page|of|seite|von|p)\b|[\W\d_]", re.IGNORECASE)
_SLIDE_LABELS: Final = {"notesSlide": "Notes", "comments": "Comment", "comment": "Comment", "diagramData": ""}


def complete_document(data: bytes, kind: str) -> bytes:
    """The package of a .docx or .pptx with its notes and comments in place; the same bytes where there are none."""
    rewrite = {"docx": _complete_docx, "pptx": _complete_pptx}.get(kind)
    if rewrite is None:
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            if any(info.file_size > _MAX_PART_BYTES for info in package.infolist()):
                return data
            changed = rewrite(_Parts(package))
            return _write(package, changed) if changed else data
    except (zipfile.BadZipFile, UnicodeDecodeError, RuntimeError, NotImplementedError, OSError, EOFError, ValueError):
        return data  # xberg says what is wrong with it.


class _Parts:
    def __init__(self, package: zipfile.ZipFile) -> None:
        self._package = package
        self.names = package.namelist()

    def text(self, name: str) -> str:
        return self._package.read(name).decode() if name in self.names else ""

    def related(self, name: str) -> "Iterator[tuple[str, str]]":
        """The kind and the name of each part that a part refers to."""
        folder = dirname(name)
        for match in _RELATION.finditer(self.text(join(folder, "_rels", f"{name.rpartition('/')[2]}.rels"))):
            found = {key: double or single for key, double, single in _ATTRIBUTE.findall(match[0])}
            target = found.get("Target", "")
            if found.get("TargetMode") != "External" and target:
                path = target.removeprefix("/") if target.startswith("/") else normpath(join(folder, target))
                yield found.get("Type", "").rpartition("/")[2], path


def _write(package: zipfile.ZipFile, changed: dict[str, str | None]) -> bytes:
    """A package with changed parts, and without those that are None or only pictures."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as target:
        for name in package.namelist():
            new = changed.get(name, "")
            if new is not None:
                target.writestr(name, new or package.read(name))
    return written.getvalue()


def _complete_docx(parts: _Parts) -> dict[str, str | None]:
    main = next((path for kind, path in parts.related("") if kind == "officeDocument"), "word/document.xml")
    before = document = parts.text(main)
    if 'xmlns:w="' not in document[:8000]:
        return {}
    document = _GONE.sub("", document) if "<w:moveFrom" in document or "<w:del" in document else document
    if _DELETED_ROW.search(document):
        document = _without_deleted_rows(document)
    related = list(dict.fromkeys(parts.related(main)))
    sources = {path: parts.text(path) for kind, path in related if kind in _NOTE_PARTS}
    notes = {(match[1], _id(match[2])): match for text in sources.values() for match in _NOTE.finditer(text)}
    document = _insert_notes(document, {key: _note_text(match) for key, match in notes.items()})
    for kind, place in (("header", _after_body_start), ("footer", _before_body_end)):
        texts = dict.fromkeys(_word_text(parts.text(path)) for found, path in related if found == kind)
        for text in texts:
            if _PAGE_WORDS.sub("", text):
                document = place(document, text)
    if document == before:
        return {}
    return {main: document} | dict.fromkeys(sources)


def _insert_notes(document: str, notes: dict[tuple[str, str], str]) -> str:
    """The document with each note as a paragraph below the one that refers to it."""
    if not notes:
        return document
    left = dict(notes)
    pieces: list[str] = []
    waiting: list[str] = []
    at = depth = 0
    for match in _REFERENCE.finditer(document):
        if match[1]:
            pieces.append(document[at : match.start()])
            at = match.end()
            waiting.append(left.pop((match[1], match[2]), ""))
            continue
        depth += -1 if match[0] == "</w:p>" else 1
        if depth <= 0 and waiting:
            pieces += [document[at : match.end()], *map(_word_paragraph, filter(None, waiting))]
            at = match.end()
            waiting = []
    document = "".join([*pieces, document[at:]])
    for text in filter(None, left.values()):
        document = _before_body_end(document, text)
    return document


def _note_text(match: re.Match[str]) -> str:
    text = "" if _NO_NOTE.search(match[2]) else _word_text(match[3])
    author = next((double or single for key, double, single in _ATTRIBUTE.findall(match[2]) if key == "w:author"), "")
    label = match[1].capitalize() + (f" ({author})" if author else "")
    return f"{label}: {text}" if text else ""


def _id(attributes: str) -> str:
    return next((double or single for key, double, single in _ATTRIBUTE.findall(attributes) if key == "w:id"), "")


def _without_deleted_rows(document: str) -> str:
    opened: list[tuple[int, bool]] = []
    gone: list[tuple[int, int]] = []
    for match in _ROW_TAG.finditer(document):
        if match[0] != "</w:tr>":
            properties = re.compile(r"\s*<w:trPr(?:\s[^>]*)?>(?:(?!</w:trPr>).)*?<w:del\b", re.DOTALL)
            opened.append((match.start(), properties.match(document, match.end()) is not None))
        elif opened:
            start, is_deleted = opened.pop()
            if is_deleted:
                gone = [span for span in gone if span[0] < start]
                gone.append((start, match.end()))
    for start, end in reversed(gone):
        document = document[:start] + document[end:]
    return document


def _word_text(xml: str) -> str:
    return _join_text(_WORD_TEXT.finditer(_GONE.sub("", xml)), lambda match: match[1], 2)


def _join_text(found: Iterable[re.Match[str]], text: Callable[[re.Match[str]], str | None], paragraph: int) -> str:
    """The text in XML, still escaped: what is text, and a space for anything else."""
    parts = (" " if match[paragraph] or text(match) is None else text(match) or "" for match in found)
    return " ".join("".join(parts).split())


def _word_paragraph(text: str) -> str:
    return f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def _after_body_start(document: str, text: str) -> str:
    return re.sub(r"<w:body(?:\s[^>]*)?>", lambda match: match[0] + _word_paragraph(text), document, count=1)


def _before_body_end(document: str, text: str) -> str:
    end = document.rfind("</w:body>")
    section = re.compile(r"<w:sectPr\b(?:(?!<w:sectPr\b).)*?(?:</w:sectPr>|/>)\s*\Z", re.DOTALL)
    tail = section.search(document, max(0, end - 20_000), end) if end > 0 else None
    at = tail.start() if tail else end
    return document[:at] + _word_paragraph(text) + document[at:] if at > 0 else document


def _complete_pptx(parts: _Parts) -> dict[str, str | None]:
    changed: dict[str, str | None] = {}
    for name in parts.names:
        if not re.fullmatch(r"ppt/slides/[^/]+\.xml", name):
            continue
        shapes: list[str] = []
        for kind, path in parts.related(name):
            if kind in _SLIDE_LABELS:
                xml = parts.text(path)
                text = _notes_text(xml) if kind == "notesSlide" else _slide_text(xml)
                if text:
                    label = _SLIDE_LABELS[kind]
                    shapes.append(_shape(f"{label}: {text}" if label else text, len(shapes)))
        slide = parts.text(name) if shapes else ""
        at = slide.rfind("</p:spTree>")
        if at > 0:
            changed[name] = slide[:at] + "".join(shapes) + slide[at:]
    return changed


def _notes_text(xml: str) -> str:
    """The text of a slide's notes, without the slide's picture, number, date, header and footer."""
    shapes = (match[0] for match in _SHAPE.finditer(xml) if not _NO_NOTES_SHAPE.search(match[0]))
    return " ".join(filter(None, map(_slide_text, shapes)))


def _slide_text(xml: str) -> str:
    xml = re.sub(r"<a:fld\b[^>]*\stype=\"slidenum\".*?</a:fld>", "", xml, flags=re.DOTALL)
    return _join_text(_SLIDE_TEXT.finditer(xml), lambda match: match[1] or match[3], 2)


def _shape(text: str, index: int) -> str:
    """A text box below all others of a slide."""
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{90_000 + index}" name="Notes"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr>'
        f'<p:spPr><a:xfrm><a:off x="0" y="{900_000_000 + index}"/><a:ext cx="1" cy="1"/></a:xfrm></p:spPr>'
        f"<p:txBody><a:bodyPr/><a:lstStyle/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )
