"""PowerPoint: the notes, comments, diagrams and merged cells of slides."""

import re
from typing import Final

from rag_assets.documents.parsing.readers.office.merged_cells import fill_merged_cells
from rag_assets.documents.parsing.readers.office.package import PackageParts, join_text

_SLIDE_TEXT: Final = re.compile(r"<a:t(?:\s[^>]*)?>([^<]*)</a:t>|<a:br\b[^>]*/?>|(</a:p>)|<p:text>([^<]*)</p:text>")
_SHAPE: Final = re.compile(r"<p:sp>.*?</p:sp>", re.DOTALL)
_NO_NOTES_SHAPE: Final = re.compile(r"<p:ph\b[^>]*\stype=[\"'](?:sldImg|sldNum|hdr|ftr|dt)[\"']")
_SLIDE_PART: Final = re.compile(r"ppt/slides/[^/]+\.xml")
_SLIDE_NUMBER: Final = re.compile(r"<a:fld\b[^>]*\stype=\"slidenum\".*?</a:fld>", re.DOTALL)
_BESIDE_SLIDES: Final = re.compile(r"ppt/(?:notesSlides|comments|diagrams)/")
_SLIDE_LABELS: Final = {"notesSlide": "Notes", "comments": "Comment", "comment": "Comment", "diagramData": ""}


def complete_slides(parts: PackageParts) -> dict[str, str | bytes | None]:
    changed: dict[str, str | bytes | None] = {}
    has_others = any(map(_BESIDE_SLIDES.match, parts.names))
    for name in filter(_SLIDE_PART.fullmatch, parts.names):
        if not has_others and b"vMerge=" not in parts.content(name):
            continue
        shapes: list[str] = []
        for kind, path in parts.related(name):
            if kind in _SLIDE_LABELS:
                xml = parts.text(path)
                text = _notes_text(xml) if kind == "notesSlide" else _slide_text(xml)
                if text:
                    label = _SLIDE_LABELS[kind]
                    shapes.append(_shape(f"{label}: {text}" if label else text, len(shapes)))
        before = parts.text(name)
        slide = fill_merged_cells(before, "a")
        at = slide.rfind("</p:spTree>")
        if shapes and at > 0:
            slide = slide[:at] + "".join(shapes) + slide[at:]
        if slide != before:
            changed[name] = slide
    return changed


def _notes_text(xml: str) -> str:
    """The text of a slide's notes, without the slide's picture, number, date, header and footer."""
    shapes = (match[0] for match in _SHAPE.finditer(xml) if not _NO_NOTES_SHAPE.search(match[0]))
    return " ".join(filter(None, map(_slide_text, shapes)))


def _slide_text(xml: str) -> str:
    return join_text(_SLIDE_TEXT.finditer(_SLIDE_NUMBER.sub("", xml)), lambda match: match[1] or match[3], 2)


def _shape(text: str, index: int) -> str:
    """A text box below all others of a slide."""
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{90_000 + index}" name="Notes"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr>'
        f'<p:spPr><a:xfrm><a:off x="0" y="{900_000_000 + index}"/><a:ext cx="1" cy="1"/></a:xfrm></p:spPr>'
        f"<p:txBody><a:bodyPr/><a:lstStyle/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )
