"""One page of a PDF: its segments, what forms and comments add to them, and how much of it is pictures."""

import ctypes
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rag_assets.documents.parsing.readers.layout.geometry import Box, Segment, upright
from rag_assets.documents.parsing.readers.layout.tables.ruled_tables import find_ruled_tables
from rag_assets.documents.parsing.readers.pdf.drawn_lines import drawn_boxes, has_drawing
from rag_assets.documents.parsing.readers.pdf.page_words import read_words
from rag_assets.documents.parsing.readers.pdf.segments import make_segments

# Less text than this on a page that pictures cover for the most part is a stamp on a scan.
_FEW_CHARACTERS = 60
_MOSTLY = 0.5
# Smaller pictures on a page without text are decoration, and so are drawings of fewer points.
SMALL_PICTURE = 0.02
_MANY_POINTS = 60
_MAX_OBJECTS = 2_000
# Lines and rectangles that make the smallest table.
_FEWEST_OF_A_TABLE = 3


@dataclass(slots=True)
class ReadPage:
    segments: list[Segment]
    # That of the page, in the coordinates of the segments.
    box: Box
    # The share of the page that pictures cover, and whether lines are drawn that may be letters.
    picture_share: float
    has_drawing: bool

    def is_picture(self, smallest: float) -> bool:
        """Whether its text, if there is any, is in a picture; asked when running headers and stamps were removed."""
        characters = sum(len(segment.text) for segment in self.segments)
        if not characters:
            return self.has_drawing or self.picture_share > smallest
        return characters < _FEW_CHARACTERS and self.picture_share >= _MOSTLY


def read_page(document: Any, number: int, forms: Any) -> ReadPage:
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        # A page whose objects are damaged; the others can be read.
        return ReadPage([], (0.0, 0.0, 0.0, 0.0), 0.0, has_drawing=False)
    notes, drawn = _annotations(page, forms)
    # Flattening makes the appearance of fields, text boxes and stamps a part of the page.
    if drawn and pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY) == pdfium.FLATTEN_SUCCESS:
        page.close()
        page = document[number]
    textpage = page.get_textpage()
    boxes = drawn_boxes(page)
    words = read_words(textpage, whole_lines=len(boxes) < _FEWEST_OF_A_TABLE)
    turn = upright(words.main_quarter)
    tables = find_ruled_tables(words.placed, [turn(*box) for box in boxes]) if words.words else []
    segments = [] if words.is_garbled else make_segments(textpage, words, tables)
    textpage.close()
    _add_notes(segments, notes)
    # Stamps and headers among them are removed later.
    few = sum(len(segment.text) for segment in segments) < 10 * _FEW_CHARACTERS
    result = ReadPage(
        segments,
        turn(*page.get_cropbox()),
        _picture_share(page) if few else 0.0,
        has_drawing=words.is_garbled or (few and has_drawing(page, _MANY_POINTS)),
    )
    page.close()
    return result


def _annotations(page: Any, forms: Any) -> tuple[list[str], bool]:
    """Comments, and values of form fields; and whether some of them, or other text, are drawn beside the page."""
    import pypdfium2.raw as pdfium

    comments = {
        pdfium.FPDF_ANNOT_TEXT,
        pdfium.FPDF_ANNOT_HIGHLIGHT,
        pdfium.FPDF_ANNOT_UNDERLINE,
        pdfium.FPDF_ANNOT_SQUIGGLY,
        pdfium.FPDF_ANNOT_STRIKEOUT,
        pdfium.FPDF_ANNOT_FREETEXT,
    }
    visible = {pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_STAMP}
    found, drawn = [], False
    for index in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, index)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        drawn = drawn or kind in visible
        if kind in comments:
            found.append(_string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents"))
        elif kind == pdfium.FPDF_ANNOT_WIDGET and forms is not None:
            found.append(_field(forms.raw, annotation))
        pdfium.FPDFPage_CloseAnnot(annotation)
    return [text for text in found if text], drawn


def _field(forms: Any, annotation: Any) -> str:
    """The name and the value of a field of a form that holds text; empty for others."""
    import pypdfium2.raw as pdfium

    texts = {pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX}
    if pdfium.FPDFAnnot_GetFormFieldType(forms, annotation) not in texts:
        return ""
    value = _string(pdfium.FPDFAnnot_GetFormFieldValue, forms, annotation)
    names = (
        _string(function, forms, annotation)
        for function in (pdfium.FPDFAnnot_GetFormFieldAlternateName, pdfium.FPDFAnnot_GetFormFieldName)
    )
    name = next(filter(None, names), "")
    return f"{name}: {value}" if value and name else value


def _string(function: Any, *arguments: Any) -> str:
    import pypdfium2.raw as pdfium

    size = function(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(size + 2)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return " ".join(buffer.raw[:size].decode("utf-16-le", "replace").replace("\x00", "").split())


def _add_notes(segments: list[Segment], notes: list[str]) -> None:
    """Put what is not on the page already below it."""
    if not notes:
        return
    text = "".join("".join(segment.text.split()) for segment in segments)
    bottom = max((segment.bottom for segment in segments), default=0.0)
    for note in notes:
        value = note.partition(": ")[2] or note
        if "".join(value.split()) not in text:
            bottom += 40
            segments.append(Segment(note, 0.0, bottom - 10, 500.0, bottom, 10.0))


def _picture_share(page: Any) -> float:
    import pypdfium2.raw as pdfium

    width, height = page.get_size()
    area: float = 0.0
    images = page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3)
    for one in islice(images, _MAX_OBJECTS):
        left, bottom, right, top = one.get_bounds()
        area += max(0.0, right - left) * max(0.0, top - bottom)
    return float(min(1.0, area / max(1.0, width * height)))
