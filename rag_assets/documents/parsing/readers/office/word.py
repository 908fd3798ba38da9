"""Word: deleted and moved text, merged cells, notes, comments, headers and footers."""

import re
from typing import Final

from rag_assets.documents.parsing.readers.office.merged_cells import fill_merged_cells
from rag_assets.documents.parsing.readers.office.package import PackageParts, attribute, join_text

_WORD_TEXT: Final = re.compile(r"<w:t(?:\s[^>]*)?>([^<]*)</w:t>|<w:(?:tab|br|cr)\b[^>]*/>|(</w:p>)")
# Revisions and moves: what was deleted, or stands elsewhere now.
_GONE: Final = re.compile(r"<w:(moveFrom|del)(?:\s[^>]*)?(?<!/)>.*?</w:\1>", re.DOTALL)
_DELETED_ROW: Final = re.compile(r"<w:trPr(?:\s[^>]*)?>(?:(?!</w:trPr>).)*?<w:del\b", re.DOTALL)
_ROW_TAG: Final = re.compile(r"<w:tr(?:\s[^>]*)?>|</w:tr>")
_REFERENCE: Final = re.compile(r"<w:(footnote|endnote|comment)Reference\b[^>]*?\sw:id=[\"'](-?\d+)[\"'][^>]*/>")
_PARAGRAPH_TAG: Final = re.compile(r"<w:p(?:\s[^>]*)?(?<!/)>|</w:p>")
_NOTE: Final = re.compile(r"<w:(footnote|endnote|comment)\s([^>]*)>(.*?)</w:\1>", re.DOTALL)
_NO_NOTE: Final = re.compile(r"w:type=[\"'](?:separator|continuation)")
_NOTE_PARTS: Final = ("footnotes", "endnotes", "comments")
_PAGE_WORDS: Final = re.compile(r"\b(?:page|of|seite|von|p)\b|[\W\d_]", re.IGNORECASE)


def complete_word(parts: PackageParts) -> dict[str, str | bytes | None]:
    main = next((path for kind, path in parts.related("") if kind == "officeDocument"), "word/document.xml")
    before = document = parts.text(main)
    if 'xmlns:w="' not in document[:8000]:
        return {}
    document = _GONE.sub("", document) if "<w:moveFrom" in document or "<w:del" in document else document
    if _DELETED_ROW.search(document):
        document = _without_deleted_rows(document)
    document = fill_merged_cells(document, "w")
    related = list(dict.fromkeys(parts.related(main)))
    sources = {path: parts.text(path) for kind, path in related if kind in _NOTE_PARTS}
    notes = {
        (match[1], attribute(match[2], "w:id")): match for text in sources.values() for match in _NOTE.finditer(text)
    }
    # Each file of Word has notes for the lines above notes, which have no text.
    document = _insert_notes(document, {key: text for key, match in notes.items() if (text := _note_text(match))})
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
    inserted: dict[int, list[str]] = {}
    references = list(_REFERENCE.finditer(document))
    for match in references:
        if text := left.pop((match[1], match[2]), ""):
            inserted.setdefault(_paragraph_end(document, match.end()), []).append(_word_paragraph(text))
    edits = [(match.start(), match.end(), "") for match in references]
    edits += [(end, end, "".join(paragraphs)) for end, paragraphs in inserted.items()]
    pieces: list[str] = []
    at = 0
    for start, end, text in sorted(edits):
        pieces += [document[at:start], text]
        at = end
    document = "".join([*pieces, document[at:]])
    for text in left.values():
        document = _before_body_end(document, text)
    return document


def _paragraph_end(document: str, at: int) -> int:
    """Where the paragraph around a place ends."""
    depth = 1
    for match in _PARAGRAPH_TAG.finditer(document, at):
        depth += -1 if match[0] == "</w:p>" else 1
        if depth == 0:
            return match.end()
    return at


def _note_text(match: re.Match[str]) -> str:
    text = "" if _NO_NOTE.search(match[2]) else _word_text(match[3])
    author = attribute(match[2], "w:author")
    label = match[1].capitalize() + (f" ({author})" if author else "")
    return f"{label}: {text}" if text else ""


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
    return join_text(_WORD_TEXT.finditer(_GONE.sub("", xml)), lambda match: match[1], 2)


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
