"""OpenDocument presentations: the titles, notes, shapes, charts and tables of slides."""

import re
from typing import Final

from rag_assets.documents.parsing.readers.office.open_tables import fill_covered_cells, has_uneven_rows
from rag_assets.documents.parsing.readers.office.open_xml import SPACES, has_shapes, open_text, shapes_to_boxes
from rag_assets.documents.parsing.readers.office.package import PackageParts

_CONTENT: Final = "content.xml"
_STYLES: Final = "styles.xml"
_SLIDE: Final = re.compile(r"<draw:page\s[^>]*>")
_SLIDE_NAME: Final = re.compile(r"\sdraw:name=(?:\"[^\"]*\"|'[^']*')")
_TITLE: Final = re.compile(
    r"<draw:frame\b[^>]*\spresentation:class=[\"']title[\"'][^>]*>(?:(?!</draw:frame>).)*</draw:frame>", re.DOTALL
)
_SLIDE_NOTES: Final = re.compile(r"(<presentation:notes\b.*?<text:p(?:\s[^>]*)?(?<!/)>)", re.DOTALL)
# "Click to edit the title" in a master page.
_PLACEHOLDER: Final = re.compile(
    r"<draw:frame\b[^<>]*\spresentation:class=[\"'][^<>]*(?<!/)>(?:(?!</?draw:frame\b).)*</draw:frame>", re.DOTALL
)


def complete_presentation(parts: PackageParts) -> dict[str, str | bytes | None]:
    """xberg takes the name of a slide for its title: it gets the title that is shown."""
    content = parts.content(_CONTENT)
    before = content.decode()
    document = SPACES.sub(" ", before)
    if has_shapes(content):
        document = shapes_to_boxes(document, parts)
    if has_uneven_rows(content):
        document = fill_covered_cells(document)
    slides = [match.start() for match in _SLIDE.finditer(document)]
    pieces = [document[: slides[0]]] if slides else [document]
    for start, end in zip(slides, [*slides[1:], len(document)], strict=True):
        slide = document[start:end]
        if (frame := _TITLE.search(slide)) and (title := open_text(frame[0])) and '"' not in title:
            tag = _SLIDE.match(slide)
            assert tag is not None
            named = _SLIDE_NAME.sub("", tag[0])
            slide = f'<draw:page draw:name="{title}"{named.removeprefix("<draw:page")}' + slide[tag.end() :].replace(
                frame[0], "", 1
            )
        pieces.append(_SLIDE_NOTES.sub(r"\1Notes: ", slide, count=1))
    document = "".join(pieces)
    changed: dict[str, str | bytes | None] = {_CONTENT: document} if document != before else {}
    if b"presentation:class=" in parts.content(_STYLES):
        styles = parts.text(_STYLES)
        changed[_STYLES] = _PLACEHOLDER.sub("", styles)
    return changed
