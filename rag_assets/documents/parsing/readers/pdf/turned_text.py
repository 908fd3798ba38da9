"""Text that does not run from left to right on its page: PDFium finds neither its spaces nor its line ends."""

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

from rag_assets.documents.parsing.readers.layout.geometry import Box, union, upright
from rag_assets.documents.parsing.readers.pdf.fonts import read_font

# The widest gap within a word, in sizes of its letters, and within a number, whose digits are equally wide.
_MAX_LETTER_GAP = 0.2
_MAX_DIGIT_GAP = 0.4


def read_turned_words(
    textpage: Any, text: str, ranges: Iterable[tuple[int, int, int | None]]
) -> Iterator[tuple[int, str, Box, int | None]]:
    """(first character, word, box on the page, direction) for ranges of characters with their directions."""
    import pypdfium2.raw as pdfium

    values = [ctypes.c_double() for _ in range(4)]
    references = [ctypes.byref(value) for value in values]
    begun: tuple[int, str, Box, int | None] | None = None
    last, last_bounds = -1, (0.0, 0.0, 0.0, 0.0)
    for start, end, quarter in ranges:
        size = read_font(textpage, start).size
        for index in range(start, end):
            pdfium.FPDFText_GetCharBox(textpage.raw, index, *references)
            left, right, bottom, top = (value.value for value in values)
            bounds = left, bottom, right, top
            widest = _MAX_DIGIT_GAP if text[index].isdigit() and text[last].isdigit() else _MAX_LETTER_GAP
            near = _distance(last_bounds, bounds, quarter) < widest * size
            if begun and begun[3] == quarter and near and not _has_space(textpage.raw, last, index):
                begun = begun[0], begun[1] + text[index], union(begun[2], bounds), quarter
            else:
                if begun:
                    yield begun
                begun = index, text[index], bounds, quarter
            last, last_bounds = index, bounds
    if begun:
        yield begun


def _distance(one: Box, other: Box, quarter: int | None) -> float:
    """The gap between two neighbouring characters in the direction of their text."""
    if quarter is None:
        return max(other[0] - one[2], one[0] - other[2], other[1] - one[3], one[1] - other[3])
    turn = upright(quarter)
    return abs(turn(*other)[0] - turn(*one)[2])


def _has_space(handle: Any, last: int, index: int) -> bool:
    """Whether the document itself has a space between two characters, not one that PDFium made up."""
    import pypdfium2.raw as pdfium

    between = range(last + 1, index)
    return any(
        chr(pdfium.FPDFText_GetUnicode(handle, one)).isspace() and not pdfium.FPDFText_IsGenerated(handle, one)
        for one in between
    )
